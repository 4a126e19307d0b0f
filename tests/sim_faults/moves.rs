//! A failed write or sync of the log: its frames move to another file, or the log is sealed.

use std::time::Duration;

use mainstay::sim::{FaultKind, Operation};
use mainstay::{Durability, Lsn, NotExecuted, Outcome, Position, ShardId, SubmitError, SyncPolicy};
use tokio::time::timeout;

use crate::book::Ending;
use crate::scene::{SEEDS, Scene, check, fail_first, is_log, is_manifest, open, options, until, writes_after};

const NEVER: SyncPolicy = SyncPolicy::Never;
const RARELY: SyncPolicy = SyncPolicy::Interval(Duration::from_secs(3600));

/// One failing call on the file that is written; everybody gets a receipt all the same. Returns the failed file's calls
/// from there on.
async fn move_after(policy: SyncPolicy, operation: Operation) {
    let mut scene = Scene::open(options(policy, 1)).await;
    scene.write_many("a", 3).await;
    let (active, from) = (scene.active(0), scene.disk.calls());
    let failing = active.clone();
    fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| call.path == failing && call.operation == operation);
    scene.write_many("a", 4).await;
    let last = scene.write("b").await;
    scene.runtime.durable(ShardId(0), last.position).await.unwrap();
    until("the frames move", || scene.stats(0).moves == 1).await;
    scene.write_many("a", 3).await;

    assert_eq!(scene.book.receipts(), 11, "somebody was disturbed");
    let mut lsns: Vec<_> = scene.book.records().iter().map(|r| r.given().unwrap().1.lsn.0).collect();
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=11).collect::<Vec<_>>());
    // After a failed write what went before it is synced, once. After a failed sync there is nothing.
    let after: Vec<_> = writes_after(&scene.disk, &active, operation, from).iter().map(|call| call.operation).collect();
    let has_unsynced = policy != SyncPolicy::Always && operation == Operation::Write;
    assert_eq!(after, [Operation::Sync].repeat(usize::from(has_unsynced)));
    let stats = scene.stats(0);
    assert_eq!((stats.moves, stats.restarts, stats.lost.len()), (1, 0, 0));
    assert_ne!(scene.active(0), active);
    // Everything up to the last that was moved is durable, whatever the policy.
    scene.book.promise(&scene.runtime, ShardId(0), last.position);
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}

/// Guards F4, F11.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_moves_the_frames_and_nobody_notices() {
    move_after(SyncPolicy::Always, Operation::Sync).await;
    move_after(NEVER, Operation::Sync).await;
    move_after(RARELY, Operation::Sync).await;
}

/// Guards F11: half a frame is in the file, and nothing ever follows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_moves_the_frames_and_nobody_notices() {
    move_after(SyncPolicy::Always, Operation::Write).await;
    move_after(NEVER, Operation::Write).await;
    move_after(RARELY, Operation::Write).await;
}

/// A sync fails (with `kind`), and so does the header of the file that its frames should move to.
async fn fail_sync_and_move(scene: &Scene, kind: FaultKind) -> std::path::PathBuf {
    scene.settle().await;
    let active = scene.active(0);
    let (failing, fresh) = (active.clone(), active.clone());
    fail_first(&scene.disk, kind, move |call| call.path == failing && call.operation == Operation::Sync);
    // Nor is there another spare, whose registration would come in between the edits.
    fail_first(&scene.disk, FaultKind::ErrorOnce, |call| is_log(&call.path) && call.operation == Operation::Create);
    // A spare has been filled long ago: the next write to it is a header.
    let mut synced = std::collections::BTreeSet::new();
    for call in scene.disk.trace().iter().filter(|call| call.operation == Operation::Sync) {
        synced.insert(call.path.clone());
    }
    fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
        let filled = synced.contains(&call.path);
        if call.operation == Operation::Sync {
            synced.insert(call.path.clone());
        }
        is_log(&call.path) && call.path != fresh && call.operation == Operation::Write && filled
    });
    active
}

/// Guards F4, F5: the unanswered are told "not executed", and that stays true; the pair begins a new life.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_move_fails_too_the_log_is_sealed_and_the_answers_are_exact() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write_many("a", 3).await;
    let from = scene.disk.calls();
    let active = fail_sync_and_move(&scene, FaultKind::ErrorOnce).await;
    scene.write_many("a", 4).await;
    let fenced = SubmitError::NotExecuted(NotExecuted::Fenced);
    let records = scene.book.records();
    let failed = records.iter().filter(|record| record.answer.is_err());
    let failed: Vec<_> = failed.map(|record| record.answer.clone().unwrap_err()).collect();
    assert!(!failed.is_empty() && failed.iter().all(|error| *error == fenced), "{failed:?}");

    let receipt = scene.write("b").await;
    let answered = scene.book.receipts() as u64;
    assert_eq!((receipt.position.epoch.0, receipt.position.lsn.0), (2, answered));
    assert_eq!(writes_after(&scene.disk, &active, Operation::Sync, from), []);
    assert_eq!((scene.stats(0).restarts, scene.stats(0).moves), (1, 0));
    scene.check_after_crashes().await;
}

/// Guards F4, F5: under a policy that answers before it syncs, what a seal cuts off is named.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_and_is_lost_is_named() {
    for manifest_fails in [false, true] {
        let mut scene = Scene::open(options(NEVER, 1)).await;
        let first = scene.write("a").await;
        scene.runtime.durable(ShardId(0), first.position).await.unwrap();
        scene.write_many("a", 2).await;
        fail_sync_and_move(&scene, FaultKind::ErrorOnce).await;
        if manifest_fails {
            // The seal is certainly not in the manifest: the pair dies without it.
            fail_first(&scene.disk, FaultKind::ErrorOnce, |call| {
                is_manifest(&call.path) && call.operation == Operation::Write
            });
        }
        scene.write_many("b", 1).await;
        let answered = scene.book.records().iter().filter_map(|record| record.given()).max().unwrap();
        let durable = scene.runtime.durable(answered.0, answered.1);
        let _ = timeout(Duration::from_secs(10), durable).await.expect("nobody tells those who wait");
        until("the pair begins anew", || scene.stats(0).restarts == 1).await;
        let receipt = scene.write("c").await;
        let lost = scene.stats(0).lost;
        assert_eq!(lost.len(), 1, "the manifest fails: {manifest_fails}");
        assert_eq!(lost[0].first, receipt.position.lsn);
        assert!(lost[0].first < lost[0].end);
        let first = Position { epoch: lost[0].epoch, lsn: lost[0].first };
        assert_eq!(scene.runtime.outcome(ShardId(0), first).await, Outcome::NotExecuted);
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F5: nobody is told "not executed" while the seal may or may not be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_of_unknown_outcome_leaves_the_answers_open() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write_many("a", 3).await;
    let from = scene.disk.calls();
    let active = fail_sync_and_move(&scene, FaultKind::ErrorOnce).await;
    fail_first(&scene.disk, FaultKind::ErrorOnce, |call| is_manifest(&call.path) && call.operation == Operation::Write);
    scene.write_many("a", 4).await;
    let records = scene.book.records();
    let mut failed = records.iter().filter_map(|record| record.answer.as_ref().err());
    // What was taken up too late to be handed to any writer is certainly not executed.
    let fenced = SubmitError::NotExecuted(NotExecuted::Fenced);
    let open = |error: &SubmitError| matches!(error, SubmitError::Unconfirmed { .. });
    assert!(failed.clone().any(open));
    assert!(failed.all(|error| open(error) || *error == fenced));

    // The manifest has another generation by now, and the pair serves again.
    scene.write("b").await;
    for record in scene.book.records().iter().filter(|record| record.answer.is_err()) {
        let Some((shard, position)) = record.given() else { continue };
        assert_eq!(scene.runtime.outcome(shard, position).await, Outcome::NotExecuted);
    }
    assert_eq!(writes_after(&scene.disk, &active, Operation::Sync, from), []);
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}

/// Guards F5, F22: with a manifest that fails for good nobody gets a wrong answer, and a reopening serves again.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_manifest_that_fails_for_good_the_answers_stay_true() {
    let mut hasty = options(SyncPolicy::Always, 1);
    hasty.submit_deadline = Duration::from_millis(400);
    let mut scene = Scene::open(hasty).await;
    scene.write_many("a", 3).await;
    fail_sync_and_move(&scene, FaultKind::ErrorAfterEffect).await;
    scene.disk.fail_when(|call| {
        let fails = is_manifest(&call.path) && call.operation.is_mutation();
        fails.then_some(FaultKind::ErrorOnce)
    });
    scene.write_many("a", 4).await;
    let records = scene.book.records();
    let mut failed = records.iter().filter_map(|record| record.answer.as_ref().err());
    assert!(failed.any(|error| matches!(error, SubmitError::Unconfirmed { .. })));
    until("the pair begins anew", || scene.stats(0).restarts > 0).await;
    // Spares that cannot be registered do not pile up.
    let logs = || scene.disk.files().into_keys().filter(|path| is_log(path)).count();
    let mut before = None;
    for _ in 0..3 {
        scene.write_many("a", 1).await;
        let last = scene.book.records().pop().unwrap();
        assert!(matches!(last.answer, Err(SubmitError::NotExecuted(_))), "{last:?}");
        assert_eq!(*before.get_or_insert(logs()), logs());
    }
    scene.check_after_crashes().await;
}

/// Guards F3, F5: as long as no edit has ended the old epoch, a crash may bring back what the new life did not recover.
/// The sync has failed after all of its work, so the frame is on the disk; the new life believes the failure.
#[tokio::test(flavor = "multi_thread")]
async fn outcome_does_not_deny_what_a_crash_may_still_bring_back() {
    let scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    fail_sync_and_move(&scene, FaultKind::ErrorAfterEffect).await;
    let mut appends = 0;
    fail_first(&scene.disk, FaultKind::ErrorOnce, |call| is_manifest(&call.path) && call.operation == Operation::Write);
    // The failed seal, then another generation, then a spare for the new life, then its begin.
    let stall = scene.disk.stall(move |call| {
        appends += u64::from(is_manifest(&call.path) && call.operation == Operation::Write);
        appends >= 4
    });
    scene.write_many("a", 1).await;
    let record = scene.book.records().pop().unwrap();
    let (shard, position) = record.given().unwrap();
    assert!(matches!(record.answer, Err(SubmitError::Unconfirmed { .. })));
    until("the new life begins", || stall.waiting() > 0).await;
    assert_eq!(scene.stats(0).answered.epoch.0, 2, "the new life is there");

    let outcome = scene.runtime.outcome(shard, position).await;
    let crashed = scene.disk.crash(1);
    let (reopened, _) = open(&crashed, &scene.options).await;
    let truth = reopened.outcome(shard, position).await;
    assert_eq!(truth, Outcome::Durable, "the crash has brought it back");
    assert_ne!(outcome, Outcome::NotExecuted, "a crash could still bring it back");
    drop(stall);
}

/// Guards F4: a sync that fails after all of its work is a failed sync.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_did_its_work_and_failed_is_a_failed_sync() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    fail_sync_and_move(&scene, FaultKind::ErrorAfterEffect).await;
    scene.write_many("a", 2).await;
    scene.write("b").await;
    let epochs: Vec<_> = scene.book.records().iter().filter_map(|r| Some(r.given()?.1)).collect();
    let first = Position { epoch: mainstay::Epoch(1), lsn: Lsn(1) };
    assert_eq!(epochs[0], first);
    assert_eq!(scene.book.records()[0].answer.as_ref().unwrap().durability, Durability::Durable);
    scene.check_after_crashes().await;
    for seed in SEEDS {
        let disk = scene.disk.after_kill();
        check(&disk.crash(seed), &scene.options, &scene.book, Ending::PowerCut, seed).await;
    }
}
