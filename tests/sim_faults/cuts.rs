//! Versions and rewrites while actors die and calls fail or hang: everybody is released and told, nothing is left
//! behind, and the next one works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay::sim::{FaultKind, Operation};
use mainstay::{Options, SyncPolicy, VersionError};
use tokio::time::timeout;

use crate::book::Ending;
use crate::scene::{Scene, check, check_at_rest, fail_first, is_log, is_manifest, open, until};
use crate::snapshots::{is_unfinished, stall_next, tiny};
use crate::stalls::stalled;

/// Longer nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

fn hasty(policy: SyncPolicy) -> Options {
    let mut options = Options { sync: policy, ..tiny(2) };
    (options.versions.keep, options.versions.sync_deadline) = (2, Duration::from_millis(300));
    options
}

/// A scene with something in both shards; and a key of each.
async fn scene(options: Options) -> (Scene, [String; 2]) {
    let scene = Scene::open(options).await;
    let keys = [scene.key(0), scene.key(1)];
    for key in &keys {
        for _ in 0..4 {
            let entry = scene.book.entry(key, 300);
            scene.book.submit(&scene.runtime, entry).await;
        }
    }
    (scene, keys)
}

/// Makes versions until one is made: a death may be on its way. Both kinds.
async fn make_at_last(scene: &Scene, what: &str) {
    for rewrite in [false, true] {
        let started = Instant::now();
        loop {
            let runtime = &scene.runtime;
            let making = async { if rewrite { runtime.rewrite().await } else { runtime.mark().await } };
            match timeout(PATIENCE, making).await.expect("nobody answers") {
                Ok(version) => break scene.book.told_of(&version),
                Err(error) => assert!(started.elapsed() < PATIENCE, "{what}: no version any more: {error}"),
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Two tasks write, versions are marked and shards rewritten; at call `at`, counted from here, the actor is killed.
/// Returns whether there was such a call.
async fn kill_at(policy: SyncPolicy, role: &str, at: u64) -> bool {
    let (mut scene, keys) = scene(hasty(policy)).await;
    let first = scene.runtime.mark().await.unwrap();
    scene.book.told_of(&first);
    let (victim, from) = (scene.actor(role).unwrap(), scene.disk.calls());
    scene.disk.fail_when(move |call| {
        if call.number == from + at {
            victim.kill();
        }
        None
    });
    let writing: Vec<_> = keys
        .iter()
        .map(|key| {
            let (book, runtime, key) = (scene.book.clone(), scene.runtime.clone(), key.clone());
            tokio::spawn(async move {
                for _ in 0..6 {
                    let submitted = book.submit(&runtime, book.entry(&key, 300));
                    timeout(PATIENCE, submitted).await.expect("nobody answers");
                }
            })
        })
        .collect();
    for rewrite in [true, false] {
        let runtime = &scene.runtime;
        let making = async { if rewrite { runtime.rewrite().await } else { runtime.mark().await } };
        if let Ok(version) = timeout(PATIENCE, making).await.expect("nobody answers") {
            scene.book.told_of(&version);
        }
    }
    timeout(PATIENCE, scene.runtime.snapshot()).await.expect("nobody answers").unwrap_or_default();
    for writing in writing {
        writing.await.unwrap();
    }
    let has_call = scene.disk.calls() >= from + at;
    scene.disk.disarm();
    let what = format!("{role}, {policy:?}, call {at}");
    for key in &keys {
        scene.write_at_last(key).await;
    }
    make_at_last(&scene, &what).await;
    scene.book.ask_outcomes(&scene.runtime).await;
    check(&scene.disk.crash(at), &scene.options, &scene.book, Ending::PowerCut, at).await;
    let killed = scene.disk.after_kill();
    check(&killed.after_kill(), &scene.options, &scene.book, Ending::Kill, at).await;
    // The next open removes what is nobody's.
    let (runtime, _) = open(&killed, &scene.options).await;
    assert_eq!(scene.book.check_versions(&runtime.versions()), [""; 0], "{what}");
    drop(runtime);
    check_at_rest(&killed);
    has_call
}

/// Guards F33, F34, F35, F36: whichever actor dies at whichever call, every caller gets one answer, nobody is held, and
/// the next version is made.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_dies_during_a_cut_costs_nobody_an_answer() {
    for (role, step) in [("rewrite_coordinator", 1), ("0/shard", 2), ("0/wal_writer", 2), ("1/snapshotter", 3)] {
        let mut points = 0;
        for (turn, at) in (1..=50).step_by(step).enumerate() {
            let policy = [SyncPolicy::Always, SyncPolicy::Never][turn % 2];
            points += u64::from(kill_at(policy, role, at).await);
        }
        println!("{role}: killed at {points} calls");
        assert!(points >= 10, "{role}: {points}");
    }
}

/// Guards F2, F33: a shard that does not sync is no part of a cut. Nobody is held for it, and the next cut works.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_hangs_before_a_cut_holds_nobody() {
    let (mut scene, keys) = scene(hasty(SyncPolicy::Never)).await;
    let active = scene.active(0);
    let stall = stall_next(&scene, move |call| call.path == active && call.operation == Operation::Sync);
    let started = Instant::now();
    assert_eq!(scene.runtime.mark().await, Err(VersionError::Deadline));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(stall.waiting(), 1);
    assert_eq!((scene.stats(0).longest_hold, scene.stats(1).longest_hold), Default::default());
    let entry = scene.book.entry(&keys[1], 20);
    scene.book.submit(&scene.runtime, entry).await;
    assert!(scene.book.records().pop().unwrap().answer.is_ok());
    stall.release();
    make_at_last(&scene, "after a stall").await;
    scene.check_after_crashes().await;
}

/// Guards F2, F33: nor does it hold anybody up when it hangs behind the cut: shards go on, the version does not come.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_hangs_behind_a_cut_releases_all() {
    let mut large = hasty(SyncPolicy::Never);
    large.segment_bytes = 128 * 1024;
    let (mut scene, keys) = scene(large).await;
    let (active, key) = (scene.active(0), keys[0].clone());
    let (stop, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (book, runtime, stopped) = (scene.book.clone(), scene.runtime.clone(), Arc::clone(&stop));
    let writer = tokio::spawn(async move {
        while !stopped.load(Ordering::SeqCst) {
            book.submit(&runtime, book.entry(&key, 20)).await;
        }
    });
    // The first sync of a cut is that in front of the hold; what was written in between wants another one.
    let counted = Arc::clone(&syncs);
    let stall = scene.disk.stall(move |call| {
        let is_sync = call.path == active && call.operation == Operation::Sync;
        is_sync && counted.fetch_add(1, Ordering::SeqCst) == 1
    });
    let mut told = Vec::new();
    while stall.waiting() == 0 {
        assert!(told.len() < 200, "nothing is ever written between the sync and the hold");
        syncs.store(0, Ordering::SeqCst);
        told.push(timeout(PATIENCE, scene.runtime.mark()).await.expect("nobody answers"));
    }
    assert_eq!(told.pop(), Some(Err(VersionError::Deadline)));
    stop.store(true, Ordering::SeqCst);
    for shard in 0..2 {
        assert!(scene.stats(shard).longest_hold < Duration::from_secs(2), "{:?}", scene.stats(shard));
    }
    let receipts = scene.book.receipts();
    scene.write_many(&keys[1], 3).await;
    assert!(scene.book.receipts() >= receipts + 3);
    stall.release();
    writer.await.unwrap();
    make_at_last(&scene, "after a stall").await;
    scene.check_after_crashes().await;
}

/// Guards F26, F33: while the manifest hangs nobody is held, another version is refused, and the first comes true.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_hangs_delays_the_version_and_nothing_else() {
    let mut large = hasty(SyncPolicy::Always);
    (large.segment_bytes, large.lane_bytes) = (1 << 20, 1 << 20);
    let (mut scene, keys) = scene(large).await;
    scene.settle().await;
    let stall = stall_next(&scene, |call| is_manifest(&call.path) && call.operation == Operation::Sync);
    let runtime = scene.runtime.clone();
    let marking = tokio::spawn(async move { runtime.mark().await });
    stalled(&stall).await;
    assert_eq!(scene.runtime.rewrite().await, Err(VersionError::Busy));
    for key in &keys {
        scene.write(key).await;
    }
    assert_eq!(scene.runtime.versions(), []);
    stall.release();
    let version = marking.await.unwrap().unwrap();
    assert_eq!(scene.runtime.versions(), [version]);
    make_at_last(&scene, "after a stall").await;
    scene.check_after_crashes().await;
}

/// Guards F30, F33, F36: one shard that cannot write its snapshot ends the rewrite for all; their files are removed and
/// nothing else has changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_one_shard_cannot_write_changes_nothing() {
    for kind in [FaultKind::ErrorOnce, FaultKind::NoSpace] {
        for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename] {
            if kind == FaultKind::NoSpace && matches!(operation, Operation::Sync | Operation::Rename) {
                continue;
            }
            let (mut scene, keys) = scene(hasty(SyncPolicy::Always)).await;
            let before = scene.runtime.rewrite().await.unwrap();
            scene.write(&keys[0]).await;
            let from = scene.disk.calls();
            fail_first(&scene.disk, kind, move |call| {
                call.number > from && call.operation == operation && is_unfinished(call, 1)
            });
            let told = scene.runtime.rewrite().await;
            // A disk that is full may be so for the other one, too.
            let is_one = told == Err(VersionError::Shard(mainstay::ShardId(1)));
            let is_full = kind == FaultKind::NoSpace && matches!(told, Err(VersionError::Shard(_)));
            assert!(is_one || is_full, "{operation:?}: {told:?}");
            assert_eq!(scene.runtime.versions(), [before]);
            let snapshots = |scene: &Scene| {
                let files = scene.disk.files().into_keys();
                files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("snapshot-")).count()
            };
            until("the other shard's file is removed", || snapshots(&scene) == 2).await;
            scene.disk.free_space();
            scene.disk.disarm();
            make_at_last(&scene, "after a failed rewrite").await;
            scene.check_after_crashes().await;
        }
    }
}

/// Guards F2, F33: an end, in good order or not, does not wait for a rewrite that hangs; nothing of it is left after
/// the next open.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_a_rewrite_hangs() {
    for orderly in [true, false] {
        let (mut scene, _) = scene(hasty(SyncPolicy::Always)).await;
        let stall = stall_next(&scene, |call| call.operation == Operation::Sync && is_unfinished(call, 0));
        let runtime = scene.runtime.clone();
        let rewriting = tokio::spawn(async move { runtime.rewrite().await });
        stalled(&stall).await;
        if orderly {
            scene.runtime.shutdown().await.unwrap();
        } else {
            scene.actor("manifest_keeper").unwrap().kill();
        }
        let told = rewriting.await.unwrap();
        assert!(matches!(told, Err(VersionError::Stopped | VersionError::Shard(_))), "{told:?}");
        // Shards may end first.
        let mut marked = scene.runtime.mark().await;
        while marked != Err(VersionError::Stopped) {
            assert!(matches!(marked, Err(VersionError::Shard(_))), "{marked:?}");
            marked = scene.runtime.mark().await;
        }
        scene.check_after_crashes().await;
        let killed = scene.disk.after_kill();
        let (runtime, _) = open(&killed, &scene.options).await;
        drop(runtime);
        assert!(killed.files().keys().all(|path| !path.to_string_lossy().contains("snapshot-")));
        stall.release();
        scene.check_after_kill().await;
    }
}

/// Guards F23, F26: whatever fails in the manifest while a version is made, one that somebody was told of is there, one
/// that failed is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_fails_is_told_as_it_is() {
    for operation in [Operation::Write, Operation::Sync] {
        for rewrite in [false, true] {
            let mut large = hasty(SyncPolicy::Always);
            (large.segment_bytes, large.lane_bytes) = (1 << 20, 1 << 20);
            let (mut scene, keys) = scene(large).await;
            scene.settle().await;
            fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
                is_manifest(&call.path) && call.operation == operation
            });
            let told = if rewrite { scene.runtime.rewrite().await } else { scene.runtime.mark().await };
            assert_eq!(told, Err(VersionError::NotCommitted));
            assert_eq!(scene.runtime.versions(), []);
            scene.write(&keys[1]).await;
            let (runtime, _) = open(&scene.disk.crash(3), &scene.options).await;
            assert_eq!(runtime.versions(), []);
            make_at_last(&scene, "after a failed edit").await;
            assert!(scene.disk.files().keys().any(|path| is_log(path)));
            scene.check_after_crashes().await;
        }
    }
}

/// Guards F42: a coordinator begins above the cuts of the one before, or the shards would not listen to it.
#[tokio::test]
async fn a_new_coordinator_is_listened_to_at_once() {
    let (scene, _) = scene(hasty(SyncPolicy::Always)).await;
    for _ in 0..3 {
        scene.runtime.mark().await.unwrap();
        scene.actor("rewrite_coordinator").unwrap().kill();
        let next = loop {
            match scene.runtime.mark().await {
                Err(VersionError::Stopped) => tokio::task::yield_now().await,
                next => break next,
            }
        };
        next.unwrap();
    }
}
