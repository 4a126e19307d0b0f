//! Where the log ends after a failure or a death: what an earlier recovery has shown, and what the disk has taken, is
//! never cut off again.

use std::time::Duration;

use mainstay::sim::{Call, FaultKind, Operation, SimDisk};
use mainstay::{NotExecuted, Outcome, Position, ShardId, SyncPolicy};
use tokio::time::timeout;

use crate::scene::{Scene, fail_first, is_log, is_manifest, options, until};

const RARELY: SyncPolicy = SyncPolicy::Interval(Duration::from_secs(3600));

/// From now on no file of the log can be made.
fn make_no_spares(disk: &SimDisk) {
    let refused = |call: &Call| is_log(&call.path) && call.operation == Operation::Create;
    disk.fail_when(move |call| refused(call).then_some(FaultKind::ErrorOnce));
}

/// Guards F4, F24: a sync fails after the pair that has called it was replaced. What the next life has read, shown and
/// confirmed stays, however often the pair dies before it can begin a file of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_late_takes_nothing_back() {
    for policy in [RARELY, SyncPolicy::Never] {
        let mut scene = Scene::open(options(policy, 1)).await;
        scene.write_many("a", 5).await;
        let last = scene.write("a").await;
        scene.settle().await;
        let active = scene.active(0);
        let (stalls, fails) = (active.clone(), active);
        fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
            call.path == fails && call.operation == Operation::Sync
        });
        let mut armed = true;
        let stall = scene.disk.stall(move |call| {
            let hit = armed && call.path == stalls && call.operation == Operation::Sync;
            armed &= !hit;
            hit
        });
        let (runtime, position) = (scene.runtime.clone(), last.position);
        let durable = tokio::spawn(async move { runtime.durable(ShardId(0), position).await });
        until("the sync hangs", || stall.waiting() > 0).await;
        make_no_spares(&scene.disk);

        scene.kill_and_wait("0/shard").await;
        timeout(Duration::from_secs(10), durable).await.unwrap().unwrap().unwrap();
        scene.book.promise(&scene.runtime, ShardId(0), position);
        stall.release();
        // The old thread learns of the failure in the meantime.
        for _ in 0..10 {
            scene.kill_and_wait("0/wal_writer").await;
            let view = scene.runtime.view().await;
            assert_eq!(view.get(b"a").unwrap().unwrap().fold, last.reply, "{policy:?}");
            assert_eq!(scene.stats(0).lost, []);
            assert_eq!(scene.runtime.outcome(ShardId(0), position).await, Outcome::Durable);
        }
        scene.disk.disarm();
        scene.write_at_last("b").await;
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F4, F12: what a recovery has shown and called durable is not torn when the next one cannot read it any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_called_durable_is_damaged_later_and_never_torn() {
    let scene = Scene::open(options(SyncPolicy::Never, 1)).await;
    scene.write_many("a", 5).await;
    let last = scene.write("a").await;
    scene.settle().await;
    let active = scene.active(0);
    make_no_spares(&scene.disk);
    scene.kill_and_wait("0/shard").await;
    scene.runtime.durable(ShardId(0), last.position).await.unwrap();
    // Nothing in the file says that its last frame was durable, but this process does.
    let end = scene.disk.read(&active).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    scene.disk.overwrite(&active, end as u64, &[0]).unwrap();
    scene.actor("0/wal_writer").unwrap().kill();
    until("it is fenced", || scene.stats(0).refusal == Some(NotExecuted::Fenced)).await;
    let view = scene.runtime.view().await;
    assert_eq!(view.get(b"a").unwrap().unwrap().fold, last.reply);
    assert_eq!(scene.stats(0).lost, []);
}

/// Guards F5, F11: a write fails, and there is no other file: the log is sealed behind the frames that are intact, and
/// only the command whose frame was refused is not executed.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_after_a_failed_write_gives_up_nothing_that_is_intact() {
    for policy in [RARELY, SyncPolicy::Never] {
        let mut scene = Scene::open(options(policy, 1)).await;
        scene.write_many("a", 5).await;
        scene.settle().await;
        let active = scene.active(0);
        // Neither the spare that is there nor another one.
        make_no_spares(&scene.disk);
        let (failing, fresh) = (active.clone(), active);
        fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
            call.path == failing && call.operation == Operation::Write
        });
        scene.disk.fail_when(move |call| {
            let header = is_log(&call.path) && call.path != fresh && call.operation == Operation::Write;
            header.then_some(FaultKind::ErrorOnce)
        });
        scene.write_many("a", 1).await;
        let refused = scene.book.records().pop().unwrap();
        assert!(refused.answer.is_err(), "{refused:?}");
        until("the pair begins anew", || scene.stats(0).restarts > 0).await;
        assert_eq!(scene.stats(0).lost, [], "{policy:?}");
        let (epoch, lsn) = (mainstay::Epoch(1), mainstay::Lsn(5));
        assert_eq!(scene.runtime.outcome(ShardId(0), Position { epoch, lsn }).await, Outcome::Durable);

        scene.disk.disarm();
        scene.write_at_last("b").await;
        scene.book.promise(&scene.runtime, ShardId(0), Position { epoch, lsn });
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// The next write of the log fails, having done all of its work, and there is no other file: the log has to be sealed
/// in front of a frame that can be read.
fn fail_write_and_move(scene: &Scene) {
    let active = scene.active(0);
    let mut failed = false;
    scene.disk.fail_when(move |call| {
        if !failed && call.path == active && call.operation == Operation::Write {
            failed = true;
            return Some(FaultKind::ErrorAfterEffect);
        }
        let opens = call.operation == Operation::Create || (call.path != active && call.operation == Operation::Write);
        (failed && is_log(&call.path) && opens).then_some(FaultKind::ErrorOnce)
    });
}

/// Guards F5: what a seal in doubt may have cut off is not shown, and never called durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_in_doubt_is_not_read_past() {
    for policy in [SyncPolicy::Always, SyncPolicy::Never] {
        let mut scene = Scene::open(options(policy, 1)).await;
        scene.write_many("a", 5).await;
        scene.settle().await;
        fail_write_and_move(&scene);
        let mut armed = false;
        scene.disk.fail_when(move |call| {
            // The seal's own edit is on the disk, which nobody knows; and there is no other generation to be had.
            armed |= is_manifest(&call.path) && call.operation == Operation::Sync;
            let again = armed && is_manifest(&call.path) && call.operation == Operation::Create;
            let seal = armed && is_manifest(&call.path) && call.operation == Operation::Sync;
            seal.then_some(FaultKind::ErrorAfterEffect).or(again.then_some(FaultKind::ErrorOnce))
        });
        scene.write_many("a", 1).await;
        until("the pair begins anew", || scene.stats(0).restarts > 0).await;
        let (shard, position) = scene.book.records().pop().unwrap().given().unwrap();
        assert_ne!(scene.runtime.outcome(shard, position).await, Outcome::Durable, "{policy:?}");
        scene.check_after_kill().await;
        scene.check_after_crashes().await;
    }
}

/// Guards F5, F24: nor while it is on its way, and its writer dies.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_on_its_way_is_not_read_past() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write_many("a", 5).await;
    scene.settle().await;
    fail_write_and_move(&scene);
    let stall = scene.disk.stall(|call| is_manifest(&call.path) && call.operation == Operation::Sync);
    let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
    let entry = book.entry("a", 20);
    let caller = tokio::spawn(async move { book.submit(&runtime, entry).await });
    until("the seal is on its way", || stall.waiting() > 0).await;
    scene.kill_and_wait("0/shard").await;
    caller.await.unwrap();
    let (shard, position) = scene.book.records().pop().unwrap().given().unwrap();
    assert_ne!(scene.runtime.outcome(shard, position).await, Outcome::Durable);
    let shown = scene.runtime.view().await.end(shard).unwrap();
    assert!(shown.lsn <= position.lsn, "{shown} is shown");
    stall.release();
    scene.disk.disarm();
    scene.write_at_last("b").await;
    scene.check_after_kill().await;
    scene.check_after_crashes().await;
}

/// Guards F24, F36: the edit that begins a life becomes durable after the life has ended and the next one was made.
#[tokio::test(flavor = "multi_thread")]
async fn a_begin_that_comes_late_gives_nobody_its_epoch() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write_many("a", 5).await;
    scene.settle().await;
    let mut seen = 0;
    let stall = scene.disk.stall(move |call| {
        // The first edit of the second life registers its spare.
        let hit = is_manifest(&call.path) && call.operation == Operation::Sync;
        seen += u32::from(hit);
        hit && seen == 2
    });
    scene.kill_and_wait("0/shard").await;
    until("the second life begins", || stall.waiting() > 0).await;
    scene.kill_and_wait("0/shard").await;
    stall.release();
    scene.write_at_last("b").await;
    let record = scene.book.records().pop().unwrap();
    let (shard, position) = record.given().unwrap();
    assert_eq!(scene.runtime.outcome(shard, position).await, Outcome::Durable);
    scene.check_after_kill().await;
    scene.check_after_crashes().await;
}
