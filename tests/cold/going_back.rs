//! Going back to a version of a state that has outgrown its memory: it goes to files as it is read, and both states
//! together stay within the limit.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mainstay::kv::Kv;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Memory, Options, RestartBudget, Runtime, ShardStats, VersionError, VersionId};

use crate::book::{Book, Content};
use crate::disk::{DIR, at_rest, is_cold, orphans};
use crate::state::{cold, key};

pub const LIMIT: u64 = 1_500 << 10;
/// Two thousand values of 3,000 bytes are six times what there is for the state.
pub const KEYS: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub fn options(dir: &Path, limit: u64) -> Options {
    let mut options = Options {
        shards: Some(1),
        segment_bytes: 1 << 20,
        command_bytes_max: 16 << 10,
        memory: Memory::Bytes(limit),
        restarts: RestartBudget { restarts: 100, ..RestartBudget::default() },
        ..Options::new(dir)
    };
    // What is spilled beside a snapshot never is too much for it.
    options.snapshots.overlap_bytes = 64 << 20;
    options
}

fn value(number: u32, version: u32) -> Vec<u8> {
    let length = 2_500 + (number.wrapping_mul(2_654_435_761) >> 22) as usize;
    format!("{number}:{version}:").into_bytes().into_iter().cycle().take(length).collect()
}

pub async fn put(runtime: &Runtime<Kv>, book: &mut Book, version: u32, numbers: impl Iterator<Item = u32>) {
    send(runtime, book, numbers.map(|number| (key(number), Some(value(number, version))))).await;
}

pub async fn send(runtime: &Runtime<Kv>, book: &mut Book, contents: impl Iterator<Item = (String, Content)>) {
    let contents: Vec<_> = contents.collect();
    for chunk in contents.chunks(100) {
        book.send(runtime, chunk.to_vec()).await;
    }
    assert_eq!(book.refused, [], "{:?}", runtime.stats());
}

/// A version whose state is mostly in files, with three times its memory of log behind its snapshot; and then so much
/// is written and removed that hardly anything of it is left.
async fn written_over(runtime: &Runtime<Kv>) -> (VersionId, Book, Book) {
    let mut book = Book::default();
    put(runtime, &mut book, 1, 0..KEYS).await;
    runtime.snapshot().await.unwrap();
    put(runtime, &mut book, 2, (0..KEYS).step_by(2)).await;
    send(runtime, &mut book, (0..KEYS).step_by(9).map(|number| (key(number), None))).await;
    let (version, then) = (runtime.mark().await.unwrap().id, book.clone());
    put(runtime, &mut book, 3, (0..KEYS).step_by(3)).await;
    send(runtime, &mut book, (0..KEYS).skip(1).step_by(3).map(|number| (key(number), None))).await;
    runtime.snapshot().await.unwrap();
    put(runtime, &mut book, 4, KEYS..KEYS + 300).await;
    (version, then, book)
}

/// Looks at a runtime's numbers all the time.
struct Watched {
    is_over: Arc<AtomicBool>,
    /// The most that both states have taken, and the one that was read.
    most: Arc<[AtomicU64; 2]>,
    watch: thread::JoinHandle<()>,
}

impl Watched {
    fn start(runtime: &Runtime<Kv>) -> Self {
        let (is_over, most) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let (runtime, over, seen) = (runtime.clone(), Arc::clone(&is_over), Arc::clone(&most));
        let watch = thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let ShardStats { memory_bytes, rollback_bytes, .. } = runtime.stats().shards[0];
                seen[0].fetch_max(memory_bytes + rollback_bytes, Ordering::SeqCst);
                seen[1].fetch_max(rollback_bytes, Ordering::SeqCst);
            }
        });
        Self { is_over, most, watch }
    }

    fn end(self) -> [u64; 2] {
        self.is_over.store(true, Ordering::SeqCst);
        self.watch.join().unwrap();
        [self.most[0].load(Ordering::SeqCst), self.most[1].load(Ordering::SeqCst)]
    }
}

/// Guards F43, F47, F48, F57.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_many_times_its_memory_is_gone_back_to() {
    let mut disk = SimDisk::new(3);
    let mut runtime = Runtime::open_on(disk.clone(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
    let share = runtime.stats().memory.state_bytes.unwrap();
    let (version, then, mut now) = written_over(&runtime).await;
    assert_eq!(now.check(&runtime).await, [""; 0]);
    for round in 0..2 {
        let watched = Watched::start(&runtime);
        runtime.rollback(version).await.unwrap();
        let [both, read] = watched.end();
        println!("{read} bytes of what was read in memory, {both} of both, of {share}");
        // What is free, and what the present state has made room for.
        assert!(read > share / 8 / 2 && both < share + share / 8, "{read}, {both} of {share}");
        let mut book = then.clone();
        assert_eq!(book.check(&runtime).await, [""; 0]);
        let shard = &runtime.stats().shards[0];
        assert!(shard.memory_bytes <= share && shard.rollback_bytes == 0, "{shard:?}");
        assert!(cold(&runtime) > 1_000, "{shard:?}");
        // It goes on like any other, and with what it has in files.
        put(&runtime, &mut book, 5 + round, (0..KEYS).step_by(5)).await;
        runtime.snapshot().await.unwrap();
        put(&runtime, &mut book, 7, 0..50).await;
        assert_eq!(book.check(&runtime).await, [""; 0]);
        assert_eq!(runtime.stats().shards[0].spill_failures, 0);
        if round == 0 {
            disk = disk.after_kill();
        } else {
            runtime.shutdown().await.unwrap();
        }
        let before = orphans(&disk);
        runtime = Runtime::open_on(disk.clone(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
        assert_eq!(book.check(&runtime).await, [""; 0]);
        assert_eq!(at_rest(&disk, &before), [""; 0]);
    }
}

/// Guards F65: where keys alone are too much for two states nothing is touched.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_have_no_place_beside_the_present_ones_are_refused() {
    let disk = SimDisk::new(4);
    let runtime = Runtime::open_on(disk.clone(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
    let (version, mut then, mut now) = written_over(&runtime).await;
    runtime.shutdown().await.unwrap();
    // Of the share keys take more than a half, of either state.
    let (disk, mut small) = (disk.after_kill(), options(DIR.as_ref(), LIMIT * 27 / 100));
    small.versions.sync_deadline = Duration::from_secs(1);
    let runtime = Runtime::open_on(disk.clone(), Kv, small.clone()).await.unwrap();
    let share = runtime.stats().memory.state_bytes.unwrap();
    let keys_bytes = runtime.stats().shards[0].keys_bytes;
    assert!(keys_bytes > share / 2 && keys_bytes < share / 8 * 7, "{keys_bytes} of {share}");
    let error = runtime.rollback(version).await.unwrap_err();
    println!("{error}");
    let VersionError::OutOfMemory { bytes, allowed, version: refused, .. } = error else { panic!("{error}") };
    assert!(refused == version && bytes > allowed && allowed < share, "{error}");
    assert_eq!(now.check(&runtime).await, [""; 0]);
    put(&runtime, &mut now, 8, (0..KEYS).step_by(3).take(100)).await;
    assert_eq!(now.check(&runtime).await, [""; 0]);
    let stats = &runtime.stats().shards[0];
    assert_eq!((stats.rollback_bytes, stats.restarts, stats.refusal.clone()), (0, 0, None));
    runtime.shutdown().await.unwrap();
    assert_eq!(orphans(&disk).into_iter().filter(|path| is_cold(path)).count(), 0, "what was read was given up");
    let disk = disk.after_kill();
    let runtime = Runtime::open_on(disk.clone(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
    assert_eq!(now.check(&runtime).await, [""; 0]);
    runtime.rollback(version).await.unwrap();
    assert_eq!(then.check(&runtime).await, [""; 0]);
}

/// Guards F30, F65: a rollback that nobody wants any more leaves nothing behind, and the next one is as if it had not
/// been.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_leaves_no_files() {
    let disk = SimDisk::new(5);
    let runtime = Runtime::open_on(disk.clone(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
    let (version, mut then, mut now) = written_over(&runtime).await;
    // Nothing is to be spilled, so whoever writes to a cold file reads the version.
    let started = Instant::now();
    let is_relieved = || runtime.stats().shards[0].memory_bytes < runtime.stats().memory.state_bytes.unwrap() / 8 * 7;
    while !is_relieved() {
        assert!(started.elapsed() < PATIENCE, "{:?}", runtime.stats());
        tokio::task::yield_now().await;
    }
    let mut seen = 0;
    let stall = disk.stall(move |call| {
        seen += u32::from(is_cold(&call.path) && call.operation == Operation::Sync);
        // The first files are whole by then.
        seen == 3 && is_cold(&call.path)
    });
    let going_back = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.rollback(version).await }
    });
    while stall.waiting() == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is spilled");
        tokio::task::yield_now().await;
    }
    runtime.cancel_snapshots();
    assert_eq!(going_back.await.unwrap(), Err(VersionError::Cancelled));
    let mut given_up: BTreeSet<_> = orphans(&disk).into_iter().filter(|path| is_cold(path)).collect();
    stall.release();
    while orphans(&disk).iter().any(|path| is_cold(path)) || runtime.stats().shards[0].rollback_bytes > 0 {
        assert!(started.elapsed() < PATIENCE, "{:?}", orphans(&disk));
        tokio::task::yield_now().await;
    }
    // The shard itself may just have been making room.
    given_up.retain(|path| !disk.files().contains_key(path));
    assert!(!given_up.is_empty());
    assert_eq!(now.check(&runtime).await, [""; 0]);
    // A life that reads its files again spills as it does, and what was read of the others may still be remembered.
    let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "seg");
    disk.fail_when(move |call| {
        let is_broken = is_log(&call.path) && matches!(call.operation, Operation::Sync | Operation::Create);
        is_broken.then_some(FaultKind::ErrorOnce)
    });
    now.send(&runtime, vec![(key(1), Some(value(1, 9)))]).await;
    while runtime.stats().shards[0].restarts == 0 {
        assert!(started.elapsed() < PATIENCE, "{:?}", runtime.stats());
        tokio::task::yield_now().await;
    }
    disk.disarm();
    assert_eq!(now.check(&runtime).await, [""; 0]);
    let cold_files: BTreeSet<_> = disk.files().into_keys().filter(|path| is_cold(path)).collect();
    assert_eq!(cold_files.intersection(&given_up).next(), None, "a number is used again");
    now.refused.clear();
    put(&runtime, &mut now, 8, (0..KEYS).step_by(4)).await;
    assert_eq!(now.check(&runtime).await, [""; 0]);
    runtime.rollback(version).await.unwrap();
    assert_eq!(then.check(&runtime).await, [""; 0]);
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open_on(disk.after_kill(), Kv, options(DIR.as_ref(), LIMIT)).await.unwrap();
    assert_eq!(then.check(&runtime).await, [""; 0]);
}
