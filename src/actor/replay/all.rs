//! All shards at once.

use std::thread;

use super::{Replay, Replayed, Until};
use crate::actor::slot::Entity;
use crate::config::Poison;
use crate::machine::StateMachine;
use crate::model::{Manifest, ShardId};
use crate::storage::disk::Disk;
use crate::storage::error::LogError;
use crate::storage::layout::Layout;
use crate::sync::Mutex;

/// Replays all shards, as many at a time as there are processors. In order.
pub(crate) fn all<M: StateMachine>(
    machine: &M,
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    poison: Poison,
    digest: bool,
    until: impl Fn(ShardId) -> Until + Sync,
) -> Vec<Result<Replayed<Entity<M>>, LogError>> {
    let shards = manifest.shards.len();
    let workers = thread::available_parallelism().map_or(1, usize::from).min(shards);
    let waiting = Mutex::new((0..shards as u32).map(ShardId));
    let done = Mutex::new(Vec::with_capacity(shards));
    let work = || {
        loop {
            let Some(shard) = waiting.lock().next() else { return };
            let until = until(shard);
            let replayed = Replay { machine, disk, layout, manifest, poison, shard, until, digest }.run();
            done.lock().push((shard, replayed));
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers {
            // One thread is enough if there are no more to be had.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut done = std::mem::take(&mut *done.lock());
    done.sort_by_key(|(shard, _)| *shard);
    done.into_iter().map(|(_, replayed)| replayed).collect()
}
