//! Edits that fail: each of them once, in every way that leaves room for doubt.

use mainstay::sim::{Call, FaultKind, Operation};
use mainstay::{ShardId, SyncPolicy};

use crate::scene::{Scene, fail_first, is_log, is_manifest, options, until};

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

/// Guards F47: a file that could not be opened is spent, and goes with the move that passes it over.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_could_not_be_opened_does_not_stay() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    scene.settle().await;
    // The next file: its first write after it was filled is its header.
    let (active, mut spent) = (scene.active(0), None);
    let found = std::sync::Arc::new(std::sync::Mutex::new(None));
    let told = std::sync::Arc::clone(&found);
    let mut filled = std::collections::BTreeSet::new();
    for call in scene.disk.trace().iter().filter(|call| call.operation == Operation::Sync) {
        filled.insert(call.path.clone());
    }
    scene.disk.fail_when(move |call| {
        let header = spent.is_none() && is_log(&call.path) && call.path != active && filled.contains(&call.path);
        if header && call.operation == Operation::Write {
            spent = Some(call.path.clone());
            *told.lock().unwrap() = spent.clone();
            return Some(FaultKind::ErrorOnce);
        }
        None
    });
    while found.lock().unwrap().is_none() {
        scene.write("a").await;
    }
    until("the log moves past it", || scene.stats(0).moves == 1).await;
    let spent = found.lock().unwrap().clone().unwrap();
    until("it is deleted", || !scene.disk.files().contains_key(&spent)).await;
    assert_eq!(scene.stats(0).restarts, 0);
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}
