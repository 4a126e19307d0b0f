//! What does a running snapshot cost the writers, and does it grow with the state?
//!
//! `cargo bench --bench snapshot [-- MILLIONS...]` prints a Markdown table, by default for 1 and 5 million entries. For
//! each size the same 64 closed-loop writers run without a snapshot, beside one of a limited rate, and beside snapshots
//! as fast as the disk takes them, one after the other until the writers end; what is running then is cancelled. Each
//! row is a process of its own, which has opened the same directory, in three rounds. The longest turn is that of the
//! shard's actor, which a snapshot should not lengthen.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mainstay::{NoSnapshot, Options, Runtime, SnapshotFailed, SnapshotOptions, SyncPolicy};
use support::{Puts, Run, closed_loop, directory, put};

const TASKS: usize = 64;
const TIME: Duration = Duration::from_secs(5);
const RATE: u64 = 8 << 20;
const ROUNDS: usize = 3;
/// The first argument of a process that measures one row.
const CHILD: &str = "one-row";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, dir, entries, rate] = &arguments[..]
        && child == CHILD
    {
        return block_on(measure(Path::new(dir), entries.parse().unwrap(), rate.parse().ok()));
    }
    let sizes: Vec<u64> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1, 5] } else { sizes };
    println!(
        "| entries | snapshot | ops/s | p50 us | p99 us | p99.9 us | max us | longest turn us | whole, MB in s | \
              cancelled, MB | kept alive MB | resident MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for millions in sizes {
        let (dir, entries) = (directory(), millions * 1_000_000);
        block_on(load(dir.path(), entries));
        for rate in [None, Some(RATE), Some(0)].repeat(ROUNDS) {
            let rate = rate.map_or("none".to_owned(), |rate| rate.to_string());
            let mut row = Command::new(std::env::current_exe().unwrap());
            let row = row.arg(CHILD).arg(dir.path()).args([entries.to_string(), rate]);
            assert!(row.status().unwrap().success());
        }
    }
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}

fn options(dir: &Path, sync: SyncPolicy, bytes_per_second: u64) -> Options {
    // None but those that are asked for.
    let snapshots = SnapshotOptions { log_bytes: 0, bytes_per_second, ..SnapshotOptions::default() };
    Options { shards: Some(1), sync, snapshots, ..Options::new(dir) }
}

async fn load(dir: &Path, entries: u64) {
    let runtime = Runtime::open(Puts, options(dir, SyncPolicy::Never, 0)).await.unwrap();
    let mut next = 0;
    while next < entries {
        let commands = (next..entries.min(next + 1000)).map(|key| (u128::from(key), Bytes::from(vec![7; 100])));
        assert!(runtime.submit_many(commands.collect()).await.iter().all(Result::is_ok));
        next += 1000;
    }
    // What is measured opens from this.
    runtime.snapshot().await.unwrap();
    runtime.shutdown().await.unwrap();
}

async fn write(runtime: &Runtime<Puts>, entries: u64) -> Run {
    let handle = runtime.clone();
    closed_loop(TASKS, TIME, move |n| {
        let runtime = handle.clone();
        let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        async move {
            runtime.submit(put(&mut random, entries)).await.unwrap();
        }
    })
    .await
}

/// The snapshots that were taken beside the writers.
#[derive(Default)]
struct Taken {
    whole: u64,
    bytes: u64,
    time: Duration,
    /// What the last one had written when it was cancelled.
    cancelled: Option<u64>,
}

/// Takes one snapshot after the other until the writers are through.
async fn take(runtime: Runtime<Puts>, over: Arc<AtomicBool>) -> Taken {
    let mut taken = Taken::default();
    while !over.load(Ordering::Acquire) {
        let result = runtime.snapshot().await;
        let stats = runtime.stats().shards[0].clone();
        match result {
            Ok(()) => {
                let last = stats.last_snapshot.unwrap();
                taken.whole += 1;
                taken.bytes += last.bytes;
                taken.time += last.duration;
            }
            Err(SnapshotFailed { why: NoSnapshot::Cancelled, .. }) => taken.cancelled = Some(stats.snapshot_bytes),
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

async fn measure(dir: &Path, entries: u64, snapshot: Option<u64>) {
    let runtime = Runtime::open(Puts, options(dir, SyncPolicy::Always, snapshot.unwrap_or(0))).await.unwrap();
    // Something new to hold, and a log that has begun.
    write(&runtime, entries).await;
    let over = Arc::new(AtomicBool::new(false));
    let taking = snapshot.map(|_| tokio::spawn(take(runtime.clone(), Arc::clone(&over))));
    let run = write(&runtime, entries).await;
    let stats = runtime.stats().shards[0].clone();
    let (kept, resident) = (stats.snapshot_overlap_bytes, resident_bytes());
    let mut taken = Taken::default();
    if let Some(taking) = taking {
        // A slow one would go on for minutes.
        over.store(true, Ordering::Release);
        runtime.cancel_snapshots();
        taken = taking.await.unwrap();
    }
    let name = match snapshot {
        None => "none".to_owned(),
        Some(0) => "as fast as it goes".to_owned(),
        Some(rate) => format!("{} MB/s", rate >> 20),
    };
    let Taken { whole, bytes, time, cancelled } = taken;
    let whole = match whole {
        0 => "-".to_owned(),
        whole => format!("{whole}, {} in {:.1}", bytes / 1_000_000, time.as_secs_f64()),
    };
    let cancelled = cancelled.map_or("-".to_owned(), |bytes| format!("1, {}", bytes / 1_000_000));
    let Run { per_second, p50_us, p99_us, p999_us, max_us } = run;
    println!(
        "| {entries} | {name} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {p999_us:.0} | {max_us:.0} | {} | \
         {whole} | {cancelled} | {} | {} |",
        stats.longest_turn.as_micros(),
        kept / 1_000_000,
        resident / 1_000_000,
    );
    runtime.shutdown().await.unwrap();
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
