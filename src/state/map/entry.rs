//! One key with its hash, its value and what is known of its use.
//!
//! An entry lies behind one `Arc` which every root that holds it shares. Key and hash are beside
//! each other, so a lookup costs one cache miss for both and a split never hashes again.
//!
//! - Hash and key never change. The value is swapped in place only while a single root holds the entry.
//! - The mark is a hint to the spill, shared by all roots that hold the entry. It orders nothing: relaxed.

use std::{mem, sync::Arc};

use smallvec::SmallVec;

use crate::sync::atomic::{AtomicBool, Ordering};

/// A key's bytes; up to 24 of them lie in the entry itself.
pub type Key = SmallVec<[u8; 24]>;

/// One key of a [`Map`](super::Map) with its value.
pub struct Entry<E> {
    hash: u64,
    key: Key,
    value: Arc<E>,
    bytes: u32,
    mark: AtomicBool,
}

/// What a replaced or removed entry held: its value, and the bytes it was accounted with.
pub(super) struct Displaced<E> {
    pub(super) value: Arc<E>,
    pub(super) bytes: u32,
}

impl<E> Entry<E> {
    /// A new entry is marked: a write is an access.
    pub(super) fn new(hash: u64, key: Key, value: Arc<E>, bytes: u32) -> Self {
        Self { hash, key, value, bytes, mark: AtomicBool::new(true) }
    }

    /// The hash that the caller gave for the key.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &Arc<E> {
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

    /// Gives the entry another value: in place if no other root holds it, in a new entry otherwise.
    pub(super) fn replace(this: &mut Arc<Self>, value: Arc<E>, bytes: u32) -> Displaced<E> {
        if let Some(entry) = Arc::get_mut(this) {
            entry.mark = AtomicBool::new(true);
            let bytes = mem::replace(&mut entry.bytes, bytes);
            return Displaced { value: mem::replace(&mut entry.value, value), bytes };
        }
        let displaced = this.displaced();
        *this = Arc::new(Self::new(this.hash, Key::from_slice(&this.key), value, bytes));
        displaced
    }

    pub(super) fn displaced(&self) -> Displaced<E> {
        Displaced { value: Arc::clone(&self.value), bytes: self.bytes }
    }
}
