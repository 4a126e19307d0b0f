//! Snapshots beside heavy spilling: what is spilled costs them nothing, and what is overwritten in front of them does.
//!
//! Writers keep pace with the snapshot, which writes so many bytes a second: how much happens beside it does not depend
//! on the machine.

use std::path::Path;
use std::time::{Duration, Instant};

use mainstay::kv::Kv;
use mainstay::sim::SimDisk;
use mainstay::{NoSnapshot, Options, Runtime, SnapshotFailed};
use tokio::task::JoinHandle;

use crate::book::Book;
use crate::disk::DIR;
use crate::state::{cold, key, options};
use crate::support::directory;

const LIMIT: u64 = 1 << 20;
const VALUE_BYTES: u32 = 3_000;
/// With their values four times what the state may have.
const KEYS: u32 = 900;
const CHUNK: u32 = 4;
/// More than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn limited(dir: &Path, bytes_per_second: u64) -> Options {
    let mut options = options(dir, 1, LIMIT);
    (options.segment_bytes, options.command_bytes_max) = (64 << 10, 4 << 10);
    // However slow the machine is: a spill that takes long is waited for.
    (options.submit_deadline, options.sync_deadline) = (PATIENCE, PATIENCE);
    options.snapshots.bytes_per_second = bytes_per_second;
    (options.snapshots.log_bytes, options.snapshots.growth_percent) = (0, 0);
    options
}

/// Writes keys round and round: when a key's turn comes again it has long been spilled.
struct Writing {
    runtime: Runtime<Kv>,
    book: Book,
    next: u32,
    /// What the snapshot had written when it was last waited for.
    seen: u64,
}

impl Writing {
    fn new(runtime: &Runtime<Kv>) -> Self {
        Self { runtime: runtime.clone(), book: Book::default(), next: 0, seen: 0 }
    }

    async fn write(&mut self, count: u32) {
        for first in (self.next..self.next + count).step_by(CHUNK as usize) {
            let content = |number: u32| {
                let bytes = format!("{number}:").into_bytes();
                (key(number % KEYS), Some(bytes.into_iter().cycle().take(VALUE_BYTES as usize).collect()))
            };
            self.book.send(&self.runtime, (first..first + CHUNK).map(content).collect()).await;
        }
        self.next += count;
    }

    /// The same, but beside a snapshot no more than twice what that writes.
    async fn keep_pace(&mut self) {
        loop {
            let stats = &self.runtime.stats().shards[0];
            let written = stats.snapshot_bytes;
            if !stats.snapshot_running {
                break;
            }
            if written < self.seen || written >= self.seen + u64::from(CHUNK * VALUE_BYTES / 2) {
                self.seen = written;
                break;
            }
            tokio::task::yield_now().await;
        }
        self.write(CHUNK).await;
    }

    fn snapshot(&self) -> JoinHandle<Result<(), SnapshotFailed>> {
        let runtime = self.runtime.clone();
        tokio::spawn(async move { runtime.snapshot().await })
    }
}

/// Bytes of the log's files.
fn log_bytes(dir: &Path) -> u64 {
    let files = dir.join("shard-0").read_dir().unwrap().map(|file| file.unwrap());
    let log = files.filter(|file| file.file_name().to_string_lossy().ends_with(".seg"));
    log.map(|file| file.metadata().unwrap().len()).sum()
}

/// Guards F38: the log is reclaimed however much is spilled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_steady_spilling_they_are_adopted_and_the_log_goes() {
    let dir = directory();
    let mut options = limited(dir.path(), 768 << 10);
    let runtime = Runtime::open(Kv, options.clone()).await.unwrap();
    let mut writing = Writing::new(&runtime);
    writing.write(KEYS).await;
    assert!(cold(&runtime) > KEYS as usize / 2);
    // Spills are of 44 KiB each, and one may keep 64 KiB alive.
    let (started, mut asked, mut spilled) = (Instant::now(), 0, 0);
    while spilled < 20 {
        asked += 1;
        let before = runtime.stats().shards[0].clone();
        let snapshot = writing.snapshot();
        while !snapshot.is_finished() {
            writing.keep_pace().await;
        }
        let (result, stats) = (snapshot.await.unwrap(), runtime.stats().shards[0].clone());
        let (spills, written) = (stats.spills - before.spills, stats.wal_bytes - before.wal_bytes);
        println!("{asked}: {result:?}, {written} bytes and {spills} spills beside it");
        spilled += spills;
        assert_eq!(result, Ok(()));
        assert!(started.elapsed() < PATIENCE, "hardly anything is spilled: {stats:?}");
        assert_eq!((stats.snapshots, stats.snapshots_failed, stats.snapshot_overlap_bytes), (asked, 0, 0));
    }
    runtime.shutdown().await.unwrap();
    drop(runtime);

    options.snapshots.log_bytes = 256 << 10;
    let runtime = Runtime::open(Kv, options.clone()).await.unwrap();
    assert_eq!(writing.book.check(&runtime).await, [""; 0]);
    writing.runtime = runtime.clone();
    let started = Instant::now();
    while runtime.stats().shards[0].snapshots < 3 {
        writing.keep_pace().await;
        assert!(started.elapsed() < PATIENCE, "{:?}", runtime.stats());
    }
    let stats = runtime.stats().shards[0].clone();
    println!("by themselves: {} of them, {} spills and {} bytes", stats.snapshots, stats.spills, stats.wal_bytes);
    assert_eq!(stats.snapshots_failed, 0);
    writing.snapshot().await.unwrap().unwrap();
    assert_eq!(writing.book.refused, []);
    runtime.shutdown().await.unwrap();
    drop((runtime, writing.runtime));
    let left = log_bytes(dir.path());
    assert!(left < stats.wal_bytes / 4, "{left} bytes of log are left of {}", stats.wal_bytes);
    let runtime = Runtime::open(Kv, options).await.unwrap();
    assert!(runtime.recovery().shards[0].snapshot.is_some());
    assert_eq!(writing.book.check(&runtime).await, [""; 0]);
}

/// Nothing of it is written yet, and all of what was in memory is spilled: it has the places instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_hangs_keeps_nothing_of_what_is_spilled() {
    let sim = SimDisk::new(7);
    let options = limited(Path::new(DIR), 0);
    let runtime = Runtime::open_on(sim.clone(), Kv, options.clone()).await.unwrap();
    let mut writing = Writing::new(&runtime);
    writing.write(KEYS).await;
    let header = sim.stall(|call| call.path.to_string_lossy().contains("/snapshot-"));
    let (snapshot, started) = (writing.snapshot(), Instant::now());
    while header.waiting() == 0 {
        assert!(started.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    let before = runtime.stats().shards[0].spills;
    // Of 44 KiB each: all that there was.
    while runtime.stats().shards[0].spills < before + 16 {
        writing.write(CHUNK).await;
        assert!(started.elapsed() < PATIENCE, "{:?}", runtime.stats());
    }
    let (stats, limit) = (runtime.stats().shards[0].clone(), runtime.stats().memory.overlap_bytes.unwrap());
    println!("{} bytes are kept of {limit}", stats.snapshot_overlap_bytes);
    // Keys that were cold already, and were written since.
    assert!(stats.snapshot_overlap_bytes > 0, "nothing was overwritten");
    header.release();
    snapshot.await.unwrap().unwrap();
    let bytes = runtime.stats().shards[0].last_snapshot.as_ref().unwrap().bytes;
    assert!(bytes < u64::from(VALUE_BYTES * KEYS / 16), "there are values in it: {bytes} bytes");
    drop((runtime, writing.runtime));
    let runtime = Runtime::open_on(sim.after_kill(), Kv, options).await.unwrap();
    assert!(runtime.recovery().shards[0].snapshot.is_some());
    assert_eq!(writing.book.refused, []);
    assert_eq!(writing.book.check(&runtime).await, [""; 0]);
}

/// What is overwritten in front of the stream is kept alive by nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_keeps_too_much_of_what_is_overwritten_is_given_up_and_says_so() {
    let dir = directory();
    let runtime = Runtime::open(Kv, limited(dir.path(), 256 << 10)).await.unwrap();
    let mut writing = Writing::new(&runtime);
    writing.write(KEYS).await;
    let snapshot = writing.snapshot();
    while !runtime.stats().shards[0].snapshot_running {
        tokio::task::yield_now().await;
    }
    // Those that were written last are in memory. No pace is kept.
    writing.next -= 100;
    while !snapshot.is_finished() && writing.next < KEYS {
        writing.write(CHUNK).await;
    }
    assert_eq!(snapshot.await.unwrap().map_err(|failed| failed.why), Err(NoSnapshot::Memory));
    let stats = runtime.stats().shards[0].clone();
    assert_eq!((stats.snapshots, stats.snapshots_failed, stats.snapshot_overlap_bytes), (0, 1, 0));
    assert!(stats.last_snapshot_failed && !stats.snapshot_running);
    writing.write(CHUNK).await;
    writing.snapshot().await.unwrap().unwrap();
    assert_eq!(writing.book.refused, []);
    assert_eq!(writing.book.check(&runtime).await, [""; 0]);
}
