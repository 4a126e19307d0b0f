//! When the log is synced under each policy, and what waits for it.

use std::time::Duration;

use mainstay::sim::Operation;
use mainstay::{Durability, Outcome, ShardId, SyncPolicy};

use crate::scene::{Scene, is_log, options, until};

const RARELY: SyncPolicy = SyncPolicy::Interval(Duration::from_secs(3600));
const SOON: SyncPolicy = SyncPolicy::Interval(Duration::from_millis(5));

/// Guards F7, F8: no further command has to come for the last one to be synced.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_log_is_synced_within_the_interval() {
    let mut scene = Scene::open(options(SOON, 2)).await;
    let keys = [scene.key(0), scene.key(1)];
    let mut receipts = Vec::new();
    for key in &keys {
        receipts.push(scene.write(key).await);
    }
    assert!(receipts.iter().all(|receipt| receipt.durability == Durability::Accepted));
    for receipt in &receipts {
        let shard = receipt.shard.0;
        until("the idle log is synced", || scene.stats(shard).durable > receipt.position).await;
        assert_eq!(scene.runtime.outcome(receipt.shard, receipt.position).await, Outcome::Durable);
        scene.book.promise(&scene.runtime, receipt.shard, receipt.position);
    }
    scene.check_after_crashes().await;
}

/// Guards F7: and it is synced while commands keep coming.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_log_is_synced_within_the_interval() {
    let scene = Scene::open(options(SOON, 1)).await;
    let load = Load::start(&scene, 4);
    for _ in 0..5 {
        let answered = until_answered(&scene).await;
        until("the busy log is synced", || scene.stats(0).durable.lsn >= answered).await;
    }
    load.stop().await;
}

/// Guards F8: `durable` has the log synced now, whatever the policy.
#[tokio::test(flavor = "multi_thread")]
async fn durable_waits_for_a_sync_that_it_has_asked_for() {
    for policy in [SyncPolicy::Never, RARELY] {
        let mut scene = Scene::open(options(policy, 1)).await;
        scene.write_many("a", 5).await;
        let receipt = scene.write("b").await;
        assert_ne!(receipt.durability, Durability::Durable);
        assert_eq!(scene.runtime.outcome(ShardId(0), receipt.position).await, Outcome::Accepted);
        scene.runtime.durable(ShardId(0), receipt.position).await.unwrap();
        scene.book.promise(&scene.runtime, ShardId(0), receipt.position);
        scene.write_many("a", 3).await;
        scene.check_after_crashes().await;
        scene.check_after_kill().await;
    }
}

/// Guards F7: and it is not starved by those who do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn durable_comes_to_its_end_under_load() {
    for policy in [SyncPolicy::Never, RARELY] {
        let scene = Scene::open(options(policy, 1)).await;
        let load = Load::start(&scene, 8);
        for _ in 0..10 {
            let receipt = scene.write("b").await;
            let durable = scene.runtime.durable(ShardId(0), receipt.position);
            tokio::time::timeout(Duration::from_secs(10), durable).await.unwrap().unwrap();
        }
        load.stop().await;
    }
}

/// A lone command under `Always` costs one sync of the log.
#[tokio::test(flavor = "multi_thread")]
async fn one_sync_a_command_and_never_none() {
    let scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    let active = scene.active(0);
    let syncs = || {
        let trace = scene.disk.trace();
        let of_log = trace.iter().filter(|call| is_log(&call.path) && call.path == active);
        of_log.filter(|call| call.operation == Operation::Sync).count()
    };
    for _ in 0..5 {
        let before = syncs();
        let receipt = scene.write("a").await;
        assert!(syncs() > before, "{receipt:?} without a sync");
    }
}

async fn until_answered(scene: &Scene) -> mainstay::Lsn {
    let before = scene.stats(0).answered;
    until("something is answered", || scene.stats(0).answered > before).await;
    scene.stats(0).answered.lsn
}

/// Commands that keep coming.
struct Load {
    stop: tokio::sync::watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(scene: &Scene, tasks: usize) -> Self {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let task = |_| {
            let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
            let stopped = stopped.clone();
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    let entry = book.entry("load", 20);
                    runtime.submit(entry).await.unwrap();
                }
            })
        };
        Self { tasks: (0..tasks).map(task).collect(), stop }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}
