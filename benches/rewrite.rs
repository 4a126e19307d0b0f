//! How long do a mark and a rewrite take, and what do they cost the writers?
//!
//! `cargo bench --bench rewrite [-- THOUSANDS [ROUNDS [SECONDS [RATE]]]]` prints three Markdown tables, by default for
//! 1,000 thousand entries a shard, five rounds, windows of 5 s, and snapshots as fast as they go; RATE bounds each
//! shard's, in MB/s. Four shards, keys of 16 bytes, values of 100, `Always`. The states were filled by commands in no
//! order.
//!
//! - Marks, one after the other with a pause between them, idle and beside 64 closed-loop writers.
//! - Rewrites without a load, beside snapshots of the same state, which take no digest.
//! - The same 64 writers without, beside and without a rewrite in one run; what is lost is that of the middle window to
//!   the mean of the others. The middle window is as long as the rewrite takes. Beside nothing shows what the
//!   measurement itself is worth.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay::storage::disk::StandardDisk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Options, Runtime, ShardId, SnapshotOptions, SyncPolicy, VersionOptions};
use support::{Puts, Run, directory, put, run};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const SHARDS: u32 = 4;
const TASKS: usize = 64;
const CHUNK: u64 = 10_000;
/// Between two windows, and before the first one.
const SETTLE: Duration = Duration::from_secs(1);
const MARK_PAUSE: Duration = Duration::from_millis(10);

/// What happens in the middle window.
#[derive(Clone, Copy, PartialEq)]
enum Job {
    Nothing,
    Snapshot,
    Rewrite,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, default: u64| numbers.get(at).copied().unwrap_or(default);
    let entries = u64::from(SHARDS) * number(0, 1_000) * 1_000;
    let (rounds, window) = (number(1, 5) as usize, Duration::from_secs(number(2, 5)));
    let dir = directory();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let subject = Subject::fill(dir.path(), entries, number(3, 0) << 20).await;
        marks(&subject, window).await;
        alone(&subject, rounds).await;
        beside_writers(&subject, rounds, window).await;
        subject.runtime.shutdown().await.unwrap();
    });
}

/// A runtime with entries.
struct Subject {
    runtime: Runtime<Puts>,
    dir: PathBuf,
    entries: u64,
}

impl Subject {
    async fn fill(dir: &Path, entries: u64, bytes_per_second: u64) -> Self {
        // No snapshots but those that are asked for, and not all that rewrites leave.
        let snapshots = SnapshotOptions { log_bytes: 0, bytes_per_second, ..SnapshotOptions::default() };
        let versions = VersionOptions { keep: 2, ..VersionOptions::default() };
        let sync = SyncPolicy::Always;
        let options = Options { shards: Some(SHARDS), sync, snapshots, versions, ..Options::new(dir) };
        let runtime = Runtime::open(Puts, options).await.unwrap();
        let subject = Self { runtime, dir: dir.to_owned(), entries };
        let mut next = 0;
        while next < entries {
            let end = entries.min(next + CHUNK);
            subject.put(next..end).await;
            next = end;
        }
        subject
    }

    async fn put(&self, keys: std::ops::Range<u64>) {
        let commands = keys.map(|key| (u128::from(key), Bytes::from(vec![7; 100])));
        assert!(self.runtime.submit_many(commands.collect()).await.iter().all(Result::is_ok));
    }

    /// Of the newest snapshots.
    fn snapshot_bytes(&self) -> u64 {
        let manifest = manifest_log::read(&StandardDisk, &Layout::new(&self.dir)).unwrap();
        let newest = |shard| manifest.shard(shard).unwrap().snapshots_oldest_first().pop().unwrap().1.bytes;
        (0..SHARDS).map(ShardId).map(newest).sum()
    }
}

/// Writers that go on until they are stopped, and count what they do in each window for itself.
struct Writers {
    window: Arc<AtomicUsize>,
    began: Vec<Instant>,
    tasks: Vec<JoinHandle<Vec<Vec<Duration>>>>,
}

/// The window after the last.
const STOPPED: usize = usize::MAX;

impl Writers {
    fn start(subject: &Subject) -> Self {
        let window = Arc::new(AtomicUsize::new(0));
        let task = |number: u64| {
            let (runtime, entries, window) = (subject.runtime.clone(), subject.entries, Arc::clone(&window));
            tokio::spawn(async move {
                let mut random = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mut windows: Vec<Vec<Duration>> = Vec::new();
                loop {
                    let started = Instant::now();
                    runtime.submit(put(&mut random, entries)).await.unwrap();
                    let took = started.elapsed();
                    let now = window.load(Ordering::Relaxed);
                    if now == STOPPED {
                        return windows;
                    }
                    windows.resize_with(windows.len().max(now + 1), Vec::new);
                    windows[now].push(took);
                }
            })
        };
        let tasks = (0..TASKS as u64).map(task).collect();
        Self { window, began: vec![Instant::now()], tasks }
    }

    /// Begins the next window.
    fn next(&mut self) {
        self.window.store(self.began.len(), Ordering::Relaxed);
        self.began.push(Instant::now());
    }

    /// Stops the writers; one for each window.
    async fn stop(mut self) -> Vec<Run> {
        self.window.store(STOPPED, Ordering::Relaxed);
        self.began.push(Instant::now());
        let mut windows = vec![Vec::new(); self.began.len() - 1];
        for task in self.tasks {
            for (window, latencies) in windows.iter_mut().zip(task.await.unwrap()) {
                window.extend(latencies);
            }
        }
        let times = self.began.windows(2).map(|pair| pair[1] - pair[0]);
        windows.into_iter().zip(times).map(|(latencies, time)| run(latencies, time)).collect()
    }
}

async fn marks(subject: &Subject, time: Duration) {
    println!("| mark | marks | p50 us | p99 us | max us | hold p50 us | hold max us | puts/s | put p99 us |");
    println!("|---|---|---|---|---|---|---|---|---|");
    print_marks("idle", mark(&subject.runtime, time).await, "- | -");
    let mut writers = Writers::start(subject);
    sleep(SETTLE).await;
    writers.next();
    sleep(time).await;
    writers.next();
    let marked = mark(&subject.runtime, time).await;
    let [_, without, with] = writers.stop().await[..] else { unreachable!("three windows") };
    let puts = |run: Run| format!("{:.0} | {:.0}", run.per_second, run.p99_us);
    println!("| no marks, 64 writers | - | - | - | - | - | - | {} |", puts(without));
    print_marks("64 writers", marked, &puts(with));
    println!();
}

fn print_marks(name: &str, (marks, holds): (Vec<Duration>, Vec<Duration>), puts: &str) {
    let (count, marks, holds) = (marks.len(), run(marks, SETTLE), run(holds, SETTLE));
    println!(
        "| {name} | {count} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {puts} |",
        marks.p50_us, marks.p99_us, marks.max_us, holds.p50_us, holds.max_us
    );
}

/// How long marks take, and how long each of them holds the shard that it holds longest.
async fn mark(runtime: &Runtime<Puts>, time: Duration) -> (Vec<Duration>, Vec<Duration>) {
    let (started, mut marks, mut holds) = (Instant::now(), Vec::new(), Vec::new());
    while started.elapsed() < time {
        let one = Instant::now();
        runtime.mark().await.unwrap();
        marks.push(one.elapsed());
        holds.push(runtime.stats().shards.iter().map(|shard| shard.last_hold).max().unwrap());
        sleep(MARK_PAUSE).await;
    }
    (marks, holds)
}

impl Job {
    /// Returns how many seconds it took.
    async fn run(self, subject: &Subject, window: Duration) -> f64 {
        let started = Instant::now();
        match self {
            Self::Nothing => sleep(window).await,
            Self::Snapshot => subject.runtime.snapshot().await.unwrap(),
            Self::Rewrite => drop(subject.runtime.rewrite().await.unwrap()),
        }
        started.elapsed().as_secs_f64()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Snapshot => "snapshots",
            Self::Rewrite => "a rewrite",
        }
    }
}

async fn alone(subject: &Subject, rounds: usize) {
    let entries = subject.entries;
    println!("| {SHARDS} shards, {entries} entries, no load | s | entries/s | MB | MB/s |\n|---|---|---|---|---|");
    let jobs = [Job::Snapshot, Job::Rewrite];
    let mut taken = jobs.map(|_| Vec::new());
    for _ in 0..rounds {
        for (job, taken) in jobs.into_iter().zip(&mut taken) {
            // A snapshot needs something that is new.
            subject.put(0..CHUNK.min(entries)).await;
            taken.push(job.run(subject, Duration::ZERO).await);
        }
    }
    let megabytes = subject.snapshot_bytes() as f64 / 1e6;
    for (job, mut taken) in jobs.into_iter().zip(taken) {
        taken.sort_by(f64::total_cmp);
        let seconds = taken[taken.len() / 2];
        let (per_second, rate) = (entries as f64 / seconds, megabytes / seconds);
        println!("| {} | {seconds:.2} | {per_second:.0} | {megabytes:.0} | {rate:.0} |", job.name());
    }
    println!();
}

async fn beside_writers(subject: &Subject, rounds: usize, window: Duration) {
    println!(
        "| 64 writers beside | round | s | MB/s | puts/s without | beside | lost | p50 us | p99 us | max us |\n\
         |---|---|---|---|---|---|---|---|---|---|"
    );
    let jobs = [Job::Nothing, Job::Snapshot, Job::Rewrite];
    let mut lost = jobs.map(|_| Vec::new());
    for round in 1..=rounds {
        for (job, lost) in jobs.into_iter().zip(&mut lost) {
            lost.push(one_round(subject, job, round, window).await);
        }
    }
    for (job, mut lost) in jobs.into_iter().zip(lost) {
        lost.sort_by(f64::total_cmp);
        println!("| {} | median | | | | | **{:.1} %** | | | |", job.name(), lost[lost.len() / 2]);
    }
}

/// Prints a row; returns how many percent were lost.
async fn one_round(subject: &Subject, job: Job, round: usize, window: Duration) -> f64 {
    let mut writers = Writers::start(subject);
    sleep(SETTLE).await;
    writers.next();
    sleep(window).await;
    writers.next();
    let seconds = job.run(subject, window).await;
    // What it leaves to be done, files to be removed for one thing, is in no window.
    writers.next();
    sleep(SETTLE).await;
    writers.next();
    sleep(window).await;
    let [_, before, beside, _, after] = writers.stop().await[..] else { unreachable!("five windows") };
    let without = (before.per_second + after.per_second) / 2.0;
    let bytes = if job == Job::Nothing { 0 } else { subject.snapshot_bytes() };
    let lost = (1.0 - beside.per_second / without) * 100.0;
    let pair = |of: fn(&Run) -> f64| format!("{:.0} / {:.0}", of(&before).max(of(&after)), of(&beside));
    println!(
        "| {} | {round} | {seconds:.2} | {:.0} | {:.0}, {:.0} | {:.0} | {lost:.1} % | {} | {} | {} |",
        job.name(),
        bytes as f64 / 1e6 / seconds,
        before.per_second,
        after.per_second,
        beside.per_second,
        pair(|run| run.p50_us),
        pair(|run| run.p99_us),
        pair(|run| run.max_us),
    );
    lost
}
