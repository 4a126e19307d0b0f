//! A snapshot and a rewrite at a time: whichever ends first, neither spoils the other.

use mainstay::sim::{Call, Operation, SimDisk};
use mainstay::{Options, Runtime};

use super::reclaim::write;
use crate::support::{Counters, small};

fn options() -> Options {
    let mut options = Options { shards: Some(1), ..small("/data".as_ref()) };
    options.snapshots.at_once = 2;
    options
}

/// Of the shard's first snapshot, whoever takes it.
fn is_first(call: &Call) -> bool {
    call.operation == Operation::Write && call.path.to_string_lossy().contains("/snapshot-0000000000000001.")
}

/// Guards F16, F41: what was asked for first ends last, and what it holds is in the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_a_rewrite_overtakes_is_no_failure() {
    let sim = SimDisk::new(1);
    let runtime = Runtime::open_on(sim.clone(), Counters, options()).await.unwrap();
    write(&runtime, 50).await;
    let stall = sim.stall(is_first);
    let asked = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.snapshot().await }
    });
    while stall.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    // More than a log file.
    write(&runtime, 500).await;
    let version = runtime.rewrite().await.unwrap();
    runtime.retire(version.id).await.unwrap();
    stall.release();
    asked.await.unwrap().unwrap();
    let stats = &runtime.stats().shards[0];
    assert_eq!((stats.snapshots_failed, stats.last_snapshot_failed), (0, false));
    runtime.snapshot().await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// The other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_goes_on_beside_snapshots() {
    let sim = SimDisk::new(2);
    let runtime = Runtime::open_on(sim.clone(), Counters, options()).await.unwrap();
    write(&runtime, 50).await;
    let stall = sim.stall(is_first);
    let asked = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.rewrite().await }
    });
    while stall.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    write(&runtime, 500).await;
    runtime.snapshot().await.unwrap();
    stall.release();
    let version = asked.await.unwrap().unwrap();
    assert_eq!(version.ends[0].lsn.0, 51);
    assert_eq!(runtime.versions(), [version]);
    runtime.shutdown().await.unwrap();
}
