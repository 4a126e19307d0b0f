//! Roots of the working state: for readers, when somebody asks, and for whoever cuts.

use super::ShardState;
use super::batch::NewBatch;
use crate::actor::slot::Entity;
use crate::machine::StateMachine;
use crate::model::{Position, Time};
use crate::state::{Root, StateDigest};
use crate::sync::Arc;

/// A published root that nobody has asked to replace is refreshed after so long, or when there is [no room] for what it
/// keeps alive. Every refresh makes the next update of each entry copy its path, so a second here costs a busy shard a
/// quarter of its writes.
///
/// [no room]: crate::protocol::headroom::Headroom::is_outdated
const REFRESH_MS: u64 = 30_000;

impl<M: StateMachine> ShardState<M> {
    pub(super) fn count(&self) {
        let counters = &self.slot.counters;
        counters.entries.set(self.map.len() as u64);
        counters.memory_bytes.set(self.map.bytes() as u64);
        counters.keys_bytes.set(self.map.keys_bytes() as u64);
        counters.cold_entries.set(self.map.cold() as u64);
        counters.cold_live.set(self.uses.values());
    }

    /// The ask is taken before the root is cloned, so the root serves everybody who asked before.
    pub(super) fn root_to_publish(&mut self, batch: &NewBatch<M>) -> Option<Arc<Root<Entity<M>>>> {
        let asked = self.slot.published.take_ask();
        self.changed |= !batch.lengths.is_empty();
        if !self.changed {
            // What is published, or on its way there, is all there is.
            return None;
        }
        let now_ms = self.clock.now_ms();
        let is_outdated = self.headroom.is_outdated(self.size());
        let refresh = is_outdated || now_ms >= self.refreshed_ms + REFRESH_MS;
        // Who reads after the end sees everything.
        if !asked && !refresh && !self.finishing {
            return None;
        }
        (self.refreshed_ms, self.changed) = (now_ms, false);
        self.headroom.refreshed();
        let end = Position { epoch: self.life.epoch, lsn: self.next };
        let time = if batch.lengths.is_empty() { self.time } else { batch.time };
        Some(Arc::new(self.root(end, time)))
    }

    /// The state as it is.
    pub(super) fn root(&self, end: Position, time: Time) -> Root<Entity<M>> {
        let root = Root::new(self.map.clone(), end, time, Arc::clone(&self.reaper));
        let root = root.of_timeline(self.life.timeline).with_cold(self.cold.clone());
        root.with_digest(self.digest.as_ref().map(StateDigest::hash))
    }
}
