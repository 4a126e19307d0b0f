//! A rollback whose reading is given up: that ends soon, however little the state grows meanwhile.

use std::time::Duration;

use mainstay::{Lsn, Options, Runtime, VersionError, VersionId};

use crate::gate::{Gate, Gated, OpenOnDrop, until};
use crate::support::{Command, Counters, add, directory, small};

const KEYS: u64 = 500;
/// What is read once the state has all its keys does not make it larger.
const COMMANDS: u64 = 4_000;
/// The reading is given up here, and would be waiting there if it went on.
const HERE: Lsn = Lsn(KEYS + 500);
const THERE: Lsn = Lsn(COMMANDS - 500);

/// A version behind a log that writes over the same keys again and again.
async fn written(options: &Options, gate: &Gate) -> (Runtime<Gated<Counters>>, VersionId) {
    gate.open();
    let runtime = Runtime::open(Gated(Counters, gate.clone()), options.clone()).await.unwrap();
    let commands: Vec<Command> = (0..COMMANDS).map(|number| add(&format!("key {}", number % KEYS), 1)).collect();
    for commands in commands.chunks(100) {
        assert!(runtime.submit_many(commands.to_vec()).await.iter().all(Result::is_ok));
    }
    let version = runtime.mark().await.unwrap().id;
    (runtime, version)
}

/// Guards F62: whoever has been told that it was cancelled, or took too long, does not wait for a thread that goes
/// on reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_does_not_grow_is_not_read_to_its_end() {
    for cancelled in [true, false] {
        let (dir, gate) = (directory(), Gate::default());
        let mut options = Options { shards: Some(1), ..small(dir.path()) };
        if !cancelled {
            options.versions.write_deadline = Duration::from_millis(300);
        }
        let (runtime, version) = written(&options, &gate).await;
        let _open = OpenOnDrop(gate.clone());
        gate.open_below(HERE);
        let going_back = tokio::spawn({
            let runtime = runtime.clone();
            async move { runtime.rollback(version).await }
        });
        until("the version is read", || gate.somebody_waits()).await;
        if cancelled {
            runtime.cancel_snapshots();
        }
        let expected = if cancelled { VersionError::Cancelled } else { VersionError::Deadline };
        assert_eq!(going_back.await.unwrap(), Err(expected));
        assert!(runtime.stats().shards[0].rollback_bytes > 0, "it is still read");
        gate.open_below(THERE);
        until("nothing is read any more", || {
            assert!(!gate.somebody_waits(), "it is read on");
            runtime.stats().shards[0].rollback_bytes == 0
        })
        .await;
        gate.open();
        runtime.rollback(version).await.unwrap();
    }
}

/// Guards F62: a runtime that is gone leaves nothing that keeps its directory locked.
#[tokio::test(flavor = "multi_thread")]
async fn what_reads_for_a_runtime_that_is_gone_ends() {
    let (dir, gate) = (directory(), Gate::default());
    let options = Options { shards: Some(1), lock_wait: Duration::from_secs(20), ..small(dir.path()) };
    let (runtime, version) = written(&options, &gate).await;
    let _open = OpenOnDrop(gate.clone());
    gate.open_below(HERE);
    let going_back = tokio::spawn(async move { runtime.rollback(version).await });
    until("the version is read", || gate.somebody_waits()).await;
    going_back.abort();
    assert!(going_back.await.unwrap_err().is_cancelled());
    gate.open_below(THERE);
    let runtime = Runtime::open(Counters, options).await.unwrap();
    assert!(!gate.somebody_waits(), "it is read on");
    assert_eq!(runtime.recovery().shards[0].next, Lsn(COMMANDS + 1));
}
