//! An orderly end while calls hang: it has deadlines, and it says what it could not finish.

use std::time::{Duration, Instant};

use mainstay::sim::Operation;
use mainstay::{ShardId, SyncPolicy};

use crate::scene::{Scene, is_manifest, options, until};
use crate::stalls::{stall, stalled};

/// Guards F2, F57: nobody waits for a thread that hangs, not even an orderly shutdown.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_stalled_sync_for_ever() {
    let mut hasty = options(SyncPolicy::Always, 2);
    hasty.shutdown_deadline = Duration::from_millis(300);
    let mut scene = Scene::open(hasty).await;
    let (still, lively) = (scene.key(0), scene.key(1));
    scene.write(&still).await;
    scene.write(&lively).await;
    let stall = stall(&scene, 0, Operation::Sync);
    scene.write_many(&still, 2).await;
    let started = Instant::now();
    let shards = match scene.runtime.shutdown().await {
        Err(mainstay::ShutdownError::Unfinished { shards }) => shards,
        other => panic!("{other:?}"),
    };
    assert_eq!(shards, [ShardId(0)]);
    assert!(started.elapsed() < Duration::from_secs(5));
    scene.check_after_crashes().await;
    drop(stall);
    scene.check_after_crashes().await;
}

/// Guards F2, F57: nor for a manifest that hangs: its keeper gets as long again, and then the runtime has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_stalled_manifest_for_ever() {
    let mut hasty = options(SyncPolicy::Always, 2);
    hasty.shutdown_deadline = Duration::from_millis(300);
    let mut scene = Scene::open(hasty).await;
    for shard in 0..2 {
        let key = scene.key(shard);
        scene.write(&key).await;
    }
    scene.settle().await;
    let stall = scene.disk.stall(|call| is_manifest(&call.path) && call.operation == Operation::Sync);
    match scene.runtime.shutdown().await {
        Err(mainstay::ShutdownError::Unfinished { shards }) => assert!(!shards.is_empty()),
        other => panic!("{other:?}"),
    }
    assert!(stall.waiting() > 0);
    scene.check_after_crashes().await;
    drop(stall);
}

/// A view that is taken while the runtime ends in good order waits for the last root, which shows everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_during_an_orderly_shutdown_is_fresh() {
    let mut patient = options(SyncPolicy::Never, 1);
    patient.view_deadline = Duration::from_secs(10);
    let scene = Scene::open(patient).await;
    scene.write("a").await;
    let last = scene.write("a").await;
    let stall = stall(&scene, 0, Operation::Sync);
    let (runtime, position) = (scene.runtime.clone(), last.position);
    let durable = tokio::spawn(async move { runtime.durable(ShardId(0), position).await });
    stalled(&stall).await;
    let runtime = scene.runtime.clone();
    let shutdown = tokio::spawn(async move { runtime.shutdown().await });
    until("the last root and the end are on their way", || scene.stats(0).waiting_batches >= 2).await;
    let runtime = scene.runtime.clone();
    let view = tokio::spawn(async move { runtime.view().await });
    tokio::task::yield_now().await;
    stall.release();
    let view = view.await.unwrap();
    assert_eq!(view.get(b"a").unwrap().unwrap().fold, last.reply);
    shutdown.await.unwrap().unwrap();
    durable.await.unwrap().unwrap();
}
