//! A backup takes the digest of every snapshot that it brings over.

use std::path::Path;
use std::sync::Arc;

use mainstay::model::{Digest, Manifest};
use mainstay::sim::SimDisk;
use mainstay::state::StateDigest;
use mainstay::storage::backup::back_up;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{BackupError, BackupFailed, Options, Runtime, SnapshotError};

use super::disk::{DIR, manifest, options, snapshot};
use super::reclaim::write;
use crate::support::Counters;

const BACKUP: &str = "/backup";

async fn open(sim: &SimDisk, dir: &str, digest: bool) -> Runtime<Counters> {
    Runtime::open_on(sim.clone(), Counters, Options { dir: dir.into(), digest, ..options(2) }).await.unwrap()
}

/// A directory that nobody has open, with a snapshot and some log behind it.
async fn at_rest(digest: bool) -> SimDisk {
    let sim = SimDisk::new(17);
    let runtime = open(&sim, DIR, digest).await;
    write(&runtime, 150).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 50).await;
    runtime.shutdown().await.unwrap();
    sim
}

fn of_another_state(digest: &mut Option<Digest>) {
    digest.as_mut().unwrap().hash[7] ^= 1;
}

fn is_another_state(result: Result<(), BackupError>) -> bool {
    let expected = snapshot(1, 1);
    matches!(result, Err(BackupError::Snapshot(SnapshotError::Digest { path, .. })) if path == expected)
}

/// Guards F64: what was recorded by whoever followed the state is compared, whatever the options say now.
#[tokio::test]
async fn a_snapshot_of_another_state_is_not_backed_up() {
    let sim = at_rest(true).await;
    let (disk, layout): (Arc<dyn Disk>, _) = (Arc::new(sim.clone()), Layout::new(Path::new(DIR)));
    let mut opened = manifest_log::open(&disk, &layout).unwrap();
    opened.manifest.shards[1].snapshots.values_mut().for_each(|record| of_another_state(&mut record.digest));
    opened.log.change_generation(&opened.manifest).unwrap();
    let runtime = open(&sim, DIR, false).await;
    let result = match runtime.backup(BACKUP).await {
        Err(BackupFailed::Files(error)) => Err(error),
        other => panic!("{other:?}"),
    };
    assert!(is_another_state(result));
    assert!(!sim.files().contains_key(Path::new("/backup/CURRENT")), "it must not open");
    assert_eq!(runtime.versions(), []);
    write(&runtime, 10).await;
}

/// A version that lies where its snapshot ends says what that should hold; under another schema it says nothing.
#[tokio::test]
async fn a_version_is_held_against_the_snapshot_that_it_ends_with() {
    let sim = at_rest(false).await;
    let runtime = open(&sim, DIR, false).await;
    let version = runtime.rewrite().await.unwrap();
    runtime.shutdown().await.unwrap();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let layout = Layout::new(Path::new(DIR));
    let back_up = |manifest: &Manifest, to: &str| {
        back_up::<StateDigest>(&disk, &layout, manifest, version.id, Path::new(to)).map(drop)
    };
    let mut wrong = manifest(&sim);
    back_up(&wrong, "/first").unwrap();
    let (number, record) = wrong.shards[1].snapshots.iter_mut().next_back().unwrap();
    assert!(record.digest.take().is_some());
    let path = snapshot(1, number.0);
    let point = &mut wrong.versions.get_mut(&version.id).unwrap().points[1];
    of_another_state(&mut point.digest);
    let refused = back_up(&wrong, "/second");
    assert!(
        matches!(&refused, Err(BackupError::Snapshot(SnapshotError::Digest { path: found, .. })) if *found == path),
        "{refused:?}"
    );
    wrong.versions.get_mut(&version.id).unwrap().points[1].digest.as_mut().unwrap().schema += 1;
    back_up(&wrong, "/third").unwrap();
}

/// Where nothing was recorded the backup's manifest has what was taken, and recovery agrees with it.
#[tokio::test]
async fn a_backup_records_the_digest_that_it_has_taken() {
    let sim = at_rest(false).await;
    let runtime = open(&sim, DIR, false).await;
    assert!(manifest(&sim).shards.iter().flat_map(|shard| shard.snapshots.values()).all(|it| it.digest.is_none()));
    runtime.backup(BACKUP).await.unwrap();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let backed_up = manifest_log::open(&disk, &Layout::new(Path::new(BACKUP))).unwrap().manifest;
    let recorded: Vec<_> = backed_up.shards.iter().map(|shard| shard.snapshots.values().next().unwrap()).collect();
    assert!(recorded.iter().all(|record| record.digest.is_some_and(|digest| digest.schema == 1)));
    let copy = open(&sim, BACKUP, true).await;
    assert!(copy.recovery().shards.iter().all(|shard| shard.damaged_snapshots.is_empty() && shard.snapshot.is_some()));
    // Two that follow or scan come to the same.
    assert_eq!(copy.mark().await.unwrap().digest, runtime.rewrite().await.unwrap().digest);
}
