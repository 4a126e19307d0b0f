//! The memory that a running snapshot keeps alive: counted, each entry once, and bounded.

use mainstay::{NoSnapshot, Options, Runtime};

use crate::support::{Command, Counters, directory, small};

const VALUE: usize = 400;

fn put(number: u32) -> Command {
    Command::Put(format!("key {number}").into_bytes(), vec![1; VALUE])
}

/// A snapshot so slow that it runs until something ends it.
async fn slow(dir: &std::path::Path, overlap_bytes: u64) -> Runtime<Counters> {
    let mut options = Options { shards: None, ..small(dir) };
    options.snapshots.bytes_per_second = 64 * 1024;
    options.snapshots.overlap_bytes = overlap_bytes;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    for chunk in (0..2000).collect::<Vec<_>>().chunks(100) {
        for answer in runtime.submit_many(chunk.iter().map(|number| put(*number)).collect()).await {
            answer.unwrap();
        }
    }
    runtime
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
    let runtime = slow(dir.path(), 50_000).await;
    let snapshot = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.snapshot().await }
    });
    has_begun(&runtime).await;
    // One key, over and over: the snapshot keeps its first value alive and no other.
    for _ in 0..500 {
        runtime.submit(put(0)).await.unwrap();
    }
    let once = runtime.stats().shards[0].snapshot_overlap_bytes;
    assert!((VALUE as u64..1_000).contains(&once), "{once}");
    for number in 0..300 {
        runtime.submit(put(number)).await.unwrap();
    }
    assert_eq!(snapshot.await.unwrap().unwrap_err().why, NoSnapshot::Memory);
    let stats = &runtime.stats().shards[0];
    assert_eq!((stats.snapshots, stats.snapshots_failed, stats.snapshot_overlap_bytes), (0, 1, 0));
    runtime.submit(put(0)).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_one_leaves_nothing() {
    let dir = directory();
    let runtime = slow(dir.path(), 0).await;
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
