//! The child of the parent module: one run, of which it says what it was told.

use std::path::Path;

use mainstay::{Position, Runtime, ShardId, VersionError};

use super::{AROUND, BEFORE, BEHIND, KEYS_A_SHARD, RATE, SHARDS, options};
use crate::disk::until;
use crate::kills::{say, told};
use crate::reclaim::files;
use crate::support::{Counters, add};

/// Keys of every shard.
fn keys(runtime: &Runtime<Counters>) -> Vec<String> {
    let of_shard = |shard| {
        let mut names = (0..).map(|n| format!("k{n}"));
        let found = std::iter::from_fn(move || names.find(|key| runtime.shard_of(key.as_bytes()) == ShardId(shard)));
        found.take(KEYS_A_SHARD)
    };
    (0..SHARDS).flat_map(of_shard).collect()
}

/// So many increments of each key, one at a time. Each is said when it is acknowledged.
async fn increment(runtime: &Runtime<Counters>, keys: &[String], count: usize) {
    let tasks = keys.iter().map(|key| {
        let (runtime, key) = (runtime.clone(), key.clone());
        tokio::spawn(async move {
            for _ in 0..count {
                match runtime.submit(add(&key, 1)).await {
                    Ok(told) => {
                        let Position { epoch, lsn } = told.position;
                        say(&format!("sum {key} {} {} {} {}", told.reply, told.shard.0, epoch.0, lsn.0));
                    }
                    Err(error) => return say(&format!("failed {error}")),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

async fn rewrite(runtime: Runtime<Counters>) {
    loop {
        match runtime.rewrite().await {
            Ok(version) => return say(&format!("version {}", version.id.0)),
            // On a busy machine a shard may not get a turn in time: there was no cut.
            Err(VersionError::Lapsed(_) | VersionError::Deadline) => {}
            Err(error) => return say(&format!("failed {error}")),
        }
    }
}

/// Shards that have a snapshot, or the beginning of one.
pub fn snapshots(dir: &Path) -> usize {
    let has = |shard: &u32| files(dir, *shard).iter().any(|name| name.contains("snap"));
    (0..SHARDS).filter(has).count()
}

/// One run, then it waits to be killed. Nothing, if this process is no child.
#[test]
fn child() {
    let (Some((dir, policy)), Ok(rate)) = (told(), std::env::var(RATE)) else { return };
    let work = async {
        let options = options(&dir, policy, rate.parse().unwrap());
        let runtime = Runtime::open(Counters, options).await.unwrap();
        let keys = keys(&runtime);
        increment(&runtime, &keys, BEFORE).await;
        say("before");
        // Whoever wants the end here need not hurry.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        let rewriting = tokio::spawn(rewrite(runtime.clone()));
        increment(&runtime, &keys, AROUND).await;
        // They are begun when all shards have been released.
        until("every shard writes a snapshot", || snapshots(&dir) == SHARDS as usize).await;
        increment(&runtime, &keys, BEHIND).await;
        say(if rewriting.is_finished() { "all ended" } else { "all running" });
        std::future::pending::<()>().await;
    };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}
