//! Something goes wrong at any call that changes the disk while a state that has outgrown its memory is gone back to:
//! it is the version's or it is what it was, in this life and in the next, and nothing is left lying around.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mainstay::kv::Kv;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Memory, Options, Runtime, VersionError, VersionId};

use crate::book::{Book, Content};
use crate::disk::{at_rest, failing, is_cold, orphans};
use crate::state::key;

/// One of so many calls is tried with each kind, unless `COLD_CRASH_STRIDE` says otherwise. Prime, so that no step of a
/// rhythm is left out.
const STRIDE: usize = 7;
const WORKERS: usize = 8;
const KINDS: [FaultKind; 3] = [FaultKind::Crash, FaultKind::ErrorOnce, FaultKind::NoSpace];
const KEYS: u32 = 200;

fn options() -> Options {
    let (segment_bytes, memory) = (256 << 10, Memory::Bytes(384 << 10));
    let mut options = Options { segment_bytes, memory, ..failing() };
    options.snapshots.overlap_bytes = 4 << 20;
    options.versions.sync_deadline = Duration::from_secs(1);
    options
}

fn on_its_own<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

async fn put(runtime: &Runtime<Kv>, book: &mut Book, version: u32, numbers: impl Iterator<Item = u32>) {
    let value = |number| format!("{number}:{version}:").into_bytes().into_iter().cycle().take(3_000).collect();
    let contents: Vec<(String, Content)> = numbers.map(|number| (key(number), Some(value(number)))).collect();
    for chunk in contents.chunks(25) {
        book.send(runtime, chunk.to_vec()).await;
    }
}

/// A directory, what it holds, and what it held at a version.
struct Base {
    disk: SimDisk,
    version: VersionId,
    then: Book,
    now: Book,
}

impl Base {
    async fn prepare() -> Self {
        let (disk, mut book) = (SimDisk::new(1), Book::default());
        let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
        put(&runtime, &mut book, 1, 0..KEYS).await;
        runtime.snapshot().await.unwrap();
        put(&runtime, &mut book, 2, (0..KEYS).step_by(2)).await;
        let (version, then) = (runtime.mark().await.unwrap().id, book.clone());
        put(&runtime, &mut book, 3, (0..KEYS).step_by(3)).await;
        runtime.snapshot().await.unwrap();
        runtime.shutdown().await.unwrap();
        assert_eq!(book.refused, []);
        Self { disk: disk.crash(1), version, then, now: book }
    }
}

/// What may be found, and what was made of it.
struct Run {
    disk: SimDisk,
    result: Result<(), VersionError>,
    /// One of these.
    books: Vec<Book>,
}

impl Run {
    /// Opens, goes back, with a fault at so many calls from there on, and writes a little.
    async fn work(base: &Base, fault: Option<(u64, FaultKind)>, seed: u64) -> Result<Self, String> {
        let disk = base.disk.crash(seed);
        let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
        disk.count_only_mutations(true);
        disk.set_call_count(0);
        if let Some((at, kind)) = fault {
            disk.fail_in(at, kind);
        }
        let result = runtime.rollback(base.version).await;
        let [then, now] = [&base.then, &base.now].map(Clone::clone);
        let mut books = match result {
            Ok(()) => vec![then],
            Err(VersionError::Indeterminate | VersionError::Stopped | VersionError::Shard(_)) => vec![then, now],
            Err(_) => vec![now],
        };
        if let [book] = &mut books[..]
            && !disk.is_power_cut()
        {
            disk.free_space();
            let wrong = book.check(&runtime).await;
            if !wrong.is_empty() && !disk.is_power_cut() {
                return Err(format!("in the same life, {result:?}: {wrong:?}"));
            }
            put(&runtime, book, 4, (0..KEYS).step_by(20)).await;
        }
        Ok(Self { disk, result, books })
    }

    /// Opens twice and holds everything against the books.
    async fn check(mut self, seed: u64) -> Result<(), String> {
        let disk = if self.disk.is_power_cut() { self.disk.crash(seed) } else { self.disk.after_kill() };
        for turn in ["first", "second"] {
            let before = orphans(&disk);
            let calm = Options { memory: Memory::Unlimited, spill: false, ..options() };
            let options = if turn == "first" { options() } else { calm };
            let runtime = Runtime::open_on(disk.clone(), Kv, options).await.map_err(|error| error.to_string())?;
            if let Some((_, error)) = runtime.recovery().refused().next() {
                return Err(format!("refused at the {turn} opening: {error}"));
            }
            let mut wrong = Vec::new();
            for book in &mut self.books {
                wrong.push(book.check(&runtime).await);
            }
            if wrong.iter().all(|wrong| !wrong.is_empty()) {
                return Err(format!("at the {turn} opening, {:?}: {wrong:?}", self.result));
            }
            runtime.shutdown().await.map_err(|error| error.to_string())?;
            // The first life may have begun to write a file when it was ended. The second one writes none.
            let before = if turn == "first" { BTreeSet::new() } else { before };
            let wrong = at_rest(&disk, &before);
            if !wrong.is_empty() {
                return Err(format!("after the {turn} opening, {:?}: {wrong:?}", self.result));
            }
        }
        Ok(())
    }
}

fn run(base: &Base, fault: Option<(u64, FaultKind)>, seed: u64) -> Result<(), String> {
    on_its_own(Run::work(base, fault, seed)).and_then(|run| on_its_own(run.check(seed)))
}

/// Guards F14, F23, F30, F43, F47, F65.
#[test]
fn whatever_fails_it_is_the_one_state_or_the_other() {
    let started = Instant::now();
    let base = on_its_own(Base::prepare());
    let dry = on_its_own(Run::work(&base, None, 1)).unwrap();
    assert_eq!(dry.result, Ok(()));
    let (calls, trace) = (dry.disk.calls() as usize, dry.disk.trace());
    let made = trace.iter().filter(|call| call.operation == Operation::Create && is_cold(&call.path)).count();
    println!("{calls} calls, {made} cold files made");
    assert!(made > 10, "it was read into memory");
    assert_eq!(on_its_own(dry.check(1)), Ok(()));
    let stride = std::env::var("COLD_CRASH_STRIDE").ok().map_or(STRIDE, |stride| stride.parse().unwrap());
    let all = (0..calls).flat_map(|at| (0..KINDS.len()).map(move |kind| (at, kind)));
    let points: Vec<_> = all.filter(|(at, kind)| (at + kind * 2).is_multiple_of(stride)).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((at, kind)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (call, kind) = (*at as u64 + 1, KINDS[*kind]);
                    let result = std::panic::catch_unwind(|| run(&base, Some((call, kind)), call));
                    if let Err(error) = result.unwrap_or_else(|_| Err("a panic".to_owned())) {
                        wrong.lock().unwrap().push(format!("{kind:?} at call {call}: {error}"));
                    }
                }
            });
        }
    });
    println!("{} points in {:?}", points.len(), started.elapsed());
    let wrong = wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
