//! The memory that a running snapshot keeps alive: counted, each entry once and until it was written, and bounded.

use mainstay::sim::{Operation, SimDisk, Stall};
use mainstay::{NoSnapshot, Options, Runtime, ShardId, VersionError};

use super::disk;
use crate::gate::until;
use crate::support::{Command, Counters, directory, small};

const VALUE: usize = 400;

fn put(key: &[u8]) -> Command {
    Command::Put(key.to_vec(), vec![1; VALUE])
}

async fn put_all(runtime: &Runtime<Counters>, keys: &[Vec<u8>]) {
    for keys in keys.chunks(100) {
        for answer in runtime.submit_many(keys.iter().map(|key| put(key)).collect()).await {
            answer.unwrap();
        }
    }
}

/// Writes a megabyte, and returns its keys in the order in which a snapshot has them.
async fn fill(runtime: &Runtime<Counters>) -> Vec<Vec<u8>> {
    put_all(runtime, &(0..2000).map(|number| format!("key {number}").into_bytes()).collect::<Vec<_>>()).await;
    runtime.view().await.iter(ShardId(0)).unwrap().map(|(key, _)| key.to_vec()).collect()
}

/// A snapshot so slow that it runs until something ends it.
async fn slow(dir: &std::path::Path, overlap_bytes: u64) -> (Runtime<Counters>, Vec<Vec<u8>>) {
    let mut options = Options { shards: Some(1), ..small(dir) };
    options.snapshots.bytes_per_second = 64 * 1024;
    options.snapshots.overlap_bytes = overlap_bytes;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let keys = fill(&runtime).await;
    (runtime, keys)
}

/// Waits until the snapshot's thread has written something: then it counts.
async fn has_begun(runtime: &Runtime<Counters>) {
    while runtime.stats().shards[0].snapshot_bytes == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn past_the_bound_it_is_given_up_and_writes_go_on() {
    let dir = directory();
    let (runtime, keys) = slow(dir.path(), 50_000).await;
    let snapshot = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.snapshot().await }
    });
    has_begun(&runtime).await;
    // One key, over and over: the snapshot keeps its first value alive and no other. It will be written last.
    let last = keys.last().unwrap();
    for _ in 0..500 {
        runtime.submit(put(last)).await.unwrap();
    }
    let once = runtime.stats().shards[0].snapshot_overlap_bytes;
    assert!((VALUE as u64..1_000).contains(&once), "{once}");
    for key in keys.iter().rev().take(300) {
        runtime.submit(put(key)).await.unwrap();
    }
    assert_eq!(snapshot.await.unwrap().unwrap_err().why, NoSnapshot::Memory);
    let stats = &runtime.stats().shards[0];
    assert_eq!((stats.snapshots, stats.snapshots_failed, stats.snapshot_overlap_bytes), (0, 1, 0));
    runtime.submit(put(last)).await.unwrap();
}

/// Has this write of a snapshot hang, counted from now on: the header, then blocks of 256 KiB.
fn hang_at(disk: &SimDisk, write: usize) -> Stall {
    let mut writes = 0;
    disk.stall(move |call| {
        let is_snapshot = call.path.to_string_lossy().contains("/snapshot-");
        let is_write = is_snapshot && call.operation == Operation::Write;
        writes += usize::from(is_write);
        is_write && writes == write
    })
}

/// What it has written it lets go of: all of the state is overwritten beside it, and it keeps less and less of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_counts_no_more() {
    let sim = SimDisk::new(5);
    let runtime = Runtime::open_on(sim.clone(), Counters, disk::options(1)).await.unwrap();
    let keys = fill(&runtime).await;
    let kept = || runtime.stats().shards[0].snapshot_overlap_bytes;
    let part_of_state = |part: f64| (runtime.stats().shards[0].memory_bytes as f64 * part) as u64;
    let first_block = hang_at(&sim, 2);
    let snapshot = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.snapshot().await }
    });
    until("a third is written", || first_block.waiting() > 0).await;
    put_all(&runtime, &keys[..keys.len() / 4]).await;
    assert_eq!(kept(), 0, "behind what was written");
    for _ in 0..2 {
        put_all(&runtime, &keys).await;
        let bytes = kept();
        assert!((part_of_state(0.6)..part_of_state(0.72)).contains(&bytes), "{bytes}");
    }
    let second_block = hang_at(&sim, 1);
    first_block.release();
    until("two thirds are written", || second_block.waiting() > 0).await;
    let bytes = kept();
    assert!((part_of_state(0.3)..part_of_state(0.42)).contains(&bytes), "{bytes}");
    second_block.release();
    snapshot.await.unwrap().unwrap();
    assert_eq!(kept(), 0);
}

/// Counted from the cut on: nothing that is overwritten behind it is missed.
#[tokio::test]
async fn a_rewrite_is_bounded_too() {
    let dir = directory();
    let (runtime, keys) = slow(dir.path(), 20_000).await;
    let rewrite = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.rewrite().await }
    });
    while !runtime.stats().shards[0].snapshot_running {
        tokio::task::yield_now().await;
    }
    // The shard has held by now, and changes nothing before its root counts.
    for key in keys.iter().rev().take(20) {
        runtime.submit(put(key)).await.unwrap();
    }
    let kept = runtime.stats().shards[0].snapshot_overlap_bytes;
    assert!((20 * VALUE as u64..20_000).contains(&kept), "{kept}");
    for key in keys.iter().rev().take(100) {
        runtime.submit(put(key)).await.unwrap();
    }
    assert_eq!(rewrite.await.unwrap(), Err(VersionError::Shard(ShardId(0))));
    let stats = &runtime.stats().shards[0];
    assert_eq!((stats.snapshots, stats.snapshots_failed, stats.snapshot_overlap_bytes), (0, 1, 0));
}

#[tokio::test]
async fn a_cancelled_one_leaves_nothing() {
    let dir = directory();
    let (runtime, _) = slow(dir.path(), 0).await;
    let snapshot = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.snapshot().await }
    });
    has_begun(&runtime).await;
    runtime.cancel_snapshots();
    assert_eq!(snapshot.await.unwrap().unwrap_err().why, NoSnapshot::Cancelled);
    while runtime.stats().shards[0].snapshot_running {
        tokio::task::yield_now().await;
    }
    runtime.shutdown().await.unwrap();
    let left = super::reclaim::files(dir.path(), 0);
    let runtime = Runtime::open(Counters, small(dir.path())).await.unwrap();
    drop(runtime);
    let swept = super::reclaim::files(dir.path(), 0);
    assert!(left.len() >= swept.len() && swept.iter().all(|name| name.ends_with(".seg")), "{left:?} {swept:?}");
}
