//! Entities that were read for a run of `apply` that lacked them, until the command is done.
//!
//! They go by the cold entry that they were read for, not by its key: an entry that is still the very same allocation
//! is what it was, so what was read for an entry that is gone is never found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::Entry;

/// See the module.
///
/// A cold entry is kept, so that no other can come to lie where it lies.
pub struct Thawed<E>(BTreeMap<usize, Thaw<E>>);

/// A cold entry, and the same with its entity.
pub type Thaw<E> = (Arc<Entry<E>>, Arc<Entry<E>>);

impl<E> Default for Thawed<E> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<E> Thawed<E> {
    /// What was read for this entry.
    pub fn insert(&mut self, cold: Arc<Entry<E>>, here: Arc<Entry<E>>) {
        debug_assert!(here.entity().is_some(), "it was read");
        self.0.insert(address(&cold), (cold, here));
    }

    /// The entry with its entity.
    pub fn get(&self, cold: &Arc<Entry<E>>) -> Option<&Arc<Entry<E>>> {
        let (read, here) = self.0.get(&address(cold))?;
        debug_assert!(Arc::ptr_eq(read, cold), "an address is that of one entry");
        Some(here)
    }

    /// Was nothing read?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Commands are done: takes what was read for them, with the cold entries, and leaves what was read for these.
    pub fn take_all_but(&mut self, needed: &[Arc<Entry<E>>]) -> impl Iterator<Item = Thaw<E>> + use<E> {
        let left = needed.iter().filter_map(|cold| self.0.remove_entry(&address(cold))).collect();
        std::mem::replace(&mut self.0, left).into_values()
    }

    /// The command is done.
    pub fn clear(&mut self) {
        if !self.0.is_empty() {
            self.0.clear();
        }
    }
}

fn address<E>(entry: &Arc<Entry<E>>) -> usize {
    Arc::as_ptr(entry).addr()
}
