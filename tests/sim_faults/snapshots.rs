//! Snapshots and what goes on beside them: rewrites, restarts, deaths, full disks, ends.

use std::time::Duration;

use mainstay::sim::{Call, FaultKind, Operation, Stall};
use mainstay::{NoSnapshot, Options, SyncPolicy};

use crate::scene::{Scene, check_at_rest, is_log, options, until};
use crate::stalls::stalled;

/// Segments of 4 KiB, so that a few commands fill some.
pub fn tiny(shards: u32) -> Options {
    Options {
        segment_bytes: 4096,
        command_bytes_max: Options::command_bytes_for(4096),
        ..options(SyncPolicy::Always, shards)
    }
}

/// Is the call about a snapshot of that shard that is being written?
pub fn is_unfinished(call: &Call, shard: u32) -> bool {
    let of_shard = call.path.parent().is_some_and(|dir| dir.ends_with(format!("shard-{shard}")));
    of_shard && call.path.extension().is_some_and(|extension| extension == "tmp")
}

/// The next call that matches hangs, and only that one.
pub fn stall_next(scene: &Scene, mut matches: impl FnMut(&Call) -> bool + Send + 'static) -> Stall {
    let mut armed = true;
    scene.disk.stall(move |call| {
        let hit = armed && matches(call);
        armed &= !hit;
        hit
    })
}

/// Guards F33, F41: a snapshot that is begun later and ended earlier than a rewrite's is no reason to give that up.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_overtakes_a_rewrite_does_not_end_it() {
    for pad in [20, 300] {
        let mut scene = Scene::open(tiny(2)).await;
        let keys = [scene.key(0), scene.key(1)];
        for key in &keys {
            scene.write(key).await;
        }
        let stall = stall_next(&scene, |call| call.operation == Operation::Sync && is_unfinished(call, 0));
        let rewriting = {
            let runtime = scene.runtime.clone();
            tokio::spawn(async move { runtime.rewrite().await })
        };
        stalled(&stall).await;
        // Behind the cut the log goes on through several files.
        for _ in 0..20 {
            for key in &keys {
                let entry = scene.book.entry(key, pad);
                scene.book.submit(&scene.runtime, entry).await;
            }
        }
        scene.runtime.snapshot().await.unwrap();
        stall.release();
        let version = rewriting.await.unwrap().unwrap();
        assert_eq!(version.ends.iter().map(|end| end.lsn.0).collect::<Vec<_>>(), [2, 2]);
        check_at_rest(&scene.disk);
        scene.runtime.snapshot().await.unwrap();
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F33, F41, F66: what a cut needs is not dropped for a snapshot that overtakes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_overtakes_a_mark_drops_nothing_that_it_needs() {
    let mut scene = Scene::open(tiny(2)).await;
    let keys = [scene.key(0), scene.key(1)];
    for _ in 0..20 {
        for key in &keys {
            let entry = scene.book.entry(key, 300);
            scene.book.submit(&scene.runtime, entry).await;
        }
    }
    scene.runtime.snapshot().await.unwrap();
    scene.write(&keys[0]).await;
    // The version is about to be recorded.
    let stall = stall_next(&scene, |call| call.operation == Operation::Write && crate::scene::is_manifest(&call.path));
    let marking = {
        let runtime = scene.runtime.clone();
        tokio::spawn(async move { runtime.mark().await })
    };
    stalled(&stall).await;
    let snapshot = {
        let runtime = scene.runtime.clone();
        tokio::spawn(async move { runtime.snapshot().await })
    };
    stall.release();
    marking.await.unwrap().unwrap();
    snapshot.await.unwrap().unwrap();
    check_at_rest(&scene.disk);
    scene.check_after_crashes().await;
}

/// Guards F12, F20: files that a snapshot has made superfluous while a restart reads the log are not missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_reads_while_files_are_dropped_reads_again() {
    for rounds in [1, 2] {
        let mut scene = Scene::open(tiny(1)).await;
        let write = async |scene: &Scene| {
            for _ in 0..20 {
                let entry = scene.book.entry("a", 300);
                scene.book.submit(&scene.runtime, entry).await;
            }
        };
        write(&scene).await;
        for _ in 1..rounds {
            scene.runtime.snapshot().await.unwrap();
            write(&scene).await;
        }
        // A snapshot is about to be adopted when the pair dies.
        let adopting = stall_next(&scene, |call| call.operation == Operation::Rename && is_unfinished(call, 0));
        let snapshot = {
            let runtime = scene.runtime.clone();
            tokio::spawn(async move { runtime.snapshot().await })
        };
        stalled(&adopting).await;
        let from = scene.disk.calls();
        // What the restart reads first: a header, or a snapshot.
        let reading = stall_next(&scene, move |call| {
            let data = is_log(&call.path) || call.path.extension().is_some_and(|name| name == "snap");
            call.number > from && call.operation == Operation::Open && data
        });
        scene.actor("0/shard").unwrap().kill();
        stalled(&reading).await;
        adopting.release();
        snapshot.await.unwrap().unwrap();
        let first = format!("/data/shard-0/wal-{:016}.seg", 1);
        until("old files are gone", || scene.disk.read(&first).is_none()).await;
        let snaps =
            |scene: &Scene| scene.disk.files().keys().filter(|path| path.extension() == Some("snap".as_ref())).count();
        until("the old snapshot is gone", || snaps(&scene) == 1).await;
        reading.release();
        until("the pair begins anew", || scene.stats(0).restarts > 0 || scene.stats(0).refusal.is_some()).await;
        assert_eq!(scene.stats(0).refusal, None, "it was refused for files that nobody needs");
        scene.write_at_last("a").await;
        check_at_rest(&scene.disk);
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F62: whatever the snapshotter was about when it died, whoever waited is told, and another one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshotter_that_dies_is_replaced() {
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDir] {
        let mut in_turn = tiny(1);
        in_turn.snapshots.at_once = 1;
        let mut scene = Scene::open(in_turn).await;
        for _ in 0..20 {
            let entry = scene.book.entry("a", 300);
            scene.book.submit(&scene.runtime, entry).await;
        }
        let from = scene.disk.calls();
        let stall = stall_next(&scene, move |call| {
            let is_dir = call.operation == Operation::SyncDir && call.path.ends_with("shard-0");
            call.number > from && call.operation == operation && (is_dir || is_unfinished(call, 0))
        });
        let runtime = scene.runtime.clone();
        let asked = tokio::spawn(async move { runtime.snapshot().await });
        stalled(&stall).await;
        scene.actor("0/snapshotter").unwrap().kill();
        assert_eq!(asked.await.unwrap().unwrap_err().why, NoSnapshot::Stopped, "{operation:?}");
        let started = std::time::Instant::now();
        while scene.runtime.snapshot().await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "{operation:?}: no more snapshots");
        }
        stall.release();
        scene.write("a").await;
        scene.runtime.snapshot().await.unwrap();
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F62: a snapshot that hangs or is too slow is given up by its deadline or by whoever cancels it; nothing is
/// left of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_hangs_is_given_up() {
    for cancelled in [false, true] {
        let mut hasty = tiny(1);
        // Whoever hangs has no turn any more.
        hasty.snapshots.at_once = 1;
        if !cancelled {
            hasty.snapshots.deadline = Duration::from_millis(100);
        }
        let mut scene = Scene::open(hasty).await;
        scene.write("a").await;
        let stall = stall_next(&scene, |call| call.operation == Operation::Sync && is_unfinished(call, 0));
        let runtime = scene.runtime.clone();
        let asked = tokio::spawn(async move { runtime.snapshot().await });
        stalled(&stall).await;
        if cancelled {
            scene.runtime.cancel_snapshots();
        }
        let why = if cancelled { NoSnapshot::Cancelled } else { NoSnapshot::Deadline };
        assert_eq!(asked.await.unwrap().unwrap_err().why, why);
        // Its thread still hangs; another one goes on beside it.
        scene.write("a").await;
        scene.runtime.snapshot().await.unwrap();
        stall.release();
        until("what came too late is removed", || snapshots(&scene) == [2]).await;
        scene.runtime.shutdown().await.unwrap();
        check_at_rest(&scene.disk);
        scene.check_after_crashes().await;
    }
}

/// Numbers of all files that are snapshots or become one.
fn snapshots(scene: &Scene) -> Vec<u64> {
    let files = scene.disk.files().into_keys();
    let names = files.filter_map(|path| path.file_stem()?.to_str()?.strip_prefix("snapshot-")?.parse().ok());
    names.collect()
}

/// Guards F58, F59: a full disk costs the snapshot, whose file is removed, and no command; later there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_costs_the_snapshot_and_nothing_else() {
    let mut scene = Scene::open(tiny(1)).await;
    scene.write_many("a", 3).await;
    scene.settle().await;
    let from = scene.disk.calls();
    crate::scene::fail_first(&scene.disk, FaultKind::NoSpace, move |call| {
        call.number > from && call.operation == Operation::Write && is_unfinished(call, 0)
    });
    assert_eq!(scene.runtime.snapshot().await.unwrap_err().why, NoSnapshot::Failed);
    assert_eq!(snapshots(&scene), [0; 0]);
    scene.write("a").await;
    scene.disk.free_space();
    scene.runtime.snapshot().await.unwrap();
    assert_eq!(snapshots(&scene), [2]);
    check_at_rest(&scene.disk);
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}

/// Guards F2, F57: nobody waits at the end for a snapshot that runs, and nothing of it is left for long.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_a_snapshot_hangs() {
    for orderly in [true, false] {
        let mut scene = Scene::open(tiny(2)).await;
        let key = scene.key(0);
        scene.write(&key).await;
        let stall = stall_next(&scene, |call| call.operation == Operation::Sync && is_unfinished(call, 0));
        let runtime = scene.runtime.clone();
        let asked = tokio::spawn(async move { runtime.snapshot().await });
        stalled(&stall).await;
        if orderly {
            scene.runtime.shutdown().await.unwrap();
        } else {
            scene.actor("manifest_keeper").unwrap().kill();
        }
        assert_eq!(asked.await.unwrap().unwrap_err().why, NoSnapshot::Stopped);
        scene.runtime.snapshot().await.unwrap_err();
        scene.check_after_crashes().await;
        stall.release();
        scene.check_after_kill().await;
    }
}
