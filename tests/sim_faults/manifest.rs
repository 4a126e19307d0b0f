//! Edits that fail: each of them once, in every way that leaves room for doubt.

use mainstay::sim::{Call, FaultKind, Operation};
use mainstay::{ShardId, SyncPolicy};

use crate::scene::{Scene, fail_first, is_manifest, options, until};

const KINDS: [FaultKind; 2] = [FaultKind::ErrorOnce, FaultKind::ErrorAfterEffect];

fn is_edit(call: &Call, operation: Operation) -> bool {
    is_manifest(&call.path) && call.operation == operation
}

/// Guards F5, F22, F26: the edits of a first life are the registration of a file, its begin and the registration of a
/// spare. Whichever fails is shut out by another generation, and the shard serves.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_fails_is_shut_out_and_made_again() {
    for kind in KINDS {
        for operation in [Operation::Write, Operation::Sync] {
            for edit in 1..=3 {
                let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
                let mut edits = 0;
                fail_first(&scene.disk, kind, move |call| {
                    edits += u64::from(is_edit(call, operation));
                    edits == edit
                });
                scene.write_many("a", 3).await;
                let second = |call: &Call| call.path.ends_with("manifest-0000000000000002.log");
                until("there is another generation", || scene.disk.trace().iter().any(second)).await;
                assert_eq!(scene.book.receipts(), 3, "edit {edit} {operation:?} {kind:?}");
                scene.write_many("a", 3).await;
                assert_eq!(scene.book.receipts(), 6);
                scene.check_after_crashes().await;
                scene.check_after_kill().await;
            }
        }
    }
}

/// Guards F5, F22: the move is not in the manifest, so the log is sealed where it was durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_fails_ends_in_a_seal() {
    for kind in KINDS {
        for operation in [Operation::Write, Operation::Sync] {
            let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
            scene.write_many("a", 3).await;
            scene.settle().await;
            let active = scene.active(0);
            fail_first(&scene.disk, FaultKind::ErrorOnce, move |call| {
                call.path == active && call.operation == Operation::Sync
            });
            let last = scene.disk.trace().iter().map(|call| call.number).max().unwrap();
            // The frames have been written again by then; the preparer may be asking at the same time.
            fail_first(&scene.disk, kind, move |call| call.number > last && is_edit(call, operation));
            scene.write_many("a", 3).await;
            until("somebody serves", || scene.stats(0).refusal.is_none()).await;
            scene.write("b").await;
            let stats = scene.stats(0);
            assert!(stats.restarts + stats.moves >= 1, "{stats:?}");
            let given: Vec<_> = scene.book.records().iter().filter_map(|r| r.given()).collect();
            assert!(given.iter().all(|(shard, _)| *shard == ShardId(0)));
            scene.check_after_crashes().await;
            scene.check_after_kill().await;
        }
    }
}

/// Guards F6, F28: the same, for the steps of another generation.
#[tokio::test(flavor = "multi_thread")]
async fn another_generation_that_fails_too_leaves_one_of_the_two() {
    let steps = [Operation::Create, Operation::Write, Operation::Sync, Operation::SyncDir, Operation::Rename];
    for kind in KINDS {
        for step in steps {
            let mut hasty = options(SyncPolicy::Always, 1);
            hasty.submit_deadline = std::time::Duration::from_millis(300);
            let mut scene = Scene::open(hasty).await;
            let mut failed = false;
            scene.disk.fail_when(move |call| {
                let root = call.path.parent().is_none_or(|dir| !dir.to_string_lossy().contains("shard"));
                if !failed && is_edit(call, Operation::Write) {
                    failed = true;
                    return Some(FaultKind::ErrorOnce);
                }
                let in_root = root && !call.path.to_string_lossy().contains("shard");
                (failed && in_root && call.operation == step).then_some(kind)
            });
            scene.write_many("a", 3).await;
            scene.check_after_crashes().await;
            scene.check_after_kill().await;
        }
    }
}
