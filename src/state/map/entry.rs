//! One key with its hash, its entity and what is known of its use.
//!
//! An entry is one allocation, which every root that holds it shares, and whoever reads it: a lookup costs one cache
//! miss for key, hash and entity, and a split never hashes again.
//!
//! - Hash, key and entity never change: another entity is another entry.
//! - The mark is a hint to the spill, shared by all roots that hold the entry. It orders nothing: relaxed.

use std::{fmt, ops::Deref, sync::Arc};

use smallvec::SmallVec;

use super::trie::ENTRY_BYTES;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A key's bytes; up to 24 of them lie in the entry itself.
pub type Key = SmallVec<[u8; 24]>;

/// One key of a [`Map`](super::Map) with its entity.
///
/// In this order, so that a lookup of a short key finds all that it needs at the beginning.
#[repr(C)]
pub struct Entry<E> {
    hash: u64,
    bytes: u32,
    mark: AtomicBool,
    key: Key,
    value: E,
}

/// An entity that was read: a cheap clone, and what it was, whatever becomes of its key. It keeps its own memory alive
/// and no other.
pub struct EntityRef<E>(Arc<Entry<E>>);

impl<E> Entry<E> {
    /// A new entry is marked: a write is an access.
    ///
    /// The same key must always come with the same hash. `heap_bytes` is the memory of the value, in bytes, the
    /// `size_of` `E` itself included: the map does not look into it.
    pub fn new(hash: u64, key: Key, value: E, heap_bytes: usize) -> Self {
        let accounted = ENTRY_BYTES.saturating_add(key.len()).saturating_add(heap_bytes);
        let bytes = u32::try_from(accounted).unwrap_or(u32::MAX);
        Self { hash, bytes, mark: AtomicBool::new(true), key, value }
    }

    /// The hash that the caller gave for the key.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Where the entry comes in the order of iteration.
    pub(super) fn place(&self) -> (u64, &[u8]) {
        (self.hash, &self.key)
    }

    /// The value.
    pub fn value(&self) -> &E {
        &self.value
    }

    /// What the entry counts for in [`Map::bytes`](super::Map::bytes), in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Clears the access mark and says whether it was set: written or read by
    /// [`Map::get`](super::Map::get) since the last call (second chance).
    pub fn take_mark(&self) -> bool {
        self.mark.load(Ordering::Relaxed) && self.mark.swap(false, Ordering::Relaxed)
    }

    /// Marks the entry as read. Loads first, so that readers of a hot entry share its cache line.
    pub(super) fn touch(&self) {
        if !self.mark.load(Ordering::Relaxed) {
            self.mark.store(true, Ordering::Relaxed);
        }
    }
}

impl<E> EntityRef<E> {
    pub(crate) fn of(entry: &Arc<Entry<E>>) -> Self {
        Self(Arc::clone(entry))
    }
}

/// An entity of nobody's, to be compared with one that was read.
impl<E> From<E> for EntityRef<E> {
    fn from(entity: E) -> Self {
        Self(Arc::new(Entry::new(0, Key::new(), entity, 0)))
    }
}

impl<E> Deref for EntityRef<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.0.value
    }
}

impl<E> Clone for EntityRef<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: PartialEq> PartialEq for EntityRef<E> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<E: Eq> Eq for EntityRef<E> {}

impl<E: fmt::Debug> fmt::Debug for EntityRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
