//! Versions: marked, kept, retired.

use std::time::{Duration, Instant};

use mainstay::{Options, Runtime, ShardStats, VersionError, VersionId};

use super::disk::until;
use super::reclaim::{files, write};
use crate::support::{Counters, directory, small};

/// Guards F41, F66: a version keeps what it needs, over snapshots and openings, until it is retired.
#[tokio::test]
async fn a_version_keeps_its_files_until_it_is_retired() {
    let dir = directory();
    let options = Options { shards: Some(2), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    write(&runtime, 500).await;
    let marked = runtime.mark().await.unwrap();
    assert_eq!(marked.ends.iter().map(|end| end.lsn.0 - 1).sum::<u64>(), 500);
    write(&runtime, 500).await;
    runtime.snapshot().await.unwrap();
    runtime.shutdown().await.unwrap();
    let kept = files(dir.path(), 0);
    assert!(kept.contains(&"wal-0000000000000001.seg".to_owned()), "{kept:?}");

    let runtime = Runtime::open(Counters, options).await.unwrap();
    assert_eq!(runtime.versions(), std::slice::from_ref(&marked));
    runtime.retire(marked.id).await.unwrap();
    assert_eq!(runtime.retire(marked.id).await, Err(VersionError::Unknown(VersionId(1))));
    let kept = files(dir.path(), 0);
    assert!(!kept.contains(&"wal-0000000000000001.seg".to_owned()), "{kept:?}");
}

/// Guards F25, F41: rewrites replace what was before; the disk does not grow.
#[tokio::test]
async fn rewrites_leave_as_many_files_as_versions_need() {
    let dir = directory();
    let mut options = Options { shards: Some(2), ..small(dir.path()) };
    options.versions.keep = 3;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    for round in 1..=12_usize {
        write(&runtime, 100).await;
        let version = runtime.rewrite().await.unwrap();
        assert_eq!(version.ends.iter().map(|end| end.lsn.0 - 1).sum::<u64>(), 100 * round as u64);
        assert_eq!(runtime.versions().len(), round.min(3));
        // Whoever asked hears of it a moment before the files are gone.
        let snapshots = |shard| files(dir.path(), shard).into_iter().filter(|name| name.ends_with(".snap")).count();
        until("old snapshots are gone", || snapshots(0) == round.min(3) && snapshots(1) == round.min(3)).await;
    }
    until("old files are gone", || files(dir.path(), 1).len() <= 3 + 6).await;
}

/// What the options do not keep is retired without being asked, by age too, but for the newest.
#[tokio::test]
async fn versions_get_old() {
    let dir = directory();
    let mut options = small(dir.path());
    options.versions.keep_for = Duration::from_millis(1);
    let runtime = Runtime::open(Counters, options).await.unwrap();
    write(&runtime, 1).await;
    let first = runtime.mark().await.unwrap();
    assert_eq!(runtime.versions(), std::slice::from_ref(&first));
    let mut newest = first.clone();
    while newest.time.0 < first.time.0 + 2_000 {
        newest = runtime.mark().await.unwrap();
    }
    // It is looked at with every new version, and once a second.
    until("the old ones are retired", || runtime.versions().len() == 1).await;
    assert_eq!(runtime.versions(), [newest]);
}

/// A log that has grown enough is rewritten without being asked.
#[tokio::test]
async fn a_rewrite_begins_by_itself() {
    let dir = directory();
    let mut options = Options { shards: Some(2), ..small(dir.path()) };
    (options.versions.rewrite_bytes, options.versions.rewrite_percent) = (50_000, 0);
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let started = Instant::now();
    while runtime.versions().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", runtime.stats());
        write(&runtime, 50).await;
    }
    let shards = runtime.stats().shards;
    assert!(shards.iter().all(|shard| !shard.longest_hold.is_zero()));
}

/// What an opening finds behind the snapshots has grown too.
#[tokio::test]
async fn a_rewrite_begins_by_itself_for_what_was_found() {
    let dir = directory();
    let mut options = Options { shards: Some(2), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    while runtime.stats().shards.iter().map(|shard| shard.wal_bytes).sum::<u64>() < 60_000 {
        write(&runtime, 50).await;
    }
    runtime.shutdown().await.unwrap();
    (options.versions.rewrite_bytes, options.versions.rewrite_percent) = (50_000, 0);
    let runtime = Runtime::open(Counters, options).await.unwrap();
    until("it is rewritten", || runtime.versions().len() == 1).await;
}

#[tokio::test]
async fn the_snapshots_of_a_rewrite_are_counted() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(2), ..small(dir.path()) }).await.unwrap();
    write(&runtime, 50).await;
    let ends = |stats: &[ShardStats]| stats.iter().map(|shard| shard.newest_snapshot).collect::<Vec<_>>();
    assert_eq!(ends(&runtime.stats().shards), [None, None]);
    let first = runtime.rewrite().await.unwrap();
    write(&runtime, 50).await;
    runtime.snapshot().await.unwrap();
    let shards = runtime.stats().shards;
    for shard in &shards {
        let last = shard.last_snapshot.as_ref().unwrap();
        assert_eq!((shard.snapshots, shard.snapshots_failed, shard.snapshot_running), (2, 0, false));
        assert!(last.syncing > Duration::ZERO && last.syncing <= last.duration);
        assert_eq!(shard.newest_snapshot, Some(last.end));
    }
    runtime.rollback(first.id).await.unwrap();
    let at_first: Vec<_> = first.ends.iter().copied().map(Some).collect();
    assert_eq!(ends(&runtime.stats().shards), at_first);
}

/// Its version takes no other one's place.
#[tokio::test]
async fn a_backup_costs_no_version() {
    let dir = directory();
    let mut options = small(&dir.path().join("live"));
    options.versions.keep = 2;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let mut kept = Vec::new();
    for n in 0..2 {
        write(&runtime, 20).await;
        kept.push(runtime.mark().await.unwrap());
        let made = runtime.backup(dir.path().join(format!("backup-{n}"))).await.unwrap();
        assert!(!kept.contains(&made));
    }
    assert_eq!(runtime.versions(), kept);
}
