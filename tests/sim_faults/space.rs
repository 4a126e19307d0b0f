//! A full disk: commands are refused before anything happens to them, and everything goes on when there is space.

use mainstay::sim::{Fault, FaultKind, SimDisk};
use mainstay::{NotExecuted, Options, SubmitError, SyncPolicy};

use crate::book::Book;
use crate::scene::{Scene, options};

const FULL: SubmitError = SubmitError::NotExecuted(NotExecuted::StorageFull);

fn tiny(policy: SyncPolicy) -> Options {
    Options { segment_bytes: 4096, command_bytes_max: Options::command_bytes_for(4096), ..options(policy, 1) }
}

/// Writes until there is no space. Every refusal is the same, and nothing else goes wrong.
async fn fill(scene: &Scene) {
    for _ in 0..200 {
        scene.write_many("a", 2).await;
        let records = scene.book.records();
        let last = records.last().unwrap();
        match &last.answer {
            Ok(_) => {}
            Err(error) => return assert_eq!(*error, FULL),
        }
    }
    panic!("it never gets full");
}

/// Writes until there is space again: the next file is tried for after a pause.
async fn resume(scene: &Scene) {
    for _ in 0..10_000 {
        scene.write_many("b", 1).await;
        match scene.book.records().pop().unwrap().answer {
            Ok(_) => return,
            Err(error) => assert_eq!(error, FULL),
        }
        tokio::task::yield_now().await;
    }
    panic!("it never resumes");
}

/// Guards F59: refused before apply, nothing is fenced, and it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_commands_and_fences_nothing() {
    for policy in [SyncPolicy::Always, SyncPolicy::Never] {
        let mut scene = Scene::open(tiny(policy)).await;
        scene.write_many("a", 2).await;
        scene.settle().await;
        scene.disk.fail_in(1, FaultKind::NoSpace);
        fill(&scene).await;
        let stats = scene.stats(0);
        assert_eq!((stats.refusal, stats.restarts, stats.moves), (None, 0, 0));
        let next = scene.book.receipts() as u64 + 1;
        scene.disk.free_space();
        resume(&scene).await;
        let last = scene.book.records().pop().unwrap().answer.unwrap();
        assert_eq!(last.position.lsn.0, next, "a refused command has taken a position");
        scene.write_many("a", 10).await;
        let stats = scene.stats(0);
        assert_eq!((stats.refusal, stats.restarts, stats.moves), (None, 0, 0));
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// A directory that is there, and no space for the first segment: reads and opening work, commands are refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_the_start_still_opens() {
    let mut before = Scene::open(tiny(SyncPolicy::Always)).await;
    before.write_many("a", 3).await;
    before.runtime.shutdown().await.unwrap();
    let disk: SimDisk = before.disk.crash(3);
    disk.fail(Fault { at: 1, kind: FaultKind::NoSpace });
    let book: Book = before.book.copy(before.book.len());
    let mut scene = Scene::open_on(disk, before.options.clone(), book).await;
    assert_eq!(scene.runtime.latest().get(b"a").unwrap().unwrap().history.len(), 3);
    fill(&scene).await;
    assert_eq!(scene.book.receipts(), 3);
    scene.disk.free_space();
    resume(&scene).await;
    scene.check_after_crashes().await;
    before.check_after_crashes().await;
}

/// A file fails while there is no space to move to: the log is sealed, nothing is promised wrongly, and it goes on
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_on_a_full_disk() {
    for policy in [SyncPolicy::Always, SyncPolicy::Never] {
        let mut scene = Scene::open(tiny(policy)).await;
        scene.write_many("a", 2).await;
        scene.settle().await;
        scene.disk.fail_in(1, FaultKind::NoSpace);
        fill(&scene).await;
        let active = scene.active(0);
        crate::scene::fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
            call.path == active && call.operation == mainstay::sim::Operation::Sync
        });
        let position = scene.book.records().iter().filter_map(|record| record.given()).max().unwrap();
        let _ = scene.runtime.durable(position.0, position.1).await;
        scene.write_many("a", 2).await;
        scene.disk.free_space();
        resume(&scene).await;
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}
