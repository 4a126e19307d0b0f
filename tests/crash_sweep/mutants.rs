//! The suite is worth something: with a disk that lies, or with one step of the crate made wrong, it fails.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use mainstay::SyncPolicy;
use mainstay::ractor::registry;
use mainstay::sim::{Operation, SimDisk};
use mainstay::sync::mutants::{Mutant, switch};

use crate::book::{Book, Ending, Found};
use crate::stage::{Stage, hasty_options};
use crate::sweep::{Sweep, block_on};
use crate::workload::Workload;

/// A mutant is on for the whole process, so nobody else may run meanwhile.
static ALONE: RwLock<()> = RwLock::new(());

/// For all who want the crate as it is.
pub fn unmutated() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs with one step made wrong, alone. Panics unless something is noticed.
fn noticed(mutant: Mutant, run: impl FnOnce() -> Vec<String>) {
    struct Off(Mutant);
    impl Drop for Off {
        fn drop(&mut self) {
            switch(self.0, false);
        }
    }
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let _off = Off(mutant);
    switch(mutant, true);
    let violations = run();
    println!("{mutant:?}: {} violations, such as {:?}", violations.len(), violations.first());
    assert!(!violations.is_empty(), "nobody notices {mutant:?}");
}

/// Guards F4, F8.
#[test]
fn a_disk_that_lies_about_sync_is_noticed() {
    let _unmutated = unmutated();
    for workload in Workload::ALL {
        let violations = Sweep::of(workload).on_a_lying_disk(|disk| disk.lie_about_sync(true));
        assert!(violations > 0, "{workload:?}: nobody notices that nothing is synced");
    }
}

/// Guards F6.
#[test]
fn a_disk_that_lies_about_directory_sync_is_noticed() {
    let _unmutated = unmutated();
    let sweep = Sweep::of(Workload::FirstOpen);
    let violations = sweep.on_a_lying_disk(|disk| disk.lie_about_sync_dir(true));
    assert!(violations > 0, "nobody notices that no directory is synced");
}

/// Guards F1.
#[test]
fn answers_before_the_sync_are_noticed() {
    let sweep = Sweep::of(Workload::Reopen);
    noticed(Mutant::EarlyAnswer, || sweep.violations(SyncPolicy::Always));
}

/// Guards F4.
#[test]
fn a_failed_sync_that_is_tried_again_is_noticed() {
    let sweep = Sweep::of(Workload::Reopen);
    noticed(Mutant::IgnoredLatch, || sweep.violations(SyncPolicy::Always));
}

/// Guards F4, F10, F14. The same run without the mutant is fine.
#[test]
fn an_old_incarnation_that_goes_on_is_noticed() {
    let run = || block_on(3, a_thread_that_wakes_too_late());
    noticed(Mutant::StaleIncarnation, run);
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(run(), [""; 0]);
}

/// A writer hangs in a write, its pair is replaced, and it wakes: whoever it answers is told something wrong.
async fn a_thread_that_wakes_too_late() -> Vec<String> {
    let policy = SyncPolicy::Always;
    let disk = SimDisk::new(1);
    let before: BTreeSet<_> = registry::registered().into_iter().collect();
    let mut stage =
        Stage { disk: disk.clone(), policy, shards: 1, book: Book::default(), reopened_at: 0, is_patient: false };
    let runtime = stage.open().await.unwrap();
    stage.batch(&runtime, 1, 0).await;
    let ours = registry::registered().into_iter().filter(|name| !before.contains(name));
    let shard = ours.into_iter().find(|name| name.ends_with("/0/shard.1")).unwrap();

    // Filled, header, frame: the next write to that file is a frame.
    let trace = disk.trace();
    let mut writes = trace.iter().filter(|call| call.operation == Operation::Write);
    let log = writes.find(|call| call.path.extension().is_some_and(|name| name == "seg")).unwrap();
    let (path, mut armed) = (log.path.clone(), true);
    let stall = disk.stall(move |call| {
        let hit = armed && call.path == path && call.operation == Operation::Write;
        armed &= !hit;
        hit
    });
    let writing = {
        let (book, runtime, entry) = (stage.book.clone(), runtime.clone(), stage.book.entry("a", 0));
        tokio::spawn(async move { book.submit(&runtime, entry).await })
    };
    until(|| stall.waiting() > 0).await;
    registry::where_is(shard).unwrap().kill();
    until(|| runtime.stats().shards[0].restarts > 0).await;
    stage.batch(&runtime, 3, 0).await;
    stall.release();
    writing.await.unwrap();
    stage.book.ask_outcomes(&runtime).await;

    let crashed = disk.crash(1);
    drop(runtime);
    let options = hasty_options(policy, 1);
    let reopened = mainstay::Runtime::open_on(crashed, crate::ledger::Ledger, options).await.unwrap();
    stage.book.check(&Found::read(&reopened).unwrap(), Ending::PowerCut)
}

async fn until(mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "it never happens");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
