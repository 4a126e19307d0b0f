//! Actors that are killed at any moment: everybody gets one answer, and nothing that was answered is lost.

use std::time::Duration;

use mainstay::sim::Operation;
use mainstay::{NotExecuted, Outcome, ShardId, SubmitError, SyncPolicy};
use tokio::time::timeout;

use crate::random::Random;
use crate::scene::{Scene, options, until};

const TASKS: usize = 6;
const COMMANDS: usize = 150;

/// Tasks write while somebody kills. Returns when every command has been answered.
async fn write_while(scene: &Scene, mut kill: impl FnMut() -> bool) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
            tokio::spawn(async move {
                for _ in 0..COMMANDS {
                    let entry = book.entry(&format!("task {task}"), 20);
                    let submitted = book.submit(&runtime, entry);
                    timeout(Duration::from_secs(15), submitted).await.expect("nobody answers");
                }
            })
        })
        .collect();
    until("all have been answered", || tasks.iter().all(|task| task.is_finished()) || !kill()).await;
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(scene.book.len(), TASKS * COMMANDS, "one answer each");
}

/// Guards F2, F3, F14, F60: a shard or its writer dies again and again; waiting commands survive.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_dies_again_and_again_loses_nothing() {
    for (seed, policy) in [(1, SyncPolicy::Always), (2, SyncPolicy::Never), (3, SyncPolicy::Always)] {
        println!("seed {seed}");
        let mut scene = Scene::open(options(policy, 1)).await;
        let mut random = Random(seed);
        let mut kills = 0;
        write_while(&scene, || {
            if kills < 40 && random.below(2) == 0 {
                let role = ["0/shard", "0/wal_writer"][random.below(2) as usize];
                if let Some(actor) = scene.actor(role) {
                    actor.kill();
                    kills += 1;
                }
            }
            true
        })
        .await;
        println!("{kills} kills, {} restarts", scene.stats(0).restarts);
        assert!(scene.stats(0).restarts > 0);
        // What waited was executed by the next life; what was taken up too late for any writer certainly not.
        let fenced = SubmitError::NotExecuted(NotExecuted::Fenced);
        for record in scene.book.records() {
            if let Err(error) = record.answer {
                let open = matches!(error, SubmitError::Unconfirmed { .. });
                assert!(open || error == fenced, "{error}");
            }
        }
        scene.write_at_last("after").await;
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F37: what waits in the lane while there is no life is executed by the next one, in order.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_between_two_lives_is_executed() {
    let mut slow = options(SyncPolicy::Always, 1);
    slow.restarts.pause = Duration::from_millis(150);
    slow.restarts.pause_max = Duration::from_millis(150);
    let scene = Scene::open(slow).await;
    scene.write("a").await;
    for role in ["0/shard", "0/wal_writer"] {
        scene.actor(role).unwrap().kill();
        until("both have died", || ["0/shard", "0/wal_writer"].iter().all(|role| scene.actor(role).is_none())).await;
        let entries: Vec<_> = (0..5).map(|_| scene.book.entry("a", 20)).collect();
        let ids: Vec<_> = entries.iter().map(|entry| entry.id).collect();
        let receipts = scene.runtime.submit_many(entries).await;
        let lsns: Vec<_> = receipts.into_iter().map(|receipt| receipt.unwrap().position.lsn).collect();
        assert!(lsns.is_sorted(), "{lsns:?}");
        let view = scene.runtime.view().await;
        let history = &view.get(b"a").unwrap().unwrap().history;
        let last: Vec<_> = history[history.len() - 5..].iter().map(|(.., id)| *id).collect();
        assert_eq!(last, ids);
    }
}

/// Guards F34: a shard that has died once too often takes no writes and shows everything that it has answered, also
/// what nobody had asked it to publish.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_shard_shows_all_that_it_has_answered() {
    for policy in [SyncPolicy::Always, SyncPolicy::Never] {
        for role in ["0/shard", "0/wal_writer"] {
            let mut few = options(policy, 2);
            few.restarts.restarts = 1;
            few.view_deadline = Duration::from_secs(10);
            let mut scene = Scene::open(few).await;
            let (fenced, other) = (scene.key(0), scene.key(1));
            scene.write(&fenced).await;
            scene.kill_and_wait(role).await;
            scene.write_at_last(&fenced).await;
            scene.write_many(&fenced, 5).await;
            let last = scene.write(&fenced).await;
            scene.actor(role).unwrap().kill();
            until("it is fenced", || scene.stats(0).refusal == Some(NotExecuted::Fenced)).await;

            scene.write_many(&fenced, 1).await;
            let refused = scene.book.records().pop().unwrap().answer;
            assert_eq!(refused.unwrap_err(), SubmitError::NotExecuted(NotExecuted::Fenced));
            let view = scene.runtime.view().await;
            let account = view.get(fenced.as_bytes()).unwrap().unwrap();
            assert_eq!(account.fold, last.reply, "{role}, {policy:?}");
            assert_eq!(scene.runtime.outcome(ShardId(0), last.position).await, Outcome::Durable);
            scene.runtime.durable(ShardId(0), last.position).await.unwrap();
            // The other shard does not notice.
            scene.write(&other).await;
            scene.check_after_kill().await;
        }
    }
}

/// Guards F2, F60: what stands above the pair dies: everybody is answered, and what was answered is there.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_else_dies_everybody_is_answered() {
    for role in ["0/supervisor", "manifest_keeper"] {
        for moment in [0, 3, 20, 60] {
            let mut scene = Scene::open(options(SyncPolicy::Always, 2)).await;
            let mut wakes = 0;
            write_while(&scene, || {
                if wakes == moment {
                    scene.actor(role).unwrap().kill();
                }
                wakes += 1;
                true
            })
            .await;
            if role == "0/supervisor" {
                // The other shard does not notice.
                let key = scene.key(1);
                scene.write(&key).await;
            }
            scene.check_after_crashes().await;
            scene.check_after_kill().await;
        }
    }
}

/// Guards F4: deaths in the middle of a move and of a restart.
#[tokio::test(flavor = "multi_thread")]
async fn deaths_while_the_log_moves() {
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
        scene.write("a").await;
        let (mut random, mut faults) = (Random(seed), Random(seed + 100));
        scene.disk.fail_when(move |call| {
            let syncs = call.operation == Operation::Sync && crate::scene::is_log(&call.path);
            (syncs && faults.below(30) == 0).then_some(mainstay::sim::FaultKind::ErrorOnce)
        });
        let mut kills = 0;
        let one = scene.book.len();
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
                tokio::spawn(async move {
                    for _ in 0..40 {
                        let entry = book.entry("a", 20);
                        let submitted = book.submit(&runtime, entry);
                        timeout(Duration::from_secs(15), submitted).await.expect("nobody answers");
                    }
                })
            })
            .collect();
        until("all have been answered", || {
            if kills < 10 && random.below(3) == 0 {
                let role = ["0/shard", "0/wal_writer"][random.below(2) as usize];
                if let Some(actor) = scene.actor(role) {
                    actor.kill();
                    kills += 1;
                }
            }
            tasks.iter().all(|task| task.is_finished())
        })
        .await;
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(scene.book.len(), one + 160, "one answer each");
        let stats = scene.stats(0);
        println!("{kills} kills, {} restarts, {} moves", stats.restarts, stats.moves);
        scene.disk.disarm();
        scene.write_at_last("after").await;
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}
