//! A view taken after a receipt contains it, however quiet or stuck the rest is.

use std::path::Path;
use std::time::Duration;

use mainstay::sim::{Operation, SimDisk, Stall};
use mainstay::{Lsn, Options, ReadError, Runtime, SubmitError, SyncPolicy};

use crate::gate::until;
use crate::one_shard;
use crate::support::{Counters, add, small};

const POLICIES: [SyncPolicy; 3] =
    [SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(20)), SyncPolicy::Never];

/// A key of each of two shards.
fn keys(runtime: &Runtime<Counters>) -> [String; 2] {
    [0, 1].map(|shard| (0..).map(|n| format!("{n}")).find(|key| runtime.shard_of(key.as_bytes()).0 == shard).unwrap())
}

/// Nothing of shard 1 is written or synced.
fn stall_shard_1(sim: &SimDisk) -> Stall {
    sim.stall(|call| {
        let path = call.path.to_string_lossy().into_owned();
        matches!(call.operation, Operation::Sync | Operation::Write) && path.contains("shard-1/")
    })
}

/// Guards F9: under every policy, with traffic, and while another shard stalls.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_contains_every_receipt_given_before_it() {
    for sync in POLICIES {
        let sim = SimDisk::new(3);
        let options = Options {
            shards: Some(2),
            sync,
            view_deadline: Duration::from_millis(100),
            sync_deadline: Duration::from_millis(50),
            ..small(Path::new("/data"))
        };
        let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
        let [zero, one] = keys(&runtime);
        for n in 1..=200 {
            runtime.submit(add(&zero, 1)).await.unwrap();
            assert_eq!(runtime.view().await.get(zero.as_bytes()).unwrap().unwrap().sum, n);
        }
        runtime.submit(add(&one, 1)).await.unwrap();
        let stall = stall_shard_1(&sim);
        let stalled = runtime.submit(add(&one, 1)).await.unwrap_err();
        assert!(matches!(stalled, SubmitError::Unconfirmed { .. }), "{stalled:?}");
        runtime.submit(add(&zero, 1)).await.unwrap();
        let view = runtime.view().await;
        assert_eq!(view.get(zero.as_bytes()).unwrap().unwrap().sum, 201);
        match view.get(one.as_bytes()) {
            // Published before the stall, or on its own keys stale; never older than a receipt.
            Ok(entity) => assert_eq!(entity.unwrap().sum, 1),
            Err(error) => assert!(matches!(error, ReadError::Stale { .. }), "{error}"),
        }
        stall.release();
    }
}

/// Waits as long as an idle log takes to write its note, and longer if this one writes none.
async fn until_idle(runtime: &Runtime<Counters>, sync: SyncPolicy, frames_before: u64) {
    let frames = || runtime.stats().shards[0].frames;
    // One frame of the command and one of the note.
    if sync != SyncPolicy::Never {
        return until("the note is written", || frames() == frames_before + 2).await;
    }
    let clock = Runtime::open_on(SimDisk::new(9), Counters, one_shard(Path::new("/clock"))).await.unwrap();
    clock.submit(add("tick", 1)).await.unwrap();
    until("another log's note is written", || clock.stats().shards[0].frames == 2).await;
    assert_eq!(frames(), frames_before + 1, "a note under {sync:?}");
}

/// Guards F7, F9: nobody comes after the receipt, the log has fallen silent, and the first view shows it all the same;
/// also while another shard hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_after_idleness_contains_the_last_receipt() {
    for sync in POLICIES {
        let sim = SimDisk::new(5);
        let options = Options {
            shards: Some(2),
            sync,
            view_deadline: Duration::from_secs(60),
            sync_deadline: Duration::from_millis(50),
            ..small(Path::new("/data"))
        };
        let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
        let [zero, one] = keys(&runtime);
        runtime.submit(add(&one, 1)).await.unwrap();
        assert_eq!(runtime.view().await.get(one.as_bytes()).unwrap().unwrap().sum, 1);
        let (mut stall, mut behind) = (None, 0);
        for n in 1..=6 {
            if n == 4 {
                let stalled = stall.insert(stall_shard_1(&sim));
                let waiting = tokio::spawn({
                    let (runtime, one) = (runtime.clone(), one.clone());
                    async move { runtime.submit(add(&one, 1)).await }
                });
                until("shard 1 hangs", || stalled.waiting() > 0).await;
                assert!(matches!(waiting.await.unwrap(), Err(SubmitError::Unconfirmed { .. })));
            }
            let before = runtime.stats().shards[0].frames;
            let receipt = runtime.submit(add(&zero, 1)).await.unwrap();
            until_idle(&runtime, sync, before).await;
            let stats = runtime.stats();
            behind += u64::from(stats.shards[0].published <= receipt.position);
            let view = runtime.view().await;
            assert_eq!(view.get(zero.as_bytes()).unwrap().unwrap().sum, n, "{sync:?}");
            assert_eq!(view.end(receipt.shard).unwrap().lsn, Lsn(u64::try_from(n).unwrap() + 1));
            // What was never answered is not missing.
            assert_eq!(view.get(one.as_bytes()).unwrap().unwrap().sum, 1, "{sync:?}");
        }
        drop(stall);
        assert!(behind > 1, "every view found what an earlier one had asked for");
    }
}

/// Who has read will read again: the next command's root is published before its receipt is given.
#[tokio::test]
async fn a_root_comes_with_the_batch_after_a_view() {
    let runtime = Runtime::open_on(SimDisk::new(8), Counters, small(Path::new("/data"))).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let published = |receipt: &mainstay::Receipt<i64>| {
        runtime.stats().shards[receipt.shard.0 as usize].published > receipt.position
    };
    let _asked_for = runtime.view().await;
    let receipt = runtime.submit(add("a", 1)).await.unwrap();
    assert!(!published(&receipt), "nobody has read since a root was asked for");
    let _asked_for = runtime.view().await;
    let _found_fresh = runtime.view().await;
    let receipt = runtime.submit(add("a", 1)).await.unwrap();
    assert!(published(&receipt));
}
