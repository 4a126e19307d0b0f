//! A snapshot takes the log's place: it is loaded, what it holds is not replayed, and old files go.

use std::path::Path;

use mainstay::{Options, Runtime, ShardId};

use crate::support::{Counters, add, directory, small};

/// Names of a shard's files, sorted.
pub fn files(dir: &Path, shard: u32) -> Vec<String> {
    let names = std::fs::read_dir(dir.join(format!("shard-{shard}"))).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub async fn write(runtime: &Runtime<Counters>, count: u32) {
    for number in 0..count {
        runtime.submit(add(&format!("key {}", number % 50), 1)).await.unwrap();
    }
}

async fn sum(runtime: &Runtime<Counters>) -> i64 {
    let view = runtime.view().await;
    let entries = view.shards().flat_map(|shard| view.iter(shard).unwrap().collect::<Vec<_>>());
    entries.map(|(_, entity)| entity.sum).sum()
}

/// Guards F16, F18, F38, F41: state and position are one, nothing is applied twice, and the log does not grow for ever.
#[tokio::test]
async fn what_a_snapshot_holds_is_loaded_and_its_log_is_gone() {
    let dir = directory();
    let mut expected = 0;
    for round in 1..=4 {
        let runtime = Runtime::open(Counters, small(dir.path())).await.unwrap();
        assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None);
        assert_eq!(sum(&runtime).await, expected);
        let found = &runtime.recovery().shards[0];
        assert_eq!((found.snapshot.is_some(), found.entries), (round > 1, if round > 1 { 50 } else { 0 }));
        assert_eq!(found.commands, if round > 1 { 37 } else { 0 }, "only what came later is replayed");
        write(&runtime, 1000).await;
        runtime.snapshot().await.unwrap();
        write(&runtime, 37).await;
        expected += 1037;
        assert_eq!(sum(&runtime).await, expected);
        runtime.shutdown().await.unwrap();
        let files = files(dir.path(), 0);
        assert_eq!(files.iter().filter(|name| name.ends_with(".snap")).count(), 1, "{files:?}");
        assert!(files.len() <= 5, "old files are gone: {files:?}");
    }
}

/// Nothing new: no file is written, and it is no failure.
#[tokio::test]
async fn without_commands_there_is_nothing_to_hold() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(3), ..small(dir.path()) }).await.unwrap();
    runtime.snapshot().await.unwrap();
    assert_eq!(runtime.stats().shards[0].snapshots, 0);
    let receipt = runtime.submit(add("a", 1)).await.unwrap();
    runtime.snapshot().await.unwrap();
    runtime.snapshot().await.unwrap();
    for shard in runtime.stats().shards {
        assert_eq!(shard.snapshots, u64::from(shard.shard == receipt.shard));
    }
}

/// One that is due is taken without being asked for.
#[tokio::test]
async fn it_is_taken_by_itself_when_the_log_has_grown() {
    let dir = directory();
    let mut options = small(dir.path());
    (options.snapshots.log_bytes, options.snapshots.growth_percent) = (20_000, 0);
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let started = std::time::Instant::now();
    while runtime.stats().shards[0].snapshots < 2 {
        assert!(started.elapsed().as_secs() < 60, "{:?}", runtime.stats());
        write(&runtime, 100).await;
    }
    let last = runtime.stats().shards[0].last_snapshot.clone().unwrap();
    assert_eq!((last.entries, last.end.epoch.0), (50, 1));
    assert!(runtime.shard_of(b"a") == ShardId(0));
}
