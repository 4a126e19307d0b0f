//! What callers meet: panics, deadlines, full lanes, dropped futures, freshness of views.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "submitting/dropped.rs"]
mod dropped;
#[path = "support/gate.rs"]
mod gate;
#[path = "submitting/overdue.rs"]
mod overdue;
#[path = "submitting/slow.rs"]
mod slow;
mod support;
#[path = "submitting/views.rs"]
mod views;

use std::path::Path;
use std::time::Duration;

use mainstay::sim::{Operation, SimDisk};
use mainstay::{Lsn, Memory, NotExecuted, Options, Outcome, Position, Runtime, ShardId, SubmitError, SyncPolicy};
use support::{Command, Counters, add, directory, small};

const SHARD: ShardId = ShardId(0);
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

fn one_shard(dir: &Path) -> Options {
    Options { shards: Some(1), ..small(dir) }
}

/// A panic among the commands of one call is that command's own: its neighbours get positions next to each other.
#[tokio::test]
async fn a_panic_in_the_middle_of_many_costs_itself_alone() {
    let dir = directory();
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    for round in 0..3 {
        let many = vec![add("a", 1), Command::Panic(b"a".to_vec()), add("a", 1)];
        let answers = runtime.submit_many(many).await;
        assert_eq!(answers[1], Err(SubmitError::NotExecuted(NotExecuted::Panicked)));
        let [first, last] = [0, 2].map(|at| answers[at].clone().unwrap());
        assert_eq!((first.reply, last.reply), (2 * round + 1, 2 * round + 2));
        assert_eq!(last.position, Position { lsn: first.position.lsn.plus(1), ..first.position });
    }
    assert_eq!(runtime.stats().shards[0].restarts, 0);
    assert_eq!(runtime.view().await.get(b"panic").unwrap(), None);
    drop(runtime);
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 6);
    assert_eq!(runtime.latest().end(SHARD).unwrap().lsn, Lsn(7));
}

/// A panic changes nothing and takes no position; the shard serves on.
#[tokio::test]
async fn a_panic_in_apply_is_not_executed() {
    let dir = directory();
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let error = runtime.submit(Command::Panic(b"a".to_vec())).await.unwrap_err();
    assert_eq!(error, SubmitError::NotExecuted(NotExecuted::Panicked));
    let receipt = runtime.submit(add("a", 1)).await.unwrap();
    assert_eq!((receipt.reply, receipt.position.lsn), (2, Lsn(2)));
    assert_eq!(runtime.view().await.get(b"panic").unwrap(), None);
    assert_eq!(runtime.stats().shards[0].restarts, 0);
    drop(runtime);
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 2);
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_before_anything_happens() {
    let dir = directory();
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    let limit = one_shard(dir.path()).command_bytes_max;
    let put = |bytes: usize| Command::Put(vec![1], vec![5; bytes]);
    let error = runtime.submit(put(limit as usize)).await.unwrap_err();
    assert!(matches!(error, SubmitError::NotExecuted(NotExecuted::TooLarge { limit: l, .. }) if l == limit));
    // The longest that fits: variant, key with its length, value with its length.
    runtime.submit(put(limit as usize - 6)).await.unwrap();
    let error = runtime.submit_to(ShardId(9), add("a", 1)).await.unwrap_err();
    assert_eq!(error, SubmitError::NotExecuted(NotExecuted::NoSuchShard));
}

/// Guards F37, F57, F2, F3: whatever stalls, what is on its way is bounded, and everybody is told the truth in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_disk_bounds_memory_and_answers_in_time() {
    let sim = SimDisk::new(1);
    let options = Options {
        lane_commands: 64,
        sync_deadline: Duration::from_millis(50),
        submit_deadline: Duration::from_millis(300),
        ..one_shard(Path::new("/data"))
    };
    let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
    runtime.submit(add("warm", 1)).await.unwrap();
    let stall = sim.stall(|call| call.operation == Operation::Sync && call.path.to_string_lossy().contains("wal-"));
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.submit(add(&format!("{n}"), 1)).await })
        })
        .collect();
    let (mut unconfirmed, mut not_executed) = (Vec::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Err(SubmitError::Unconfirmed { position, .. }) => unconfirmed.push(position),
            Err(SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept)) => not_executed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=64).contains(&unconfirmed.len()), "{} accepted", unconfirmed.len());
    assert_eq!(unconfirmed.len() + not_executed, 200);
    let busy = runtime.try_submit(add("x", 1)).await.unwrap_err();
    assert_eq!(busy, SubmitError::NotExecuted(NotExecuted::Busy));
    for position in &unconfirmed {
        assert_eq!(runtime.outcome(SHARD, *position).await, Outcome::Pending);
    }
    stall.release();
    for position in &unconfirmed {
        runtime.durable(SHARD, *position).await.unwrap();
        assert_eq!(runtime.outcome(SHARD, *position).await, Outcome::Durable);
    }
    let view = runtime.view().await;
    assert_eq!(view.len(SHARD).unwrap(), 1 + unconfirmed.len());
    runtime.submit(add("x", 1)).await.unwrap();
}

/// Guards F8: `durable` waits for more than the policy gave.
#[tokio::test]
async fn durable_syncs_what_the_policy_did_not() {
    for sync in [SyncPolicy::Never, SyncPolicy::Interval(Duration::from_secs(3600))] {
        let sim = SimDisk::new(4);
        let options = Options { sync, ..one_shard(Path::new("/data")) };
        let runtime = Runtime::open_on(sim.clone(), Counters, options.clone()).await.unwrap();
        let receipt = runtime.submit(add("a", 5)).await.unwrap();
        assert_eq!(runtime.outcome(SHARD, receipt.position).await, Outcome::Accepted);
        runtime.durable(SHARD, receipt.position).await.unwrap();
        assert_eq!(runtime.outcome(SHARD, receipt.position).await, Outcome::Durable);
        let never_given = Position { lsn: Lsn(99), ..receipt.position };
        assert_eq!(runtime.outcome(SHARD, never_given).await, Outcome::Pending);
        drop(runtime);
        let runtime = Runtime::open_on(sim.crash(1), Counters, options).await.unwrap();
        assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 5);
        assert_eq!(runtime.outcome(SHARD, receipt.position).await, Outcome::Durable);
        assert_eq!(runtime.outcome(SHARD, never_given).await, Outcome::NotExecuted);
    }
}

#[tokio::test]
async fn memory_has_a_limit_and_what_shrinks_is_let_through() {
    let dir = directory();
    let options = Options { memory: Memory::Bytes(20_000), spill: false, ..one_shard(dir.path()) };
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let mut taken = 0u8;
    let error = loop {
        match runtime.submit(Command::Put(vec![taken], vec![0; 500])).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    let SubmitError::NotExecuted(NotExecuted::OutOfMemory { memory_bytes, growth_bytes, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(runtime.stats().shards[0].memory_bytes, memory_bytes);
    assert!((500..1_000).contains(&growth_bytes), "{growth_bytes}");
    assert!((10..40).contains(&taken), "{taken}");
    runtime.submit(Command::Put(vec![0], vec![])).await.unwrap();
    runtime.submit(Command::Put(vec![0], vec![0; 400])).await.unwrap();
    assert!(runtime.stats().shards[0].memory_bytes <= 20_000);
}

/// After the end commands are refused and reads go on.
#[tokio::test]
async fn a_handle_outlives_its_runtime() {
    let dir = directory();
    let runtime = Runtime::open(Counters, one_shard(dir.path())).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.shutdown().await.unwrap();
    let refused = SubmitError::NotExecuted(NotExecuted::ShuttingDown);
    assert_eq!(runtime.submit(add("a", 1)).await.unwrap_err(), refused);
    assert_eq!(runtime.try_submit(add("a", 1)).await.unwrap_err(), refused);
    assert_eq!(runtime.submit_many(vec![add("a", 1)]).await[0], Err(refused));
    assert!(runtime.latest().get(b"a").unwrap().is_some());
    runtime.shutdown().await.unwrap_err();
}
