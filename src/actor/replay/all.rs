//! All shards at once.

use std::thread;

use super::{Replayed, Replaying, Until, processors};
use crate::actor::slot::Entity;
use crate::machine::StateMachine;
use crate::model::ShardId;
use crate::storage::error::LogError;
use crate::sync::Mutex;

impl<M: StateMachine> Replaying<'_, M> {
    /// Replays all shards, as many at a time as there are processors. In order.
    pub(crate) fn all(self, until: impl Fn(ShardId) -> Until + Sync) -> Vec<Result<Replayed<Entity<M>>, LogError>> {
        let shards = self.manifest.shards.len();
        let workers = processors().min(shards).max(1);
        let waiting = Mutex::new((0..shards as u32).map(ShardId));
        let done = Mutex::new(Vec::with_capacity(shards));
        let work = || {
            loop {
                let Some(shard) = waiting.lock().next() else { return };
                let replayed = self.one_of(workers, shard, until(shard));
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
}
