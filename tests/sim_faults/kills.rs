//! An actor is killed at every single call that its runtime makes, from within that call.

use std::time::Duration;

use mainstay::SyncPolicy;
use tokio::time::timeout;

use crate::scene::{Scene, options};

/// Calls tried: about what the workload makes, which depends on how its tasks meet.
const CALLS: u64 = 24;
const TASKS: usize = 3;
const COMMANDS: usize = 8;

/// Three tasks write; at call `at`, counted from here, the actor is killed. Returns whether there was such a call.
async fn kill_at(policy: SyncPolicy, role: &str, at: u64) -> bool {
    let mut tiny = options(policy, 1);
    tiny.segment_bytes = 4096;
    tiny.command_bytes_max = mainstay::Options::command_bytes_for(4096);
    let mut scene = Scene::open(tiny).await;
    scene.write("a").await;
    let (victim, from) = (scene.actor(role).unwrap(), scene.disk.calls());
    scene.disk.fail_when(move |call| {
        if call.number == from + at {
            victim.kill();
        }
        None
    });
    let before = scene.book.len();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
            tokio::spawn(async move {
                for _ in 0..COMMANDS {
                    let entry = book.entry(["a", "b", "c"][task], 300);
                    let submitted = book.submit(&runtime, entry);
                    timeout(Duration::from_secs(15), submitted).await.expect("nobody answers");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(scene.book.len(), before + TASKS * COMMANDS, "one answer each");
    let has_call = scene.disk.calls() >= from + at;
    scene.disk.disarm();
    if role != "manifest_keeper" {
        scene.write_at_last("after").await;
    }
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
    has_call
}

/// Guards F2, F34, F60: every caller gets one answer, and what was acknowledged is there, whichever call it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_dies_at_any_call_costs_nobody_an_answer() {
    for policy in [SyncPolicy::Always, SyncPolicy::Never] {
        for role in ["0/shard", "0/wal_writer", "manifest_keeper"] {
            let mut points = 0;
            for at in 1..=CALLS {
                points += u64::from(kill_at(policy, role, at).await);
            }
            println!("{role}, {policy:?}: killed at {points} calls");
            assert!(points >= 10, "{role}, {policy:?}: {points}");
        }
    }
}
