//! Millions of commands for a shard whose `apply` is slow: memory stays bounded, and that is measured.
//!
//! Alone in its binary, because what is measured is the process: its resident memory, as Linux has it.

#![cfg(all(not(loom), target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "support/gate.rs"]
mod gate;
mod support;

use std::borrow::Cow;
use std::fs;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use gate::{Gate, Gated, OpenOnDrop, poll_once, until};
use mainstay::{
    Abort, At, Lsn, NotExecuted, Options, Receipt, Runtime, ShardId, StateMachine, SubmitError, SyncPolicy, Txn,
};

const SHARD: ShardId = ShardId(0);
const LANE: usize = 1_000;
const TRIES: usize = 1_000_000;
const TASKS: usize = 100;
const EACH: u64 = 10_000;
/// `apply` stops in front of every command whose lsn is a multiple of this.
const STOPS: u64 = 100_000;
/// So many commands of a task are on their way together.
const CHUNK: u64 = 500;
/// A command with so much in it takes several times that as long as it waits.
const PAD: usize = 32;
/// How much the process may grow: a fraction of what a million commands take.
const GROWTH_MAX: u64 = 48 << 20;

/// Counts by key.
struct Counts;

impl StateMachine for Counts {
    type Command = (u64, Vec<u8>);
    type Entity = u64;
    type Reply = u64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, (key, _): &'a Self::Command) -> Cow<'a, [u8]> {
        Cow::Owned(key.to_le_bytes().to_vec())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, u64>, (key, _): Self::Command) -> Result<u64, Abort> {
        let count = state.get(&key.to_le_bytes())?.map_or(0, |count| *count) + 1;
        state.put(&key.to_le_bytes(), count);
        Ok(count)
    }
}

type Slow = Runtime<Gated<Counts>>;
type Pending<'a> = Pin<Box<dyn Future<Output = Result<Receipt<u64>, SubmitError>> + 'a>>;

/// `Some`: the lane has taken the command.
fn try_one(runtime: &Slow, key: u64) -> Option<Pending<'_>> {
    let mut attempt: Pending<'_> = Box::pin(runtime.try_submit((key, vec![7; PAD])));
    match poll_once(&mut attempt) {
        Poll::Pending => Some(attempt),
        Poll::Ready(Err(SubmitError::NotExecuted(NotExecuted::Busy))) => None,
        Poll::Ready(other) => panic!("{other:?}"),
    }
}

/// A line of `/proc/self/status`, in bytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).unwrap();
    found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Submits in every way there is, each command after the receipt of the one before or together with its neighbours.
/// Returns how many were `Busy` at first.
async fn produce(runtime: Slow, key: u64) -> u64 {
    let (mut busy, mut last) = (0, Lsn(0));
    let command = || (key, vec![7; PAD]);
    let mut check = |count: u64, receipt: Receipt<u64>| {
        assert_eq!(receipt.reply, count, "the order of task {key}");
        assert!(receipt.position.lsn > last);
        last = receipt.position.lsn;
    };
    for chunk in 0..EACH / CHUNK {
        let first = chunk * CHUNK + 1;
        let answers = runtime.submit_many((2..CHUNK).map(|_| command()).collect()).await;
        for (count, answer) in (first..).zip(answers) {
            check(count, answer.unwrap());
        }
        check(first + CHUNK - 2, runtime.submit(command()).await.unwrap());
        let answer = match runtime.try_submit(command()).await {
            Err(SubmitError::NotExecuted(NotExecuted::Busy)) => {
                busy += 1;
                runtime.submit(command()).await
            }
            answer => answer,
        };
        check(first + CHUNK - 1, answer.unwrap());
    }
    busy
}

/// Guards F37, F57, F58, F60: a closed gate in `apply`, a million attempts in front of it, and a million commands
/// through a gate that closes again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_apply_bounds_memory_and_keeps_the_order() {
    let dir = support::directory();
    let options = Options {
        shards: Some(1),
        sync: SyncPolicy::Never,
        segment_bytes: 1 << 20,
        command_bytes_max: 1 << 10,
        lane_commands: u32::try_from(LANE).unwrap(),
        lane_bytes: 2 << 20,
        submit_deadline: Duration::from_secs(600),
        sync_deadline: Duration::from_secs(600),
        ..Options::new(dir.path())
    };
    let gate = Gate::default();
    let runtime = Runtime::open(Gated(Counts, gate.clone()), options).await.unwrap();
    let _open = OpenOnDrop(gate.clone());
    let before = memory("VmRSS");
    let grown = |line| memory(line).saturating_sub(before);

    // Closed: what the lane has no room for is told so, at once.
    let taken: Vec<_> = (0..TRIES).filter_map(|_| try_one(&runtime, 0)).collect();
    assert_eq!(taken.len(), LANE, "of {TRIES} attempts");
    println!("closed: {} of {TRIES} are busy, {} KiB more", TRIES - taken.len(), grown("VmRSS") >> 10);
    assert!(grown("VmHWM") < GROWTH_MAX, "{} bytes for a lane of {LANE}", grown("VmHWM"));
    gate.open_below(Lsn(STOPS));
    for (count, taken) in (1..).zip(taken) {
        let receipt = taken.await.unwrap();
        assert_eq!((receipt.reply, receipt.position.lsn), (count, Lsn(count)));
    }

    // Closing again and again, with everybody waiting in front of it.
    let tasks = (1..=TASKS as u64).map(|key| tokio::spawn(produce(runtime.clone(), key)));
    let tasks: Vec<_> = tasks.collect();
    let total = LANE as u64 + TASKS as u64 * EACH;
    let mut extra = Vec::new();
    for stop in 1..=total / STOPS {
        until("apply stops", || gate.somebody_waits()).await;
        until("the lane is full", || try_one(&runtime, 0).map(|taken| extra.push(taken)).is_none()).await;
        let waiting = runtime.stats().shards[0].waiting;
        assert!((1..=LANE).contains(&waiting), "{waiting} wait");
        println!("stop {stop}: {waiting} wait, {} KiB more", grown("VmRSS") >> 10);
        assert!(grown("VmHWM") < GROWTH_MAX, "{} bytes more", grown("VmHWM"));
        gate.open_below(if stop == total / STOPS { Lsn(u64::MAX) } else { Lsn((stop + 1) * STOPS) });
    }
    let mut busy = 0;
    for task in tasks {
        busy += task.await.unwrap();
    }
    let extras = extra.len() as u64;
    for (count, taken) in (LANE as u64 + 1..).zip(extra) {
        assert_eq!(taken.await.unwrap().reply, count);
    }
    println!("{total} and {extras} more, {busy} of them busy at first; {} KiB at most", grown("VmHWM") >> 10);
    assert!(busy > 0, "nobody was ever busy");
    assert!(grown("VmHWM") < GROWTH_MAX, "{} bytes more", grown("VmHWM"));
    let view = runtime.view().await;
    assert_eq!(view.end(SHARD).unwrap().lsn, Lsn(total + extras + 1));
    runtime.shutdown().await.unwrap();
}
