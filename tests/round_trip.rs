//! What was answered is there again, however the runtime ended.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use mainstay::{Durability, Lsn, Options, Runtime, ShardId};
use support::{Counters, add, directory, small};

#[tokio::test]
async fn a_receipt_is_seen_by_views_and_found_again() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options::new(dir.path())).await.unwrap();
    let receipt = runtime.submit(add("a", 5)).await.unwrap();
    assert_eq!((receipt.reply, receipt.durability), (5, Durability::Durable));
    assert_eq!(receipt.position.lsn, Lsn(1));
    assert_eq!(runtime.view().await.get(b"a").unwrap().unwrap().sum, 5);
    drop(runtime);
    let runtime = Runtime::open(Counters, Options::new(dir.path())).await.unwrap();
    assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 5);
    assert_eq!(runtime.recovery().shards[0].commands, 1);
    let receipt = runtime.submit(add("a", 2)).await.unwrap();
    assert_eq!((receipt.reply, receipt.position.lsn), (7, Lsn(2)));
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_dense_positions_across_rolls() {
    let dir = directory();
    let options = Options { shards: Some(1), ..small(dir.path()) };
    let mut lsns = Vec::new();
    for round in 0..3 {
        let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let mut lsns = Vec::new();
                    for n in 0..100 {
                        let key = format!("{task}");
                        let receipt = runtime.submit(add(&key, n)).await.unwrap();
                        lsns.push(receipt.position.lsn.0);
                    }
                    lsns
                })
            })
            .collect();
        for task in tasks {
            lsns.extend(task.await.unwrap());
        }
        if round != 1 {
            runtime.shutdown().await.unwrap();
        }
    }
    lsns.sort_unstable();
    assert_eq!(lsns, (1..=2400).collect::<Vec<_>>());
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let view = runtime.latest();
    for task in 0..8 {
        let sum = view.get(format!("{task}").as_bytes()).unwrap().unwrap().sum;
        assert_eq!(sum, 3 * (0..100).sum::<i64>());
    }
    assert_eq!(view.end(ShardId(0)).unwrap().lsn, Lsn(2401));
}
