//! A version's state that is read to be gone back to, beside the one that serves: the memory that it takes, and the
//! cold files that it makes.
//!
//! Both states together keep within the shard's share. An eighth is free where values are spilled; what the version's
//! state takes beyond that, the present one makes room for by spilling more. Where keys alone are too much for that it
//! is refused.
//!
//! A file is nobody's until a commit names it. [Sweeping](Beside::sweep) removes those that none has named, and is for
//! whoever is certain that none will.

use std::thread;
use std::time::{Duration, Instant};

use crate::actor::replay::{Allowance, SpillTo};
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::Slot;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, ShardId};
use crate::protocol::headroom::{self, Fate, SPARE_PART};
use crate::storage::error::LogError;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};

/// Who waits for the present state to spill looks so often.
const LOOK: Duration = Duration::from_millis(10);

/// See the module. One reading's.
pub(super) struct Beside<M: StateMachine> {
    commons: Arc<Commons<M>>,
    /// Each with what the reading takes there.
    shards: Vec<(Arc<Slot<M>>, AtomicU64)>,
    /// Numbers that were given to files.
    given: Mutex<Vec<(ShardId, ColdSeq)>>,
    is_given_up: AtomicBool,
}

impl<M: StateMachine> Beside<M> {
    pub(super) fn new(commons: &Arc<Commons<M>>, slots: &[Arc<Slot<M>>]) -> Arc<Self> {
        let shards = slots.iter().map(|slot| (Arc::clone(slot), AtomicU64::new(0))).collect();
        let (given, is_given_up) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        Arc::new(Self { commons: Arc::clone(commons), shards, given, is_given_up })
    }

    /// A number that no other file has or ever had.
    pub(super) fn number(&self, shard: ShardId) -> ColdSeq {
        let Some((slot, _)) = self.shards.get(shard.0 as usize) else { return ColdSeq(1) };
        let number = slot.next_cold(&self.commons.keeper.manifest());
        self.given.lock().push((shard, number));
        number
    }

    /// Whether values are spilled, and how.
    pub(super) fn spill<'a>(&self, number: &'a (dyn Fn(ShardId) -> ColdSeq + Sync)) -> Option<SpillTo<'a>> {
        let Commons { memory, options, .. } = &*self.commons;
        memory.spill_beside_from(options).map(|from| SpillTo { from, batch: memory.spill_batch(), number })
    }

    /// Nobody wants it any more: it ends soon.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
    }

    /// What was read is the shard's own state from now on, or nobody's.
    pub(super) fn give_back(&self, shard: ShardId) {
        self.set(shard, 0);
    }

    /// Removes the files that the manifest does not name. Blocks.
    pub(super) fn sweep(&self) {
        let manifest = self.commons.keeper.manifest();
        for (shard, file) in std::mem::take(&mut *self.given.lock()) {
            if manifest.shard(shard).is_some_and(|record| record.cold.contains_key(&file)) {
                continue;
            }
            let path = self.commons.layout.cold(shard, file);
            // Not every number came to a file. One that stays is swept by a later open.
            let _ = self.commons.disk.remove(&path);
        }
    }

    fn set(&self, shard: ShardId, bytes: u64) {
        let Some((slot, taken)) = self.shards.get(shard.0 as usize) else { return };
        let before = taken.swap(bytes, Ordering::AcqRel);
        if bytes >= before {
            slot.beside.fetch_add(bytes - before, Ordering::AcqRel);
        } else {
            slot.beside.fetch_sub(before - bytes, Ordering::AcqRel);
        }
        // It may have something to spill, or nothing any more.
        let _ = slot.lane.ring();
    }
}

impl<M: StateMachine> Allowance for Beside<M> {
    fn ask(&self, shard: ShardId, bytes: u64) -> Result<(), LogError> {
        let Commons { memory, options, .. } = &*self.commons;
        let refused = |allowed| Err(LogError::OutOfMemory { bytes, allowed });
        self.set(shard, bytes);
        // Without spilling it takes what it took when it was the state.
        let share = memory.state_bytes.filter(|_| options.spill).unwrap_or(u64::MAX);
        let (spare, mut least, mut since) = (share / SPARE_PART, u64::MAX, Instant::now());
        loop {
            let Some((slot, _)) = self.shards.get(shard.0 as usize) else { return Ok(()) };
            if self.is_given_up() {
                return refused(0);
            }
            let (present, keys) = (slot.counters.memory_bytes.get(), slot.counters.keys_bytes.get());
            match headroom::beside(share, bytes, present, keys) {
                Fate::Lands => return Ok(()),
                Fate::Refused => return refused(share.saturating_sub(keys).max(spare)),
                Fate::Waits => {}
            }
            if present < least {
                (least, since) = (present, Instant::now());
            } else if since.elapsed() >= options.versions.sync_deadline {
                return refused(share.saturating_sub(present).max(spare));
            }
            thread::sleep(LOOK);
        }
    }

    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }
}

impl<M: StateMachine> Drop for Beside<M> {
    fn drop(&mut self) {
        (0..self.shards.len() as u32).map(ShardId).for_each(|shard| self.give_back(shard));
    }
}
