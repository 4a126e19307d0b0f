//! One key with its hash, its entity or where that lies, and what is known of its use.
//!
//! An entry is one allocation, which every root that holds it shares, and whoever reads it: a lookup costs one cache
//! miss for key, hash and entity, and a split never hashes again.
//!
//! - Hash, key and value never change: another entity, or another place of it, is another entry. So an entry that is
//!   still the very same allocation is what it was, and that is how a spill knows that nobody has written the key.
//! - The mark says when it was last used ([`clock`](super::clock)): a hint to the spill, shared by all roots that hold
//!   the entry. It orders nothing: relaxed.

use std::{fmt, ops::Deref, sync::Arc};

use smallvec::SmallVec;

use super::clock::{Age, Tick};
use super::trie::ENTRY_BYTES;
use crate::model::Location;
use crate::sync::atomic::{AtomicU8, Ordering};

/// The mark of an entry that nobody has used.
const NEVER: u8 = 0;

/// A key's bytes; up to 24 of them lie in the entry itself.
pub type Key = SmallVec<[u8; 24]>;

/// One key of a [`Map`](super::Map) with its entity.
///
/// In this order, so that a lookup of a short key finds all that it needs at the beginning.
#[repr(C)]
pub struct Entry<E> {
    hash: u64,
    bytes: u32,
    mark: AtomicU8,
    key: Key,
    value: Value<E>,
}

/// An entity, or where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<E> {
    /// In memory.
    Here(E),
    /// In a cold file.
    Cold(Location),
}

/// What is under a key.
pub enum Found<'a, E> {
    /// The entity.
    Here(EntityRef<E>),
    /// The entity is not in memory.
    Cold {
        /// The entry.
        entry: &'a Arc<Entry<E>>,
        /// Where the entity lies.
        at: Location,
    },
}

/// An entity that was read: a cheap clone, and what it was, whatever becomes of its key. It keeps its own memory alive
/// and no other.
pub struct EntityRef<E>(Arc<Entry<E>>);

impl<E> Entry<E> {
    /// What a place takes where an entity could be.
    const PLACE_BYTES: usize =
        if size_of::<E>() > size_of::<Location>() { size_of::<E>() } else { size_of::<Location>() };

    /// The map that takes it in marks it: a write is a use.
    ///
    /// The same key must always come with the same hash. `heap_bytes` is the memory of the value, in bytes, the
    /// `size_of` `E` itself included: the map does not look into it.
    pub fn new(hash: u64, key: Key, value: E, heap_bytes: usize) -> Self {
        let bytes = accounted(&key, heap_bytes);
        Self { hash, bytes, mark: AtomicU8::new(NEVER), key, value: Value::Here(value) }
    }

    /// What takes the place of an entry whose entity lies in a cold file now. Nobody has read it there yet.
    pub fn cold(hash: u64, key: Key, location: Location) -> Self {
        let bytes = Self::cold_bytes(&key) as u32;
        Self { hash, bytes, mark: AtomicU8::new(NEVER), key, value: Value::Cold(location) }
    }

    /// What a cold entry of this key counts for, in bytes.
    pub fn cold_bytes(key: &[u8]) -> usize {
        accounted(key, Self::PLACE_BYTES) as usize
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

    /// The entity, or where it lies.
    pub fn value(&self) -> &Value<E> {
        &self.value
    }

    /// The entity, if it is in memory.
    pub fn entity(&self) -> Option<&E> {
        match &self.value {
            Value::Here(entity) => Some(entity),
            Value::Cold(_) => None,
        }
    }

    /// Where the entity lies, if it is not in memory.
    pub fn location(&self) -> Option<Location> {
        match self.value {
            Value::Here(_) => None,
            Value::Cold(location) => Some(location),
        }
    }

    /// What the entry counts for in [`Map::bytes`](super::Map::bytes), in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// What it would count for if its entity were in a cold file, or does if that is less.
    pub(super) fn bytes_when_cold(&self) -> usize {
        self.bytes().min(ENTRY_BYTES + self.key.len() + Self::PLACE_BYTES)
    }

    /// When it was last used, looked at with a map of this tick.
    pub fn age(&self, now: Tick) -> Age {
        let mark = self.mark.load(Ordering::Relaxed);
        let age = now.since(mark);
        if age == Age::MAX && mark != NEVER {
            // Before the clock comes round. Who uses it meanwhile may be forgotten: it is a hint.
            self.mark.store(NEVER, Ordering::Relaxed);
        }
        age
    }

    /// It is used. Says whether it was used lately before that. Loads first, so that readers of a hot entry share its
    /// cache line.
    pub fn used(&self, now: Tick) -> bool {
        let mark = self.mark.load(Ordering::Relaxed);
        if mark != now.mark() {
            self.mark.store(now.mark(), Ordering::Relaxed);
        }
        now.since(mark) <= Age::LATELY
    }

    /// The same, and nobody asks.
    pub(super) fn touch(&self, now: Tick) {
        if self.mark.load(Ordering::Relaxed) != now.mark() {
            self.mark.store(now.mark(), Ordering::Relaxed);
        }
    }
}

fn accounted(key: &[u8], heap_bytes: usize) -> u32 {
    u32::try_from(ENTRY_BYTES.saturating_add(key.len()).saturating_add(heap_bytes)).unwrap_or(u32::MAX)
}

impl<E> EntityRef<E> {
    /// The entity of an entry, if it is in memory, or where it lies.
    pub(crate) fn of(entry: &Arc<Entry<E>>) -> Result<Self, Location> {
        match entry.value {
            Value::Here(_) => Ok(Self(Arc::clone(entry))),
            Value::Cold(at) => Err(at),
        }
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
        match &self.0.value {
            Value::Here(entity) => entity,
            Value::Cold(_) => unreachable!("a reference is made of an entity that is here, and a value never changes"),
        }
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
