//! Where versions and backups lie in the files of a log: in none, at the beginning of one, and on either side of a
//! writer's `Begin`.

use std::time::Duration;

use mainstay::sim::{Operation, SimDisk, Stall};
use mainstay::{Options, Runtime, SyncPolicy};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::book::Book;
use crate::ledger::Ledger;
use crate::scene::{Scene, check_at_rest, is_manifest, open, options, until};
use crate::stalls::stalled;

/// Longer nobody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same directory after an orderly end.
async fn next(scene: Scene) -> Scene {
    scene.runtime.shutdown().await.unwrap();
    Scene::open_on(scene.disk, scene.options, Book::default()).await
}

/// What another process makes of the directory: it refuses no shard.
async fn opened(disk: &SimDisk, options: &Options) -> Runtime<Ledger> {
    let (runtime, _) = open(&disk.after_kill(), options).await;
    let refused: Vec<_> = runtime.recovery().refused().map(|(shard, why)| format!("{shard}: {why}")).collect();
    assert_eq!(refused, [""; 0]);
    runtime
}

/// The reply to the last command for that key.
fn last(runtime: &Runtime<Ledger>, key: &str) -> Option<u64> {
    runtime.latest().get(key.as_bytes()).unwrap().map(|account| account.fold)
}

fn elsewhere(options: &Options) -> Options {
    Options { dir: "/backup".into(), ..options.clone() }
}

/// Guards F65: where the log begins anew it follows nothing, whatever was pruned in front of what is gone. Otherwise
/// the next opening refuses the shard, with what was answered behind the rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_an_untouched_shard_forgets_where_its_log_was_cut() {
    let scene = Scene::open(options(SyncPolicy::Always, 2)).await;
    let keys = [scene.key(0), scene.key(1)];
    scene.write(&keys[0]).await;
    let version = scene.runtime.rewrite().await.unwrap();
    scene.runtime.rollback(version.id).await.unwrap();
    // Nothing is written to the file that this life begins in: it is all in front of the next snapshot.
    scene.begun(1, 1).await;

    let scene = next(scene).await;
    scene.write(&keys[1]).await;
    scene.runtime.snapshot().await.unwrap();
    until("the first file is dropped", || scene.manifest().shards[1].base.is_some()).await;
    scene.runtime.rollback(version.id).await.unwrap();
    let receipt = scene.write(&keys[1]).await;
    scene.runtime.shutdown().await.unwrap();
    let runtime = opened(&scene.disk, &scene.options).await;
    assert_eq!(last(&runtime, &keys[1]), Some(receipt.reply));
    check_at_rest(&scene.disk);
}

/// A writer that begins, for a first command: the `Begin` is written, and the manifest's sync hangs.
async fn beginning(written_before: bool) -> (Scene, Stall, JoinHandle<()>) {
    let mut patient = options(SyncPolicy::Always, 1);
    patient.versions.hold_max = Duration::from_secs(5);
    patient.sync_deadline = Duration::from_secs(10);
    let mut scene = Scene::open(patient).await;
    if written_before {
        scene.write("a").await;
        scene = next(scene).await;
    }
    let before = scene.manifest().shards[0].epoch();
    // The first sync is that of the `Register`.
    let (mut syncs, from) = (0, scene.disk.calls());
    let stall = scene.disk.stall(move |call| {
        let is_sync = call.number > from && is_manifest(&call.path) && call.operation == Operation::Sync;
        syncs += u32::from(is_sync);
        is_sync && syncs == 2
    });
    let (runtime, book) = (scene.runtime.clone(), scene.book.clone());
    let first = tokio::spawn(async move { book.submit(&runtime, book.entry("a", 20)).await });
    stalled(&stall).await;
    assert!(scene.manifest().shards[0].epoch() > before, "it is another edit that hangs");
    (scene, stall, first)
}

/// The shard has held for a cut: it has said where, and the writer has not.
async fn held(scene: &Scene) {
    until("the shard has held", || scene.stats(0).last_hold > Duration::ZERO).await;
}

/// Guards F65: shard and writer look at the manifest on either side of the `Begin`, and the version has one place all
/// the same. Otherwise the next opening refuses the shard, with what was answered behind the rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_made_while_a_writer_begins_can_be_gone_back_to() {
    for written_before in [false, true] {
        let (scene, stall, first) = beginning(written_before).await;
        let runtime = scene.runtime.clone();
        let marking = tokio::spawn(async move { runtime.mark().await });
        held(&scene).await;
        stall.release();
        let version = timeout(PATIENCE, marking).await.expect("nobody answers").unwrap().unwrap();
        first.await.unwrap();
        scene.runtime.rollback(version.id).await.unwrap();
        let receipt = scene.write("a").await;
        scene.runtime.shutdown().await.unwrap();
        let runtime = opened(&scene.disk, &scene.options).await;
        assert_eq!(last(&runtime, "a"), Some(receipt.reply));
        check_at_rest(&scene.disk);
    }
}

/// The same of a backup, whose last file is cut where the version lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_a_writer_begins_opens() {
    for written_before in [false, true] {
        let (scene, stall, first) = beginning(written_before).await;
        let runtime = scene.runtime.clone();
        let backing_up = tokio::spawn(async move { runtime.backup("/backup").await });
        held(&scene).await;
        stall.release();
        let version = timeout(PATIENCE, backing_up).await.expect("nobody answers").unwrap().unwrap();
        first.await.unwrap();
        let runtime = opened(&scene.disk, &elsewhere(&scene.options)).await;
        assert_eq!(runtime.versions(), [version]);
        assert_eq!(last(&runtime, "a").is_some(), written_before);
    }
}

/// Guards F20: a log whose first file has no command begins with that file in a backup, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_a_snapshot_has_the_log_from_its_first_file() {
    let scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    let version = scene.runtime.mark().await.unwrap();
    scene.runtime.rollback(version.id).await.unwrap();
    scene.begun(0, 1).await;
    let scene = next(scene).await;
    let receipt = scene.write("a").await;
    let files = scene.manifest().shards[0].epochs.iter().map(|epoch| epoch.segment.0).collect::<Vec<_>>();
    assert_eq!(files.len(), 2, "the first file has been dropped: {files:?}");
    scene.runtime.backup("/backup").await.unwrap();
    let runtime = opened(&scene.disk, &elsewhere(&scene.options)).await;
    assert_eq!(last(&runtime, "a"), Some(receipt.reply));
}
