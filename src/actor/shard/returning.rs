//! Values come back to memory: those that readers ask for again and again, and those that commands do.

use super::ShardState;
use crate::actor::slot::Entity;
use crate::machine::StateMachine;
use crate::state::Thaw;
use crate::state::map::Entry;
use crate::sync::Arc;

impl<M: StateMachine> ShardState<M> {
    /// What readers have asked for.
    pub(super) fn take_returns(&mut self) {
        let pairs = self.returns.take();
        self.take_back(&pairs);
    }

    /// What was read for commands is not needed any more, but for these. Some of it was read before.
    pub(super) fn return_thawed(&mut self, needed: &[Arc<Entry<Entity<M>>>]) {
        if self.scratch.thawed.is_empty() {
            return;
        }
        let now = self.map.now();
        let done = self.scratch.thawed.take_all_but(needed);
        let again: Vec<_> = done.filter(|(cold, _)| cold.used(now)).collect();
        self.take_back(&again);
    }

    /// Puts entities in the place of where they lay, where the map still says that and there is room.
    fn take_back(&mut self, pairs: &[Thaw<Entity<M>>]) {
        let mut has_any = false;
        for (cold, here) in pairs {
            let growth = here.bytes().saturating_sub(cold.bytes()) as u64;
            let Some(at) = cold.location() else { continue };
            // Read often, and here since the first time, or written: no reason to make room.
            let is_there = self.map.entry(cold.hash(), cold.key()).is_some_and(|entry| Arc::ptr_eq(entry, cold));
            if is_there
                && self.headroom.returns(self.clock.now_ms(), self.size(), growth)
                && self.map.replace(cold, Arc::clone(here))
            {
                self.uses.remove(at);
                self.touched.insert(at.file);
                self.slot.counters.returns.add(1);
                has_any = true;
            }
        }
        if has_any {
            // The published root has none of it.
            self.changed = true;
            self.slot.published.ask();
            self.count();
        }
        self.tell_pressure();
    }
}
