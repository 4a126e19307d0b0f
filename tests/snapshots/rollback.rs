//! Going back to a version, and looking at one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay::{Memory, OpenError, Options, Outcome, Runtime, ShardId, VersionError, VersionId, View};

use super::reclaim::{files, write};
use crate::support::{Counters, Entity, add, directory, small};

pub fn sums(view: &View<Entity>) -> Vec<(Vec<u8>, i64)> {
    let shards = view.shards();
    let entries =
        shards.flat_map(|shard| view.iter(shard).unwrap().map(|(key, e)| (key.to_vec(), e.sum)).collect::<Vec<_>>());
    let mut sums: Vec<_> = entries.collect();
    sums.sort();
    sums
}

/// A key of that shard.
pub fn key(runtime: &Runtime<Counters>, shard: u32) -> String {
    (0..).map(|n| format!("k{n}")).find(|key| runtime.shard_of(key.as_bytes()) == ShardId(shard)).unwrap()
}

/// Guards F14, F64, F66: the state is the version's, now and after an opening, and the abandoned line is told of.
#[tokio::test]
async fn the_state_goes_back_and_stays_there() {
    let dir = directory();
    let options = Options { shards: Some(3), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    let mut expected = Vec::new();
    for round in 0..4 {
        write(&runtime, 200).await;
        let version = if round % 2 == 0 { runtime.mark().await } else { runtime.rewrite().await };
        expected.push((version.unwrap(), sums(&runtime.view().await)));
        if round == 2 {
            runtime.snapshot().await.unwrap();
        }
    }
    let late = runtime.submit(add("late", 1)).await.unwrap();
    let (third, second) = (expected[2].clone(), expected[1].clone());
    for (version, expected) in [third, second.clone()] {
        assert_eq!(sums(&runtime.view_at(version.id).await.unwrap()), expected);
        runtime.rollback(version.id).await.unwrap();
        assert_eq!(sums(&runtime.view().await), expected);
        assert_eq!(sums(&runtime.latest()), expected);
        assert_eq!(runtime.versions().last(), Some(&version));
        assert_eq!(runtime.outcome(late.shard, late.position).await, Outcome::RolledBack);
        let receipt = runtime.submit(add("again", 1)).await.unwrap();
        assert!(receipt.position.epoch > late.position.epoch, "positions are never given out twice");
        assert_eq!(runtime.outcome(receipt.shard, receipt.position).await, Outcome::Durable);
    }
    assert_eq!(runtime.rollback(VersionId(3)).await, Err(VersionError::Unknown(VersionId(3))));
    let now = sums(&runtime.view().await);
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open(Counters, options).await.unwrap();
    assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None);
    assert_eq!(sums(&runtime.view().await), now);
    assert_eq!(runtime.outcome(late.shard, late.position).await, Outcome::RolledBack);
    assert_eq!(runtime.versions(), [expected[0].0.clone(), second.0]);
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    runtime.rollback(VersionId(1)).await.unwrap();
    assert_eq!(sums(&runtime.view().await), expected[0].1);
}

/// A version is looked at while its directory is written to; one that is gone is told from one that cannot be read.
#[tokio::test]
async fn a_version_is_looked_at_while_the_runtime_goes_on() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(2), ..small(dir.path()) }).await.unwrap();
    write(&runtime, 100).await;
    let version = runtime.mark().await.unwrap();
    let expected = sums(&runtime.view().await);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (runtime, stop) = (runtime.clone(), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                write(&runtime, 20).await;
                runtime.snapshot().await.unwrap();
            }
        }
    });
    for _ in 0..20 {
        let view = Runtime::open_at(Counters, dir.path(), version.id, Memory::Unlimited).await.unwrap();
        assert_eq!(sums(&view), expected);
    }
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    runtime.retire(version.id).await.unwrap();
    let gone = Runtime::open_at(Counters, dir.path(), version.id, Memory::Unlimited).await;
    assert!(matches!(gone, Err(OpenError::NoVersion { version: VersionId(1) })));
}

/// Guards F65: what cannot be read is found out before anything is touched.
#[tokio::test]
async fn an_unreachable_version_changes_no_byte() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(2), ..small(dir.path()) }).await.unwrap();
    write(&runtime, 300).await;
    let version = runtime.rewrite().await.unwrap();
    write(&runtime, 300).await;
    let expected = sums(&runtime.view().await);
    let name = files(dir.path(), 1).into_iter().find(|name| name.ends_with(".snap")).unwrap();
    let path = dir.path().join("shard-1").join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let manifests = || {
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    // Spares are registered whenever they are ready.
    let mut before = Vec::new();
    while before != manifests() {
        before = manifests();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let refused = runtime.rollback(version.id).await;
    assert!(matches!(refused, Err(VersionError::Unreachable { .. })), "{refused:?}");
    assert!(manifests() == before, "the manifest has changed");
    assert_eq!(sums(&runtime.view().await), expected);
    write(&runtime, 10).await;
}

/// Guards F64: no view shows one shard before the rollback and another behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_a_mix() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(2), ..small(dir.path()) }).await.unwrap();
    let keys = [key(&runtime, 0), key(&runtime, 1)];
    for key in &keys {
        runtime.submit(add(key, 1)).await.unwrap();
    }
    let version = runtime.mark().await.unwrap();
    let (stop, mixes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let reader = tokio::spawn({
        let (runtime, stop, mixes) = (runtime.clone(), Arc::clone(&stop), Arc::clone(&mixes));
        async move {
            let mut views = 0;
            while !stop.load(Ordering::Relaxed) {
                let view = if views % 2 == 0 { runtime.view().await } else { runtime.latest() };
                // A view is no cut. But each rollback begins an epoch in every shard, and nothing else does here.
                let epochs = [0, 1].map(|shard| view.end(ShardId(shard)).map(|end| end.epoch));
                if let [Ok(first), Ok(second)] = epochs
                    && first != second
                {
                    mixes.store(true, Ordering::Relaxed);
                }
                views += 1;
                tokio::task::yield_now().await;
            }
            views
        }
    });
    for _ in 0..30 {
        for key in &keys {
            runtime.submit(add(key, 10)).await.unwrap();
        }
        runtime.rollback(version.id).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 30);
    assert!(!mixes.load(Ordering::Relaxed), "a view showed a shard that has gone back beside one that has not");
}

/// A life that a rollback ends has not died: however often that happens, and however busy it is, no shard is fenced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_shards_go_back_as_often_as_one_likes() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(2), ..small(dir.path()) }).await.unwrap();
    write(&runtime, 20).await;
    let version = runtime.mark().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers = (0..4).map(|_| {
        let (runtime, stop) = (runtime.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                write_any(&runtime).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..30 {
        runtime.rollback(version.id).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(runtime.stats().shards.iter().all(|shard| shard.refusal.is_none()));
    write(&runtime, 20).await;
}

/// Some commands, whatever becomes of them.
async fn write_any(runtime: &Runtime<Counters>) {
    let commands = (0..16).map(|n| add(&format!("k{n}"), 1)).collect();
    drop(runtime.submit_many(commands).await);
}

/// Guards F65: also the file that the log would go on from is read, though a snapshot holds all of the version.
#[tokio::test]
async fn the_end_of_a_versions_log_is_part_of_it() {
    let dir = directory();
    let runtime = Runtime::open(Counters, small(dir.path())).await.unwrap();
    write(&runtime, 20).await;
    let version = runtime.rewrite().await.unwrap();
    let first = dir.path().join("shard-0/wal-0000000000000001.seg");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let refused = runtime.rollback(version.id).await;
    assert!(matches!(refused, Err(VersionError::Unreachable { .. })), "{refused:?}");
    let refused = runtime.backup(dir.path().join("backup")).await;
    assert!(matches!(refused, Err(mainstay::BackupFailed::Files(mainstay::BackupError::Log(_)))), "{refused:?}");
    write(&runtime, 1).await;
}
