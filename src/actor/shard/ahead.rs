//! What the commands look for first that wait in the lane: it is read together with what one of them lacks, so that a
//! row of them does not wait for the disk one after the other.

use std::collections::BTreeSet;

use super::{BATCH_COMMANDS, ShardState};
use crate::actor::slot::Entity;
use crate::machine::StateMachine;
use crate::state::map::Entry;
use crate::sync::Arc;

/// So many bytes of pages it is at most: the values in them have no other bound.
const AHEAD_BYTES: u64 = 1 << 20;

/// See the module. Cold entries, each once.
pub(super) struct Ahead<M: StateMachine> {
    /// They were read for an earlier command.
    pub(super) here: Vec<Arc<Entry<Entity<M>>>>,
    /// They are not in memory, and commands of the same kind will look for them.
    pub(super) lacking: Vec<Arc<Entry<Entity<M>>>>,
}

impl<M: StateMachine> ShardState<M> {
    /// What waits behind a command of this kind.
    pub(super) fn ahead(&self, kind: Option<u8>) -> Ahead<M> {
        let (map, thawed) = (&self.map, &self.scratch.thawed);
        let mut ahead = Ahead { here: Vec::new(), lacking: Vec::new() };
        let (mut pages, mut bytes) = (BTreeSet::new(), 0);
        self.slot.lane.look_ahead(BATCH_COMMANDS, |waiting| {
            for cold in map.cold_at(waiting.hash) {
                let is_here = thawed.get(cold).is_some();
                let Some(at) = cold.location() else { continue };
                if !is_here && waiting.bytes.first().copied() != kind {
                    continue;
                }
                let with = bytes + if pages.contains(&(at.file, at.sector)) { 0 } else { at.bytes() };
                let list = if is_here { &mut ahead.here } else { &mut ahead.lacking };
                if with <= AHEAD_BYTES && !list.iter().any(|known| Arc::ptr_eq(known, cold)) {
                    bytes = with;
                    pages.insert((at.file, at.sector));
                    list.push(Arc::clone(cold));
                }
            }
        });
        ahead
    }
}
