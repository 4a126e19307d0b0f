//! Going back while somebody else changes the files: what a version needs stays until it has been read, and whoever
//! cannot read it gives up.

use std::time::Duration;

use mainstay::sim::{Operation, Stall};
use mainstay::{Runtime, SyncPolicy, Version, VersionError, VersionId};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::book::Book;
use crate::ledger::Ledger;
use crate::scene::{Scene, check_at_rest, is_log, is_manifest, is_snapshot, options, until};
use crate::snapshots::{is_unfinished, stall_next, tiny};
use crate::stalls::stalled;

/// Longer nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

type GoingBack = JoinHandle<Result<(), VersionError>>;

fn go_back(runtime: &Runtime<Ledger>, version: &Version) -> GoingBack {
    let (runtime, version) = (runtime.clone(), version.id);
    tokio::spawn(async move { runtime.rollback(version).await })
}

async fn told(going_back: GoingBack) -> Result<(), VersionError> {
    timeout(PATIENCE, going_back).await.expect("nobody answers").unwrap()
}

/// Does the version lie in the file that its shard's newest writer has begun with, which has no command?
fn is_at_the_beginning(scene: &Scene, version: &Version) -> bool {
    let manifest = scene.manifest();
    let (point, began) = (manifest.versions[&version.id].points[0], manifest.shards[0].epochs.last().unwrap());
    point.tail.is_some_and(|tail| tail.segment == began.segment && tail.end == began.first)
}

/// Guards F66: a version that lies at the beginning of a file needs nothing of the file in front of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_at_the_beginning_of_a_file_stays_reachable() {
    let scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    let receipt = scene.write("a").await;
    scene.kill_and_wait("0/wal_writer").await;
    scene.begun(0, 2).await;
    // It drops the file in front.
    let version = scene.runtime.rewrite().await.unwrap();
    assert!(is_at_the_beginning(&scene, &version));
    let view = scene.runtime.view_at(version.id).await.unwrap();
    assert_eq!(view.get(b"a").unwrap().unwrap().fold, receipt.reply);
    scene.runtime.backup("/backup").await.unwrap();
    scene.runtime.rollback(version.id).await.unwrap();
    scene.write("a").await;
    scene.runtime.shutdown().await.unwrap();
    check_at_rest(&scene.disk);
}

/// Guards F66: so does what follows a rollback, in a file of its own, when the version of before goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_right_behind_a_rollback_stays_reachable() {
    let mut one = options(SyncPolicy::Always, 1);
    one.versions.keep = 1;
    let scene = Scene::open(one).await;
    scene.write("a").await;
    let first = scene.runtime.mark().await.unwrap();
    scene.runtime.rollback(first.id).await.unwrap();
    scene.begun(0, 2).await;
    let second = scene.runtime.rewrite().await.unwrap();
    assert!(is_at_the_beginning(&scene, &second));
    assert_eq!(scene.runtime.versions(), std::slice::from_ref(&second));
    assert_eq!(scene.runtime.rollback(second.id).await, Ok(()));
    scene.write("a").await;
    scene.runtime.shutdown().await.unwrap();
    check_at_rest(&scene.disk);
}

/// Three versions of a directory that keeps one: the first is being retired, and that hangs.
async fn retiring() -> (Scene, Stall, [Version; 3]) {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    let mut versions = Vec::new();
    for _ in 0..3 {
        scene.write("a").await;
        versions.push(scene.runtime.mark().await.unwrap());
    }
    scene.runtime.shutdown().await.unwrap();
    scene.options.versions.keep = 1;
    // Opening writes nothing there.
    let stall = stall_next(&scene, |call| is_manifest(&call.path) && call.operation == Operation::Write);
    let scene = Scene::open_on(scene.disk.clone(), scene.options.clone(), Book::default()).await;
    stalled(&stall).await;
    (scene, stall, versions.try_into().unwrap())
}

/// How often files of the log were touched.
fn log_calls(scene: &Scene) -> usize {
    scene.disk.trace().iter().filter(|call| is_log(&call.path)).count()
}

/// Guards F66: the version that was gone back to is the newest now, whatever retention thought before.
#[tokio::test(flavor = "multi_thread")]
async fn retention_keeps_the_version_that_was_gone_back_to() {
    for _ in 0..10 {
        let (scene, stall, [_, second, _]) = retiring().await;
        let before = log_calls(&scene);
        scene.runtime.view_at(second.id).await.unwrap();
        let reading = log_calls(&scene) - before;
        let going_back = go_back(&scene.runtime, &second);
        until("the version is read", || log_calls(&scene) == before + 2 * reading).await;
        // Its commit waits, or will in a moment.
        for _ in 0..20 {
            assert_eq!(scene.runtime.mark().await, Err(VersionError::Busy));
        }
        stall.release();
        match told(going_back).await {
            Ok(()) => {}
            // Retention was faster: that says nothing.
            Err(VersionError::NotCommitted | VersionError::Unknown(_)) => continue,
            Err(other) => panic!("{other}"),
        }
        // Behind these it has no more to say.
        for _ in 0..20 {
            let none = VersionId(u64::MAX);
            assert_eq!(scene.runtime.retire(none).await, Err(VersionError::Unknown(none)));
        }
        assert_eq!(scene.runtime.versions(), [second]);
        return;
    }
    panic!("retention was faster each time");
}

/// Guards F41, F66: a snapshot that was begun before a version and is adopted while that is read takes no file away
/// that is being read.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_read_while_another_snapshot_takes_the_place_of_its_own() {
    let scene = Scene::open(tiny(1)).await;
    let write = async || {
        for _ in 0..20 {
            let entry = scene.book.entry("a", 300);
            scene.book.submit(&scene.runtime, entry).await;
        }
    };
    write().await;
    scene.runtime.snapshot().await.unwrap();
    write().await;
    // The next snapshot lies below the version, and is adopted later.
    let adopting = stall_next(&scene, |call| call.operation == Operation::Rename && is_unfinished(call, 0));
    let runtime = scene.runtime.clone();
    let snapshot = tokio::spawn(async move { runtime.snapshot().await });
    stalled(&adopting).await;
    write().await;
    let version = scene.runtime.mark().await.unwrap();
    // Whoever goes back has read the manifest, and is about to open the snapshot.
    let reading = stall_next(&scene, |call| call.operation == Operation::Open && is_snapshot(&call.path));
    let going_back = go_back(&scene.runtime, &version);
    stalled(&reading).await;
    adopting.release();
    snapshot.await.unwrap().unwrap();
    // What it has made superfluous is dropped, or is not, before another one is adopted.
    write().await;
    scene.runtime.snapshot().await.unwrap();
    reading.release();
    assert_eq!(told(going_back).await, Ok(()));
    let end = scene.runtime.view().await.get(b"a").unwrap().unwrap().history.len();
    assert_eq!(end as u64 + 1, version.ends[0].lsn.0);
    scene.write("a").await;
    scene.runtime.shutdown().await.unwrap();
    check_at_rest(&scene.disk);
}

/// Somebody goes back to the second of two versions, with a command more each, and the reading of its snapshot hangs.
async fn hanging(write_deadline: Duration) -> (Scene, [Version; 2], Stall, GoingBack) {
    let mut options = options(SyncPolicy::Always, 1);
    options.versions.write_deadline = write_deadline;
    let scene = Scene::open(options).await;
    scene.write("a").await;
    let first = scene.runtime.rewrite().await.unwrap();
    scene.write("a").await;
    let second = scene.runtime.rewrite().await.unwrap();
    scene.write("a").await;
    let (stall, going_back) = begin(&scene, &second).await;
    (scene, [first, second], stall, going_back)
}

async fn begin(scene: &Scene, version: &Version) -> (Stall, GoingBack) {
    let stall = stall_next(scene, |call| call.operation == Operation::Read && is_snapshot(&call.path));
    let going_back = go_back(&scene.runtime, version);
    stalled(&stall).await;
    (stall, going_back)
}

/// How many commands a fresh view shows.
async fn commands(scene: &Scene) -> usize {
    scene.runtime.view().await.get(b"a").unwrap().unwrap().history.len()
}

/// Nothing was touched, and all goes on: while the reading hangs, and when it has come back.
async fn goes_on(scene: &Scene, versions: &[Version; 2], stall: &Stall) {
    assert_eq!(stall.waiting(), 1);
    assert_eq!((commands(scene).await, &scene.runtime.versions()[..]), (3, &versions[..]));
    scene.write("a").await;
    let third = scene.runtime.mark().await.unwrap();
    stall.release();
    until("the reading comes back", || stall.waiting() == 0).await;
    scene.write("a").await;
    assert_eq!(scene.runtime.rollback(third.id).await, Ok(()));
    assert_eq!(commands(scene).await, 4);
    assert_eq!(scene.runtime.rollback(versions[1].id).await, Ok(()));
    assert_eq!(commands(scene).await, 2);
    scene.write("a").await;
    scene.runtime.shutdown().await.unwrap();
    check_at_rest(&scene.disk);
}

/// Guards F2, F62: a rollback whose reading hangs ends with the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_cannot_read_ends_in_time() {
    let (scene, versions, stall, going_back) = hanging(Duration::from_secs(1)).await;
    assert_eq!(told(going_back).await, Err(VersionError::Deadline));
    goes_on(&scene, &versions, &stall).await;
}

/// Guards F2, F62: or earlier, if somebody wants it no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_cannot_read_is_cancelled() {
    let (scene, versions, stall, going_back) = hanging(Duration::from_secs(3600)).await;
    scene.runtime.cancel_snapshots();
    assert_eq!(told(going_back).await, Err(VersionError::Cancelled));
    goes_on(&scene, &versions, &stall).await;
}

/// Guards F64: what was read for a rollback that has been given up is not taken for what the next one wants.
#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_comes_back_late_is_nobodys() {
    let (scene, [first, second], old, going_back) = hanging(Duration::from_secs(3600)).await;
    scene.runtime.cancel_snapshots();
    assert_eq!(told(going_back).await, Err(VersionError::Cancelled));
    let (stall, going_back) = begin(&scene, &first).await;
    old.release();
    until("the old reading comes back", || old.waiting() == 0).await;
    // The coordinator has time to hear of it.
    for _ in 0..20 {
        assert_eq!(scene.runtime.mark().await, Err(VersionError::Busy));
    }
    assert!(!going_back.is_finished(), "{second:?} was taken for {first:?}");
    stall.release();
    assert_eq!(told(going_back).await, Ok(()));
    assert_eq!((commands(&scene).await, scene.runtime.versions()), (1, vec![first]));
    scene.write("a").await;
    scene.runtime.shutdown().await.unwrap();
    check_at_rest(&scene.disk);
}
