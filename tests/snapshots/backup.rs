//! Backups: another directory with a version, while the first one goes on.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mainstay::{BackupError, BackupFailed, Options, Runtime};

use super::reclaim::write;
use super::rollback::sums;
use crate::support::{Counters, directory, small};

/// Every file with more than one name, by inode, with its bytes.
fn shared(dir: &Path) -> BTreeMap<u64, Vec<u8>> {
    let shards = (0..2).map(|shard| dir.join(format!("shard-{shard}")));
    let files = shards.flat_map(|shard| std::fs::read_dir(shard).unwrap()).map(|entry| entry.unwrap().path());
    let shared = files.filter_map(|path| {
        let data = std::fs::metadata(&path).unwrap();
        (data.nlink() > 1).then(|| (data.ino(), std::fs::read(&path).unwrap()))
    });
    shared.collect()
}

/// Guards F24, F32: both sides write, crash and open again; nothing that they share ever changes.
#[tokio::test]
async fn a_backup_opens_and_shares_nothing_that_changes() {
    let dir = directory();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let options = |dir: &Path| Options { shards: Some(2), ..small(dir) };
    let runtime = Runtime::open(Counters, options(&live)).await.unwrap();
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 300).await;
    let expected = sums(&runtime.view().await);
    let version = runtime.backup(&backup).await.unwrap();
    assert_eq!(runtime.versions(), []);
    let before = shared(&backup);
    assert!(before.len() >= 4, "snapshots and full segments are shared: {}", before.len());
    write(&runtime, 500).await;
    runtime.rewrite().await.unwrap();
    drop(runtime);

    for (round, path) in [&backup, &live, &backup, &live].into_iter().enumerate() {
        let runtime = Runtime::open(Counters, options(path)).await.unwrap();
        assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None);
        if round == 0 {
            assert_eq!(sums(&runtime.view().await), expected);
            assert_eq!(runtime.versions(), std::slice::from_ref(&version));
        }
        write(&runtime, 400).await;
        runtime.snapshot().await.unwrap();
        // Some of what they shared is gone on one side; what is left is what it was.
        for (inode, bytes) in shared(&backup) {
            assert_eq!(before.get(&inode), Some(&bytes), "a shared file has changed");
        }
        drop(runtime);
    }
    let runtime = Runtime::open(Counters, options(&backup)).await.unwrap();
    runtime.rollback(version.id).await.unwrap();
    assert_eq!(sums(&runtime.view().await), expected);
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
