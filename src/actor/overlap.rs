//! The memory that a running snapshot keeps alive: entries of its root that the working state has no more.
//!
//! Counted by the shard, which is where they are overwritten and removed, each of them once: only an entry that is
//! still the root's own counts. A snapshot that keeps too much is given up; commands never are.

use arc_swap::ArcSwap;

use super::slot::Entity;
use super::snapshotter::worker::Cancel;
use crate::machine::StateMachine;
use crate::state::{KeyHasher, Root, Txn};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::counters::Counter;

/// One running snapshot.
pub(crate) struct Overlap<M: StateMachine> {
    root: Arc<Root<Entity<M>>>,
    kept: Counter,
    /// 0: as much as it takes.
    limit: u64,
    cancel: Arc<Cancel>,
}

/// Those of a shard, and how many there are: none, nearly always, and every command asks.
pub(crate) struct Overlaps<M: StateMachine> {
    running: ArcSwap<Vec<Arc<Overlap<M>>>>,
    count: AtomicU32,
}

impl<M: StateMachine> Default for Overlaps<M> {
    fn default() -> Self {
        Self { running: ArcSwap::from_pointee(Vec::new()), count: AtomicU32::new(0) }
    }
}

/// Ends with its snapshot.
pub(crate) struct Registered<'a, M: StateMachine> {
    overlaps: &'a Overlaps<M>,
    overlap: Arc<Overlap<M>>,
}

impl<M: StateMachine> Overlaps<M> {
    /// Counts for a snapshot of this root from now on.
    pub(crate) fn register(&self, root: &Arc<Root<Entity<M>>>, limit: u64, cancel: &Arc<Cancel>) -> Registered<'_, M> {
        let (root, cancel) = (Arc::clone(root), Arc::clone(cancel));
        let overlap = Arc::new(Overlap { root, kept: Counter::default(), limit, cancel });
        self.running.rcu(|all| all.iter().chain([&overlap]).cloned().collect::<Vec<_>>());
        self.count.fetch_add(1, Ordering::Release);
        Registered { overlaps: self, overlap }
    }

    /// Notes what a transaction is about to take out of the working state.
    pub(crate) fn note(&self, txn: &Txn<'_, Entity<M>>, hasher: &KeyHasher) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.running.load().iter().for_each(|overlap| overlap.note(txn, hasher));
        }
    }

    /// What all of them keep alive, in bytes as accounted.
    pub(crate) fn bytes(&self) -> u64 {
        self.running.load().iter().map(|overlap| overlap.kept.get()).sum()
    }
}

impl<M: StateMachine> Drop for Registered<'_, M> {
    fn drop(&mut self) {
        let others = |all: &Arc<Vec<Arc<Overlap<M>>>>| -> Vec<_> {
            all.iter().filter(|other| !Arc::ptr_eq(other, &self.overlap)).cloned().collect()
        };
        self.overlaps.count.fetch_sub(1, Ordering::Release);
        self.overlaps.running.rcu(others);
    }
}

impl<M: StateMachine> Overlap<M> {
    fn note(&self, txn: &Txn<'_, Entity<M>>, hasher: &KeyHasher) {
        let map = self.root.map();
        let mut kept = self.kept.get();
        for change in txn.changes() {
            let own = map.entry(hasher.hash(change.key), change.key);
            if let (Some(old), Some(own)) = (change.old, own)
                && std::ptr::eq(old, own.value())
            {
                kept += own.bytes() as u64;
            }
        }
        if txn.clears() {
            kept = map.bytes() as u64;
        }
        self.kept.set(kept);
        if self.limit > 0 && kept > self.limit {
            self.cancel.cancel_for_memory();
        }
    }
}
