//! Backups: another directory with a version, while the first one goes on.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use mainstay::{BackupError, BackupFailed, Options, Runtime};

use super::disk::until;
use super::reclaim::{files, write};
use super::rollback::sums;
use crate::support::{Counters, directory, small};

/// A file that had two names when the backup was made.
struct Linked {
    /// Its name in the backup.
    path: PathBuf,
    inode: u64,
    bytes: Vec<u8>,
}

/// Every file of the backup that has another name too.
fn linked(backup: &Path) -> Vec<Linked> {
    let shards = (0..2).map(|shard| backup.join(format!("shard-{shard}")));
    let files = shards.flat_map(|shard| std::fs::read_dir(shard).unwrap()).map(|entry| entry.unwrap().path());
    let linked = files.filter_map(|path| {
        let data = std::fs::metadata(&path).unwrap();
        (data.nlink() > 1).then(|| Linked { inode: data.ino(), bytes: std::fs::read(&path).unwrap(), path })
    });
    linked.collect()
}

/// All of them are what they were, whether they have another name still or not. Returns how many have.
fn compare(linked: &[Linked]) -> usize {
    let mut shared = 0;
    for Linked { path, inode, bytes } in linked {
        let data = std::fs::metadata(path).unwrap();
        assert_eq!(data.ino(), *inode, "{} is another file", path.display());
        assert!(std::fs::read(path).unwrap() == *bytes, "{} has changed", path.display());
        shared += usize::from(data.nlink() > 1);
    }
    shared
}

fn two_shards(dir: &Path) -> Options {
    Options { shards: Some(2), ..small(dir) }
}

async fn open(dir: &Path) -> Runtime<Counters> {
    let runtime = Runtime::open(Counters, two_shards(dir)).await.unwrap();
    assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None);
    runtime
}

/// Guards F24, F32: both sides write, crash and open again; nothing that they have shared ever changes.
#[tokio::test]
async fn a_backup_opens_and_shares_nothing_that_changes() {
    let dir = directory();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let runtime = open(&live).await;
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 300).await;
    let expected = sums(&runtime.view().await);
    let version = runtime.backup(&backup).await.unwrap();
    let linked = linked(&backup);
    assert_eq!(runtime.versions(), []);
    write(&runtime, 500).await;
    drop(runtime);

    // Each side crashes twice. Nothing is pruned yet: the files have two names throughout.
    assert!(linked.len() >= 4, "snapshots and full segments are shared: {}", linked.len());
    for (round, path) in [&backup, &live, &backup, &live].into_iter().enumerate() {
        let runtime = open(path).await;
        if round == 0 {
            assert_eq!(sums(&runtime.view().await), expected);
            assert_eq!(runtime.versions(), std::slice::from_ref(&version));
        }
        write(&runtime, 400).await;
        assert_eq!(compare(&linked), linked.len(), "round {round}: something was pruned");
        drop(runtime);
    }

    // Now both sides drop what they do not need. The backup needs all that it has shared: for its version.
    for path in [&live, &backup, &live, &backup] {
        let runtime = open(path).await;
        compare(&linked);
        write(&runtime, 400).await;
        runtime.rewrite().await.unwrap();
        runtime.snapshot().await.unwrap();
        write(&runtime, 100).await;
        compare(&linked);
        drop(runtime);
    }
    assert!(compare(&linked) < linked.len(), "the live side has dropped nothing");
    let runtime = open(&backup).await;
    runtime.rollback(version.id).await.unwrap();
    assert_eq!(sums(&runtime.view().await), expected);
    compare(&linked);
}

#[tokio::test]
async fn an_empty_runtime_and_a_full_directory() {
    let dir = directory();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let runtime = Runtime::open(Counters, small(&live)).await.unwrap();
    runtime.backup(&backup).await.unwrap();
    let again = runtime.backup(&backup).await;
    assert!(matches!(again, Err(BackupFailed::Files(BackupError::NotEmpty { .. }))));
    let copy = Runtime::open(Counters, small(&backup)).await.unwrap();
    write(&copy, 10).await;
    assert_eq!(sums(&runtime.view().await), []);
}

/// Guards F30: whoever does not wait for a backup any more leaves neither a version nor files that nobody may drop.
#[tokio::test]
async fn a_backup_that_nobody_waits_for_ends_all_the_same() {
    let dir = directory();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let runtime = Runtime::open(Counters, small(&live)).await.unwrap();
    write(&runtime, 600).await;
    let expected = sums(&runtime.view().await);
    tokio::select! {
        biased;
        _ = runtime.backup(&backup) => panic!("it does not end at once"),
        () = std::future::ready(()) => {}
    }
    until("the backup is there and its version is not", || {
        backup.join("CURRENT").exists() && runtime.versions().is_empty()
    })
    .await;
    // What the backup had pinned goes with the next snapshot.
    runtime.snapshot().await.unwrap();
    until("old files go", || files(&live, 0).len() <= 4).await;
    let copy = Runtime::open(Counters, small(&backup)).await.unwrap();
    assert_eq!(sums(&copy.view().await), expected);
}
