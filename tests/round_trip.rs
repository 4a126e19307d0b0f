//! What was answered is there again, however the runtime ended.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::fs;
use std::path::Path;

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

#[tokio::test]
async fn many_keys_are_read_as_one_by_one() {
    let dir = directory();
    let runtime = Runtime::open(Counters, Options { shards: Some(3), ..small(dir.path()) }).await.unwrap();
    let commands = (0..500).step_by(2).map(|n| add(&format!("{n}"), n)).collect();
    assert!(runtime.submit_many(commands).await.iter().all(Result::is_ok));
    let view = runtime.view().await;
    // Two in three are not there, and every key comes twice.
    let keys: Vec<_> = (0..750).chain(0..750).map(|n| format!("{n}")).collect();
    let found = view.get_many(&keys);
    assert_eq!(found.iter().filter(|found| found.as_ref().is_ok_and(Option::is_some)).count(), 500);
    assert_eq!(found, keys.iter().map(|key| view.get(key.as_bytes())).collect::<Vec<_>>());
    assert_eq!(view.get_many::<&str>(&[]), []);
}

/// Log files of shard 0 that were opened because the one before was full, as their headers say.
fn rolled(dir: &Path) -> usize {
    let files = fs::read_dir(dir.join("shard-0")).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.filter(|bytes| bytes.starts_with(b"MAINSEG1") && bytes[12..16] == 2u32.to_le_bytes()).count()
}

/// Every writer submits 100 commands, each after the receipt of the one before. Returns the lsns.
async fn write(runtime: &Runtime<Counters>, writers: u32) -> Vec<u64> {
    let writer = |writer: u32| {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            let mut lsns = Vec::new();
            for n in 0..100 {
                let receipt = runtime.submit(add(&format!("{writer}"), n)).await.unwrap();
                lsns.push(receipt.position.lsn.0);
            }
            assert!(lsns.is_sorted(), "each command came after the receipt of the one before");
            lsns
        })
    };
    let writers: Vec<_> = (0..writers).map(writer).collect();
    let mut lsns = Vec::new();
    for writer in writers {
        lsns.extend(writer.await.unwrap());
    }
    lsns
}

/// Guards F13, F14: 8 and 10 writers, three lives, one of which ends without a shutdown; in each the log rolls.
#[tokio::test(flavor = "multi_thread")]
async fn many_writers_get_dense_positions_across_rolls() {
    for writers in [8, 10] {
        let dir = directory();
        let options = Options { shards: Some(1), ..small(dir.path()) };
        let mut lsns = Vec::new();
        for round in 0..3 {
            let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
            let before = rolled(dir.path());
            lsns.extend(write(&runtime, writers).await);
            assert!(rolled(dir.path()) > before + 1, "{writers} writers, life {round}: the log has not rolled");
            if round != 1 {
                runtime.shutdown().await.unwrap();
            }
        }
        lsns.sort_unstable();
        let count = 3 * 100 * u64::from(writers);
        assert_eq!(lsns, (1..=count).collect::<Vec<_>>(), "{writers} writers");
        let runtime = Runtime::open(Counters, options).await.unwrap();
        assert_eq!(runtime.recovery().shards[0].commands, count);
        let view = runtime.latest();
        for writer in 0..writers {
            let sum = view.get(format!("{writer}").as_bytes()).unwrap().unwrap().sum;
            assert_eq!(sum, 3 * (0..100).sum::<i64>());
        }
        assert_eq!(view.end(ShardId(0)).unwrap().lsn, Lsn(count + 1));
    }
}
