//! Futures that are polled once or twice and dropped: nothing is half applied, and every credit comes back.

use std::borrow::Cow;
use std::panic::resume_unwind;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use mainstay::sim::{Operation, SimDisk};
use mainstay::{
    Abort, At, Lsn, NotExecuted, Options, Position, Runtime, ShardId, StateMachine, SubmitError, SyncPolicy, Txn, View,
};
use serde::{Deserialize, Serialize};

use crate::gate::{Gate, Gated, OpenOnDrop, poll_once, until};
use crate::one_shard;
use crate::support::{Counters, add};

const SHARD: ShardId = ShardId(0);
const LANE: u32 = 16;

/// Moves money from one account to another, each of which no other command touches.
struct Transfers;

/// A command with a number of its own.
#[derive(Clone, Serialize, Deserialize)]
struct Transfer {
    number: u64,
    /// Between the two writes.
    panics: bool,
}

impl Transfer {
    fn account(&self, side: u8) -> Vec<u8> {
        [&[side], &self.number.to_le_bytes()[..]].concat()
    }
}

impl StateMachine for Transfers {
    type Command = Transfer;
    type Entity = i64;
    type Reply = u64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, _: &'a Transfer) -> Cow<'a, [u8]> {
        Cow::Borrowed(b"bank")
    }

    fn apply(&self, _: At, state: &mut Txn<'_, i64>, transfer: Transfer) -> Result<u64, Abort> {
        state.put(&transfer.account(0), -1);
        if transfer.panics {
            // Says nothing on its way, unlike `panic!`.
            resume_unwind(Box::new("asked to"));
        }
        state.put(&transfer.account(1), 1);
        Ok(transfer.number)
    }
}

type Bank = Runtime<Gated<Transfers>>;
type Dropped<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Hands out commands; every fifth panics.
#[derive(Default)]
struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> Transfer {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Transfer { number, panics: number.is_multiple_of(5) }
    }

    /// One that does not panic.
    fn good(&self) -> Transfer {
        Transfer { panics: false, ..self.next() }
    }

    fn given(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn options(sync: SyncPolicy) -> Options {
    let patience = Duration::from_secs(60);
    Options {
        sync,
        lane_commands: LANE,
        submit_deadline: patience,
        sync_deadline: patience,
        view_deadline: patience,
        ..one_shard(Path::new("/data"))
    }
}

/// Futures of every kind, from more commands than the lane has room for.
fn futures<'a>(bank: &'a Bank, numbers: &Numbers, last: Position) -> Vec<Dropped<'a>> {
    let transfers = |count: usize| (0..count).map(|_| numbers.next()).collect::<Vec<_>>();
    let (some, one, tried, many) = (transfers(3), numbers.next(), numbers.next(), transfers(LANE as usize));
    let later = Position { lsn: last.lsn.plus(5), ..last };
    vec![
        Box::pin(async move { drop(bank.submit_many(some).await) }),
        Box::pin(async move { drop(bank.view().await) }),
        Box::pin(async move { drop(bank.submit(one).await) }),
        Box::pin(async move { drop(bank.durable(SHARD, last).await) }),
        Box::pin(async move { drop(bank.try_submit(tried).await) }),
        Box::pin(async move { drop(bank.durable(SHARD, later).await) }),
        Box::pin(async move { drop(bank.submit_many(many).await) }),
        Box::pin(async move { drop(bank.view().await) }),
    ]
}

/// With `apply` held up no credit comes back, so the lane takes as many commands as it has credits for.
async fn takes_a_full_lane(bank: &Bank, gate: &Gate, numbers: &Numbers) {
    let started = Instant::now();
    loop {
        gate.close();
        let mut taken: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
        for _ in 0..=LANE {
            let mut attempt: Pin<Box<dyn Future<Output = _>>> = Box::pin(bank.try_submit(numbers.good()));
            match poll_once(&mut attempt) {
                Poll::Pending => taken.push(attempt),
                Poll::Ready(answer) => assert_eq!(answer, Err(SubmitError::NotExecuted(NotExecuted::Busy))),
            }
        }
        let count = taken.len();
        gate.open();
        for attempt in taken {
            attempt.await.unwrap();
        }
        if count == LANE as usize {
            return;
        }
        // Credits come back a moment after the answer.
        assert!(started.elapsed() < Duration::from_secs(20), "{count} of {LANE} credits are there");
        tokio::task::yield_now().await;
    }
}

/// Both sides of every transfer or none, and one transfer for each position.
fn check(view: &View<i64>, numbers: &Numbers) {
    let mut whole = 0;
    for number in 0..numbers.given() {
        let sides = [0, 1].map(|side| {
            let account = Transfer { number, panics: false }.account(side);
            view.get(&account).unwrap().map_or(0, |balance| *balance)
        });
        assert!([[0, 0], [-1, 1]].contains(&sides), "transfer {number} is half applied: {sides:?}");
        whole += u64::from(sides == [-1, 1]);
    }
    assert_eq!(view.end(SHARD).unwrap().lsn, Lsn(whole + 1), "each position is one whole transfer");
}

/// Guards F34, F37, F57: futures of `submit_many`, `submit`, `view` and `durable` are dropped while `apply` is held up,
/// while a sync hangs, and while nothing does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn half_polled_futures_leak_nothing_and_never_half_apply() {
    for (seed, sync) in
        (1..).zip([SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(5)), SyncPolicy::Never])
    {
        println!("seed {seed}, {sync:?}");
        let (sim, gate, numbers) = (SimDisk::new(seed), Gate::default(), Numbers::default());
        let _open = OpenOnDrop(gate.clone());
        gate.open();
        let bank = Runtime::open_on(sim.clone(), Gated(Transfers, gate.clone()), options(sync)).await.unwrap();
        for round in 0..240u64 {
            let last = bank.submit(numbers.good()).await.unwrap().position;
            let stall = (round % 3 == 1).then(|| sim.stall(|call| call.operation == Operation::Sync));
            if round % 3 == 2 {
                gate.close();
            }
            let mut futures = futures(&bank, &numbers, last);
            let first = (round * seed) as usize % futures.len();
            futures.rotate_left(first);
            for poll in 0..=round % 2 {
                futures.retain_mut(|future| poll_once(future).is_pending());
                for _ in 0..(round + poll) % 5 {
                    tokio::task::yield_now().await;
                }
            }
            if round % 3 == 2 && round % 4 > 0 {
                // Credits may come back only now, to a future that has to be polled to push its command.
                let mut held_up = || {
                    futures.retain_mut(|future| poll_once(future).is_pending());
                    gate.somebody_waits()
                };
                until("apply is held up", &mut held_up).await;
            }
            drop(futures);
            gate.open();
            drop(stall);
        }
        takes_a_full_lane(&bank, &gate, &numbers).await;
        let last = bank.submit(numbers.good()).await.unwrap().position;
        bank.durable(SHARD, last).await.unwrap();
        check(&bank.view().await, &numbers);
        assert_eq!(bank.stats().shards[0].waiting, 0);
        for found in [sim.crash(seed), sim.after_kill()] {
            let again = Runtime::open_on(found, Transfers, options(sync)).await.unwrap();
            assert_eq!(again.latest().end(SHARD).unwrap().lsn, last.lsn.plus(1));
            check(&again.latest(), &numbers);
        }
    }
}

/// A dropped future withdraws the command or leaves it alone; credits come back either way.
#[tokio::test]
async fn dropped_futures_leak_nothing_and_never_half_apply() {
    let sim = SimDisk::new(2);
    let options = Options { lane_commands: 16, ..one_shard(Path::new("/data")) };
    let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    for round in 0..50 {
        let stall = sim.stall(|call| call.operation == Operation::Sync);
        let submits: Vec<_> = (0..12)
            .map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.submit(add("a", 1)).await })
            })
            .collect();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        for submit in &submits {
            submit.abort();
        }
        for submit in submits {
            let _ = submit.await;
        }
        stall.release();
    }
    // Not all credits are lost: a full lane's worth goes through.
    let answers = runtime.submit_many((0..16).map(|_| add("b", 1)).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    let view = runtime.view().await;
    let end = view.end(SHARD).unwrap().lsn.0;
    let (a, b) = (view.get(b"a").unwrap().unwrap().sum, view.get(b"b").unwrap().unwrap().sum);
    assert_eq!(u64::try_from(a + b).unwrap(), end - 1, "each position is one whole command");
}
