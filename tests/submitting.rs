//! What callers meet: panics, deadlines, full lanes, dropped futures, freshness of views.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::path::Path;
use std::time::Duration;

use mainstay::sim::{Operation, SimDisk};
use mainstay::{Lsn, NotExecuted, Options, Outcome, Position, ReadError, Runtime, ShardId, SubmitError, SyncPolicy};
use support::{Command, Counters, add, directory, small};

const SHARD: ShardId = ShardId(0);

fn one_shard(dir: &Path) -> Options {
    Options { shards: Some(1), ..small(dir) }
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

/// A dropped future withdraws the command or leaves it alone; credits come back either way.
#[tokio::test]
async fn dropped_futures_leak_nothing_and_never_half_apply() {
    let sim = SimDisk::new(2);
    let options = Options { lane_commands: 16, ..one_shard(Path::new("/data")) };
    let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    for round in 0..50 {
        let stall = sim.stall(|call| call.operation == Operation::Sync);
        let submits: Vec<_> = (0..12)
            .map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.submit(add("a", 1)).await })
            })
            .collect();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        for submit in &submits {
            submit.abort();
        }
        for submit in submits {
            let _ = submit.await;
        }
        stall.release();
    }
    // All credits are back: a full lane's worth goes through at once.
    let answers = runtime.submit_many((0..16).map(|_| add("b", 1)).collect()).await;
    assert!(answers.iter().all(Result::is_ok));
    let view = runtime.view().await;
    let end = view.end(SHARD).unwrap().lsn.0;
    let (a, b) = (view.get(b"a").unwrap().unwrap().sum, view.get(b"b").unwrap().unwrap().sum);
    assert_eq!(u64::try_from(a + b).unwrap(), end - 1, "each position is one whole command");
}

/// A view taken after a receipt contains it: under every policy, after idleness, and while another shard stalls.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_contains_every_receipt_given_before_it() {
    for sync in [SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(20)), SyncPolicy::Never] {
        let sim = SimDisk::new(3);
        let options = Options {
            shards: Some(2),
            sync,
            view_deadline: Duration::from_millis(100),
            sync_deadline: Duration::from_millis(50),
            ..small(Path::new("/data"))
        };
        let runtime = Runtime::open_on(sim.clone(), Counters, options).await.unwrap();
        let key_of = |shard: u32| (0..).map(|n| format!("{n}")).find(|key| runtime.shard_of(key.as_bytes()).0 == shard);
        let (zero, one) = (key_of(0).unwrap(), key_of(1).unwrap());
        for n in 1..=200 {
            runtime.submit(add(&zero, 1)).await.unwrap();
            assert_eq!(runtime.view().await.get(zero.as_bytes()).unwrap().unwrap().sum, n);
        }
        runtime.submit(add(&one, 1)).await.unwrap();
        let stall = sim.stall(|call| {
            let path = call.path.to_string_lossy().into_owned();
            matches!(call.operation, Operation::Sync | Operation::Write) && path.contains("shard-1/")
        });
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
    let options = Options { memory_bytes: 20_000, ..one_shard(dir.path()) };
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let mut taken = 0u8;
    let error = loop {
        match runtime.submit(Command::Put(vec![taken], vec![0; 500])).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, SubmitError::NotExecuted(NotExecuted::OutOfMemory));
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
