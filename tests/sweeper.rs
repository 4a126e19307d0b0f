//! The sweeper: what has expired is freed, in idle and in busy shards.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Expiry, Kv, Sweeper, SweeperOptions};
use mainstay::sim::SimDisk;
use mainstay::{Options, Runtime, SyncPolicy};

/// More than any of this takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn open() -> Runtime<Kv> {
    let options = Options { shards: Some(2), sync: SyncPolicy::Never, ..Options::new(Path::new("/data")) };
    Runtime::open_on(SimDisk::new(1), Kv, options).await.unwrap()
}

fn sweeper(runtime: &Runtime<Kv>) -> Sweeper {
    let mut options = SweeperOptions::default();
    options.interval = Duration::from_millis(1);
    options.idle_interval = Duration::from_millis(1);
    options.slice_keys = 16;
    Sweeper::start(runtime.clone(), options)
}

fn entries(runtime: &Runtime<Kv>) -> u64 {
    runtime.stats().shards.iter().map(|shard| shard.entries).sum()
}

async fn set(runtime: &Runtime<Kv>, count: usize, expiry: Expiry) {
    let key = |n| format!("{n} {expiry:?}");
    let commands = (0..count).map(|n| Command::set(key(n), "value").expiring(expiry)).collect();
    assert!(runtime.submit_many(commands).await.iter().all(Result::is_ok));
}

/// Nobody reads what has expired, and it goes all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_an_idle_shard_is_freed() {
    let runtime = open().await;
    let sweeper = sweeper(&runtime);
    set(&runtime, 30, Expiry::Never).await;
    set(&runtime, 300, Expiry::After(1)).await;
    let started = Instant::now();
    while entries(&runtime) > 30 {
        assert!(started.elapsed() < PATIENCE, "{} are left", entries(&runtime));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(entries(&runtime), 30);
    sweeper.stop().await;
}

/// A shard that never rests is swept too, once its keys were seen to expire.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_a_busy_shard_is_freed() {
    let runtime = open().await;
    set(&runtime, 300, Expiry::After(1)).await;
    let sweeper = sweeper(&runtime);
    let started = Instant::now();
    let mut round = 0;
    while entries(&runtime) > 4 {
        assert!(started.elapsed() < PATIENCE, "{} are left", entries(&runtime));
        runtime.view().await;
        set(&runtime, 4, Expiry::Never).await;
        round += 1;
    }
    println!("{round} rounds");
    sweeper.stop().await;
}
