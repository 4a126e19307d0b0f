//! Something goes wrong at any call that changes the disk, while values go to cold files, come from there and are
//! moved: what was acknowledged is there, what was deleted stays away, and nothing is left lying around.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mainstay::kv::Kv;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Memory, Options, Runtime};

use crate::book::{Book, Content};
use crate::disk::{at_rest, failing, is_cold, manifest, orphans};
use crate::state::{key, value};

/// One of so many calls is tried with each kind, unless `COLD_CRASH_STRIDE` says otherwise. Prime, so that no step of a
/// rhythm is left out.
const STRIDE: u64 = 5;
/// Most of them wait most of the time: for the spiller's look, or for a deadline.
const WORKERS: usize = 24;
const KINDS: [FaultKind; 3] = [FaultKind::Crash, FaultKind::ErrorOnce, FaultKind::NoSpace];
/// More than enough for what a spiller does within two looks.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long a compaction is waited for that a fault may forbid: one look has the shard tell what is live, the next one
/// acts on it.
const LOOKS: Duration = Duration::from_millis(2_500);

/// So many files do not die by themselves: of each a few values are left.
const RELEASED: usize = 4;

/// Nothing but the disk decides, and nothing moves by itself.
fn calm_options() -> Options {
    let patient = Options { submit_deadline: PATIENCE, sync_deadline: PATIENCE, view_deadline: PATIENCE, ..failing() };
    Options { memory: Memory::Unlimited, spill: false, ..patient }
}

/// Where the workload runs.
struct Stage {
    disk: SimDisk,
    book: Book,
    /// Keys that were put so often.
    version: u32,
    /// Chunks with refusals, until the disk is not full any more.
    refused: usize,
    /// A compaction was seen.
    compacted: bool,
}

impl Stage {
    async fn put(&mut self, runtime: &Runtime<Kv>, numbers: impl Iterator<Item = u32>) {
        self.version += 1;
        let version = self.version;
        self.send(runtime, numbers.map(|number| (key(number), Some(value(number, version))))).await;
    }

    async fn delete(&mut self, runtime: &Runtime<Kv>, numbers: impl Iterator<Item = u32>) {
        self.send(runtime, numbers.map(|number| (key(number), None))).await;
    }

    async fn send(&mut self, runtime: &Runtime<Kv>, contents: impl Iterator<Item = (String, Content)>) {
        let contents: Vec<_> = contents.collect();
        for chunk in contents.chunks(25) {
            if self.disk.is_power_cut() {
                return;
            }
            let refused = self.book.refused.len();
            self.book.send(runtime, chunk.to_vec()).await;
            self.refused += usize::from(self.book.refused.len() > refused);
            if self.refused == 3 {
                self.disk.free_space();
            }
        }
    }

    /// Waits until nothing refers to some of the files any more: what was left in them is in another one.
    async fn compaction(&mut self) {
        let started = Instant::now();
        while !self.compacted && started.elapsed() < LOOKS && !self.disk.is_power_cut() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let manifest = manifest(&self.disk);
            let released = manifest.shards[0].cold.values().filter(|record| record.released);
            self.compacted = released.count() >= RELEASED;
        }
    }

    async fn snapshot(&self, runtime: &Runtime<Kv>) {
        let _ = tokio::time::timeout(Duration::from_millis(500), runtime.snapshot()).await;
    }

    /// Leaves a directory with cold files that a snapshot names, and a log that reads them.
    async fn prepare(&mut self) {
        let runtime = Runtime::open_on(self.disk.clone(), Kv, failing()).await.unwrap();
        self.put(&runtime, 0..150).await;
        self.snapshot(&runtime).await;
        self.put(&runtime, 150..200).await;
        runtime.shutdown().await.unwrap();
    }

    /// Spills, overwrites, deletes, a snapshot, a compaction, another snapshot that lets files go, and more spills.
    async fn work(&mut self) -> Result<(), String> {
        let Ok(runtime) = Runtime::open_on(self.disk.clone(), Kv, failing()).await else { return Ok(()) };
        self.put(&runtime, 200..300).await;
        self.put(&runtime, (0..300).step_by(3)).await;
        self.delete(&runtime, (0..300).step_by(7)).await;
        self.snapshot(&runtime).await;
        self.put(&runtime, (200..380).step_by(2)).await;
        self.delete(&runtime, (0..300).filter(|number| number % 5 != 0)).await;
        self.compaction().await;
        self.snapshot(&runtime).await;
        self.put(&runtime, 380..480).await;
        if self.disk.is_power_cut() {
            return Ok(());
        }
        // Whatever has failed, it was not for good.
        self.disk.free_space();
        let started = Instant::now();
        while runtime.stats().shards[0].refusal.is_none() {
            let before = self.book.acknowledged;
            self.put(&runtime, 480..481).await;
            if self.book.acknowledged > before {
                let wrong = self.book.check(&runtime).await;
                return if wrong.is_empty() || self.disk.is_power_cut() {
                    Ok(())
                } else {
                    Err(format!("in the same life: {wrong:?}"))
                };
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("it does not go on: {:?}", self.book.refused.last()));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Opens twice, without faults, and holds everything against the book.
async fn check(disk: &SimDisk, book: &mut Book) -> Result<(), String> {
    for (turn, options) in [("first", failing()), ("second", calm_options())] {
        let before = orphans(disk);
        let runtime = Runtime::open_on(disk.clone(), Kv, options).await.map_err(|error| error.to_string())?;
        if let Some((_, error)) = runtime.recovery().refused().next() {
            return Err(format!("refused at the {turn} opening: {error}"));
        }
        for _ in 0..2 {
            let wrong = book.check(&runtime).await;
            if !wrong.is_empty() {
                let count = wrong.len();
                return Err(format!("at the {turn} opening {count}: {:?}", &wrong[..count.min(5)]));
            }
        }
        runtime.shutdown().await.map_err(|error| error.to_string())?;
        // The first life may have begun to write a file when it was ended. The second one writes none.
        let before = if turn == "first" { BTreeSet::new() } else { before };
        let wrong = at_rest(disk, &before);
        if !wrong.is_empty() {
            return Err(format!("after the {turn} opening: {wrong:?}"));
        }
    }
    Ok(())
}

/// One try, on a runtime of its own: what was wrong, the calls it took, and whether there was a compaction.
fn run(base: &SimDisk, book: &Book, fault: Option<(u64, FaultKind)>, seed: u64) -> (Result<(), String>, Stage) {
    let disk = base.crash(seed);
    disk.count_only_mutations(true);
    disk.set_call_count(0);
    if let Some((at, kind)) = fault {
        disk.fail_in(at, kind);
    }
    let mut stage = Stage { disk, book: book.clone(), version: 10, refused: 0, compacted: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut result = runtime.block_on(stage.work());
    // A power cut takes what was not synced. Else the process ends, which leaves what was written.
    let left = if stage.disk.is_power_cut() { stage.disk.crash(seed) } else { stage.disk.after_kill() };
    drop(runtime);
    if result.is_ok() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        result = runtime.block_on(check(&left, &mut stage.book));
    }
    (result, stage)
}

/// Guards F43 to F52.
#[test]
fn whatever_fails_no_value_is_lost_and_none_comes_back() {
    let started = Instant::now();
    let mut stage = Stage { disk: SimDisk::new(1), book: Book::default(), version: 0, refused: 0, compacted: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(stage.prepare());
    drop(runtime);
    let (base, book) = (stage.disk.crash(1), stage.book);
    let (result, dry) = run(&base, &book, None, 1);
    assert_eq!(result, Ok(()));
    let (calls, trace) = (dry.disk.calls(), dry.disk.trace());
    let of_cold = |what| trace.iter().filter(|call| call.operation == what && is_cold(&call.path)).count();
    let (made, removed) = (of_cold(Operation::Create), of_cold(Operation::Remove));
    println!("{calls} calls, {made} cold files made, {removed} removed, compacted: {}", dry.compacted);
    assert!(made > 8 && removed > 3 && dry.compacted && dry.book.refused.is_empty(), "{:?}", dry.book.refused);
    let stride = std::env::var("COLD_CRASH_STRIDE").ok().map_or(STRIDE, |stride| stride.parse().unwrap());
    let mut points = Vec::new();
    for (at, call) in (1..=calls).enumerate() {
        points.extend(
            KINDS
                .iter()
                .enumerate()
                .filter(|(kind, _)| ((at + kind * 2) as u64).is_multiple_of(stride))
                .map(|(_, kind)| (call, *kind)),
        );
    }
    let (next, wrong) = (AtomicUsize::new(0), Arc::new(Mutex::new(Vec::new())));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((call, kind)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = std::panic::catch_unwind(|| run(&base, &book, Some((*call, *kind)), *call).0);
                    let result = result.unwrap_or_else(|_| Err("a panic".to_owned()));
                    if let Err(error) = result {
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
