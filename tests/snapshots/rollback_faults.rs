//! A rollback with a fault at every mutating call of the disk, then a crash: the old line or the version, never a mix.

use std::time::Duration;

use mainstay::sim::{Fault, FaultKind, SimDisk};
use mainstay::{Options, RestartBudget, Runtime, VersionError};

use super::rollback::{key, sums};
use crate::support::{Counters, add, small};

/// What was answered `Ok`.
#[derive(Debug, Default)]
struct Told {
    rolled_back: Option<Result<(), VersionError>>,
    /// By shard: of the write behind the rollback.
    after: [bool; 2],
}

fn options() -> Options {
    Options {
        shards: Some(2),
        sync_deadline: Duration::from_millis(80),
        submit_deadline: Duration::from_millis(120),
        view_deadline: Duration::from_millis(50),
        shutdown_deadline: Duration::from_millis(150),
        restarts: RestartBudget {
            pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(1),
            ..RestartBudget::default()
        },
        ..small("/data".as_ref())
    }
}

/// A disk with a version in which both keys are 1, behind which they are 11; and the keys.
async fn prepared() -> (SimDisk, [String; 2]) {
    let disk = SimDisk::new(1);
    let runtime = Runtime::open_on(disk.clone(), Counters, options()).await.unwrap();
    let keys = [key(&runtime, 0), key(&runtime, 1)];
    for key in &keys {
        runtime.submit(add(key, 1)).await.unwrap();
    }
    runtime.mark().await.unwrap();
    for key in &keys {
        runtime.submit(add(key, 10)).await.unwrap();
    }
    runtime.shutdown().await.unwrap();
    (disk, keys)
}

/// Writes go on in one shard while both go back, and in both afterwards.
async fn run(disk: &SimDisk, keys: &[String; 2]) -> Told {
    let mut told = Told::default();
    let Ok(runtime) = Runtime::open_on(disk.clone(), Counters, options()).await else { return told };
    let version = runtime.versions()[0].id;
    let meanwhile = runtime.submit(add(&keys[0], 0));
    let (_, rolled_back) =
        tokio::join!(meanwhile, tokio::time::timeout(Duration::from_millis(500), runtime.rollback(version)));
    told.rolled_back = rolled_back.ok();
    if told.rolled_back == Some(Ok(())) {
        for (key, after) in keys.iter().zip(&mut told.after) {
            *after = runtime.submit(add(key, 100)).await.is_ok_and(|receipt| receipt.reply == 101);
        }
    }
    told
}

async fn check(disk: SimDisk, keys: &[String; 2], told: &Told, what: &str) {
    let options = Options { sync_deadline: Duration::from_secs(10), ..options() };
    let runtime = Runtime::open_on(disk, Counters, options).await.unwrap();
    assert!(runtime.recovery().refused().next().is_none(), "{what}: a shard is refused");
    let view = runtime.latest();
    let found = keys.each_ref().map(|key| view.get(key.as_bytes()).unwrap().map_or(0, |entity| entity.sum));
    let is_old = found == [11, 11];
    assert!(is_old || found.iter().all(|sum| [1, 101].contains(sum)), "{what}: a mix: {found:?}, {told:?}");
    if told.rolled_back == Some(Ok(())) {
        assert!(!is_old, "{what}: the rollback is gone, {told:?}");
    }
    if matches!(told.rolled_back, Some(Err(VersionError::NotCommitted | VersionError::Unreachable { .. }))) {
        assert!(is_old, "{what}: it has failed, and counts: {told:?}");
    }
    for (sum, after) in found.iter().zip(told.after) {
        assert!(!after || *sum == 101, "{what}: what was answered is gone: {found:?}, {told:?}");
    }
    assert_eq!(sums(&view).len(), 2, "{what}");
    // It goes on.
    let expected = found[0] + 1;
    assert_eq!(runtime.submit(add(&keys[0], 1)).await.unwrap().reply, expected, "{what}");
}

/// Guards F14, F64, F65: whatever fails, and wherever the power goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_every_call_leaves_one_line_or_the_other() {
    let (disk, keys) = prepared().await;
    let base = disk.crash(1);
    let dry = base.crash(1);
    dry.count_only_mutations(true);
    let told = run(&dry, &keys).await;
    assert_eq!((told.rolled_back, told.after), (Some(Ok(())), [true; 2]));
    // Spares are made in their own time.
    let calls = dry.calls();
    let kinds = [FaultKind::Crash, FaultKind::ErrorOnce, FaultKind::ErrorAfterEffect, FaultKind::ErrorForEver];
    let mut outcomes = [0; 3];
    for call in 1..=calls {
        for (at, kind) in kinds.into_iter().enumerate() {
            let disk = base.crash(call);
            disk.count_only_mutations(true);
            disk.fail(Fault { at: call, kind });
            let told = run(&disk, &keys).await;
            outcomes[match told.rolled_back {
                Some(Ok(())) => 0,
                Some(Err(_)) => 1,
                None => 2,
            }] += 1;
            check(disk.crash(call * 10 + at as u64), &keys, &told, &format!("call {call} {at}")).await;
        }
    }
    assert!(outcomes.iter().take(2).all(|count| *count > 0), "{outcomes:?}");
}
