//! What a version says of itself, and what is left of versions that were not made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay::sim::Operation;
use mainstay::{SyncPolicy, Time, VersionError};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::scene::{Scene, options, until};
use crate::stalls::{stall, stalled};

/// Longer nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time(u64::try_from(since.as_micros()).unwrap())
}

/// Whoever goes back to a time sees nothing that was submitted later: a version that has waited for a sync is as young
/// as the youngest command in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_not_older_than_what_it_holds() {
    let scene = Scene::open(options(SyncPolicy::Interval(Duration::from_secs(3600)), 1)).await;
    scene.write("a").await;
    scene.settle().await;
    let stall = stall(&scene, 0, Operation::Write);
    let (runtime, book) = (scene.runtime.clone(), scene.book.clone());
    let writing = tokio::spawn(async move { book.submit(&runtime, book.entry("a", 20)).await });
    stalled(&stall).await;
    let waiting = scene.stats(0).waiting_batches;
    let runtime = scene.runtime.clone();
    let marking = tokio::spawn(async move { runtime.mark().await });
    until("the version waits for a sync", || scene.stats(0).waiting_batches > waiting).await;

    let (waiting, before) = (scene.stats(0).waiting_batches, now());
    let (runtime, entry) = (scene.runtime.clone(), scene.book.entry("late", 20));
    let late = tokio::spawn(async move { runtime.submit(entry).await });
    until("the command is with the writer", || scene.stats(0).waiting_batches > waiting).await;
    stall.release();
    writing.await.unwrap();
    let late = late.await.unwrap().unwrap();
    let version = timeout(PATIENCE, marking).await.expect("nobody answers").unwrap().unwrap();
    assert!(version.ends[0] > late.position, "it has not got into the version: {version:?}");
    assert!(version.time > before, "submitted after {before:?}, and in a version of {:?}", version.time);
    assert_eq!(scene.runtime.rollback_to(before).await, Err(VersionError::NoneBefore));
}

/// Guards F57: what versions that fail while a sync hangs have asked for does not pile up.
#[tokio::test(flavor = "multi_thread")]
async fn versions_of_a_stalled_shard_do_not_pile_up() {
    /// So much the last one may have left, with what its timers are about to end.
    const LEFT: usize = 10;
    let mut hasty = options(SyncPolicy::Always, 1);
    hasty.versions.sync_deadline = Duration::from_millis(10);
    let mut scene = Scene::open(hasty).await;
    scene.write("a").await;
    scene.settle().await;
    let stall = stall(&scene, 0, Operation::Sync);
    // It is told of the deadline, and the sync hangs on.
    scene.write_many("a", 1).await;
    assert_eq!(stall.waiting(), 1);
    let left = || (Handle::current().metrics().num_alive_tasks(), scene.stats(0).waiting_batches);
    let before = left();
    for _ in 0..100 {
        let made = timeout(PATIENCE, scene.runtime.mark()).await.expect("nobody answers");
        assert!(made.is_err(), "{made:?}");
    }
    let requests = left().1;
    assert!(requests <= before.1 + LEFT, "{requests} requests are left of 100 versions");
    until("the tasks of 100 versions are over", || left().0 <= before.0 + LEFT).await;

    stall.release();
    let made = async { while scene.runtime.mark().await.is_err() {} };
    timeout(PATIENCE, made).await.expect("no version any more");
    scene.check_after_crashes().await;
}
