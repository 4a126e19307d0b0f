//! A shard that does not come to hold: the others wait for it as long as they may, and not longer.

use std::time::{Duration, Instant};

use mainstay::{Options, Runtime, ShardId, VersionError};

use super::disk::until;
use super::gate::{Gate, Gated, OpenOnDrop};
use crate::support::{Counters, add, directory, small};

/// Guards F33, F61: one shard sits in `apply`; the other one holds for `hold_max`, goes on by itself, and the next cut
/// works.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shard_that_does_not_come_to_hold_is_not_waited_for() {
    let dir = directory();
    let mut options = Options { shards: Some(2), ..small(dir.path()) };
    options.versions.hold_max = Duration::from_millis(50);
    let gate = Gate::default();
    let runtime = Runtime::open(Gated(Counters, gate.clone()), options).await.unwrap();
    gate.open();
    let _open = OpenOnDrop(gate.clone());
    let key = |shard: u32| {
        let mut keys = (0..).map(|number| format!("key {number}"));
        keys.find(|key| runtime.shard_of(key.as_bytes()) == ShardId(shard)).unwrap()
    };
    let (busy, free) = (key(0), key(1));
    for key in [&busy, &free] {
        runtime.submit(add(key, 1)).await.unwrap();
    }
    for round in 1..=5 {
        gate.close();
        let (writer, command) = (runtime.clone(), add(&busy, 1));
        let writing = tokio::spawn(async move { writer.submit(command).await });
        until("the shard sits in apply", || gate.somebody_waits()).await;
        let started = Instant::now();
        let told = runtime.mark().await.unwrap_err();
        assert!(matches!(told, VersionError::Lapsed(_) | VersionError::Deadline), "{told:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
        // Nobody has told it to go on.
        let (writer, command) = (runtime.clone(), add(&free, 1));
        let beside = tokio::spawn(async move { writer.submit(command).await });
        until("the other one serves", || gate.somebody_waits()).await;
        let held = runtime.stats().shards[1].longest_hold;
        assert!(held < Duration::from_secs(5), "{held:?}");
        gate.open();
        writing.await.unwrap().unwrap();
        beside.await.unwrap().unwrap();
        let started = Instant::now();
        let version = loop {
            match runtime.mark().await {
                Ok(version) => break version,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(20), "{error}"),
            }
        };
        assert_eq!(version.ends.iter().map(|end| end.lsn.0 - 1).sum::<u64>(), 2 + 2 * round);
    }
}
