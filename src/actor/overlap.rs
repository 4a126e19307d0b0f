//! Running snapshots of a shard, and the bound on what each of them keeps alive.
//!
//! The shard [notes](crate::state::Overlap) what its state loses. A snapshot that keeps too much is given up; commands
//! never are.

use std::time::Instant;

use arc_swap::ArcSwap;

use super::slot::{Entity, Slot};
use super::snapshotter::Cancel;
use crate::machine::StateMachine;
use crate::state::map::Entry;
use crate::state::{Overlap, Root, Streamed, Txn};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU32, Ordering};

/// One of them.
struct Running<M: StateMachine> {
    overlap: Overlap<Entity<M>>,
    /// None: as much as it takes.
    limit: Option<u64>,
    cancel: Arc<Cancel>,
    since: Instant,
}

/// Those of a shard, and how many there are: none, nearly always, and every command asks.
pub(crate) struct Overlaps<M: StateMachine> {
    running: ArcSwap<Vec<Arc<Running<M>>>>,
    count: AtomicU32,
}

impl<M: StateMachine> Default for Overlaps<M> {
    fn default() -> Self {
        Self { running: ArcSwap::from_pointee(Vec::new()), count: AtomicU32::new(0) }
    }
}

impl<M: StateMachine> Overlaps<M> {
    /// Notes what a transaction is about to take out of the working state.
    pub(crate) fn note(&self, txn: &Txn<'_, Entity<M>>) {
        if self.count.load(Ordering::Acquire) > 0 {
            for running in self.running.load().iter() {
                running.overlap.note(txn);
                if running.limit.is_some_and(|limit| running.overlap.kept() > limit) {
                    running.cancel.cancel_for_memory();
                }
            }
        }
    }

    /// Notes what the working state has given up for its place in a cold file.
    pub(crate) fn note_replaced(&self, was: &Arc<Entry<Entity<M>>>, by: &Arc<Entry<Entity<M>>>) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.running.load().iter().for_each(|running| running.overlap.note_replaced(was, by));
        }
    }

    /// What all of them keep alive, in bytes as accounted.
    pub(crate) fn bytes(&self) -> u64 {
        self.running.load().iter().map(|running| running.overlap.kept()).sum()
    }

    /// Since when there is one.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.running.load().iter().map(|running| running.since).min()
    }
}

/// A root that a snapshot is to be made of. Nothing of it was streamed yet.
pub(crate) struct KeptRoot<M: StateMachine> {
    /// Dropped first: what is left of a root that nobody streams is the reaper's work.
    left: LeftOfRoot<M>,
    root: Arc<Root<Entity<M>>>,
}

/// What a snapshot has still to stream: it counts, and is alive, for as long as this is.
pub(crate) struct LeftOfRoot<M: StateMachine> {
    slot: Arc<Slot<M>>,
    running: Arc<Running<M>>,
}

impl<M: StateMachine> KeptRoot<M> {
    /// Counts for a snapshot of this root from now on, and cancels it past the limit.
    pub(crate) fn new(slot: Arc<Slot<M>>, root: Arc<Root<Entity<M>>>, limit: Option<u64>, cancel: Arc<Cancel>) -> Self {
        let overlap = Overlap::new(root.map());
        let running = Arc::new(Running { overlap, limit, cancel, since: Instant::now() });
        slot.overlaps.running.rcu(|all| all.iter().chain([&running]).cloned().collect::<Vec<_>>());
        slot.overlaps.count.fetch_add(1, Ordering::Release);
        Self { left: LeftOfRoot { slot, running }, root }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot<M>> {
        &self.left.slot
    }

    pub(crate) fn root(&self) -> &Root<Entity<M>> {
        &self.root
    }

    pub(crate) fn cancel(&self) -> &Arc<Cancel> {
        &self.left.running.cancel
    }

    /// Lets go of the root as a whole, for its parts to be streamed.
    pub(crate) fn into_parts(self) -> LeftOfRoot<M> {
        self.left
    }
}

impl<M: StateMachine> LeftOfRoot<M> {
    /// Part by part. What is dropped of it is freed here and now, as far as nobody else has it.
    pub(crate) fn stream(&self) -> impl Iterator<Item = Streamed<'_, Entity<M>>> {
        self.running.overlap.stream()
    }
}

impl<M: StateMachine> Drop for LeftOfRoot<M> {
    fn drop(&mut self) {
        let others = |all: &Arc<Vec<Arc<Running<M>>>>| -> Vec<_> {
            all.iter().filter(|other| !Arc::ptr_eq(other, &self.running)).cloned().collect()
        };
        self.slot.overlaps.count.fetch_sub(1, Ordering::Release);
        self.slot.overlaps.running.rcu(others);
        // Not by the shard, should that just be looking.
        self.stream().for_each(drop);
    }
}
