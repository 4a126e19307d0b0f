//! A snapshot whose thread hangs in the disk, and one that fails: neither keeps what nobody needs.

use mainstay::sim::{FaultKind, Operation, SimDisk, Stall};
use mainstay::{NoSnapshot, Runtime, SnapshotFailed};
use tokio::task::JoinHandle;

use super::disk::{numbers, open, snapshot, until};
use super::reclaim::write;
use crate::support::Counters;

/// Has the next write of a snapshot hang.
fn hang(disk: &SimDisk) -> Stall {
    let mut is_next = true;
    disk.stall(move |call| {
        let hangs = is_next && call.operation == Operation::Write && is_snapshot(&call.path);
        is_next &= !hangs;
        hangs
    })
}

fn is_snapshot(path: &std::path::Path) -> bool {
    path.to_string_lossy().contains("/snapshot-")
}

fn taking(runtime: &Runtime<Counters>) -> JoinHandle<Result<(), SnapshotFailed>> {
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.snapshot().await })
}

/// Guards F62: one that was given up keeps no files, however long its thread hangs, and what comes late is removed.
#[tokio::test]
async fn one_that_was_cancelled_keeps_nothing_though_it_hangs() {
    let sim = SimDisk::new(21);
    let runtime = open(&sim, 1).await;
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 300).await;
    let stall = hang(&sim);
    let hanging = taking(&runtime);
    until("it hangs", || stall.waiting() > 0).await;
    runtime.cancel_snapshots();
    assert_eq!(hanging.await.unwrap().unwrap_err().why, NoSnapshot::Cancelled);
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    until("the first one is dropped", || numbers(&sim, 0) == [3]).await;
    assert_eq!(stall.waiting(), 1);
    stall.release();
    until("what came late is removed", || !sim.files().contains_key(&snapshot(0, 2))).await;
    assert_eq!(numbers(&sim, 0), [3]);
}

/// Guards F66 against its mending: what must stay while a snapshot is written goes when that fails.
#[tokio::test]
async fn what_was_kept_for_one_that_fails_is_dropped() {
    let sim = SimDisk::new(22);
    let runtime = open(&sim, 1).await;
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    let version = runtime.mark().await.unwrap();
    write(&runtime, 300).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 300).await;
    let stall = hang(&sim);
    let failing = taking(&runtime);
    until("it hangs", || stall.waiting() > 0).await;
    runtime.retire(version.id).await.unwrap();
    assert_eq!(numbers(&sim, 0), [1, 2], "it is pinned");
    sim.fail_when(|call| {
        (call.operation == Operation::Sync && is_snapshot(&call.path)).then_some(FaultKind::ErrorOnce)
    });
    stall.release();
    assert_eq!(failing.await.unwrap().unwrap_err().why, NoSnapshot::Failed);
    until("the first one is dropped", || numbers(&sim, 0) == [2]).await;
}
