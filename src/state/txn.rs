//! One command's view of a shard: reads see the shard and the command's own writes; the writes land together or not at
//! all.
//!
//! Invariant: until [`Txn::land`] the map is untouched, so a panic or an abort leaves nothing behind. Landing calls no
//! code of the application: entities are measured when they are put.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::hash::KeyHasher;
use super::map::{ENTRY_BYTES, Key, Map};
use crate::machine::Abort;

/// From so many writes on they are found by an index.
const INDEX_FROM: usize = 32;

struct Write<E> {
    hash: u64,
    key: Key,
    value: Option<Measured<E>>,
}

/// An entity and the memory it takes.
struct Measured<E> {
    entity: Arc<E>,
    heap_bytes: usize,
}

/// Says how much memory an entity takes, `size_of` `E` included.
pub type Measure<'a, E> = &'a dyn Fn(&E) -> usize;

/// Buffers that transactions use one after the other.
pub struct Scratch<E> {
    writes: Vec<Write<E>>,
    index: BTreeMap<(u64, Key), usize>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self { writes: Vec::new(), index: BTreeMap::new() }
    }
}

/// What [`StateMachine::apply`](crate::StateMachine::apply) reads and writes: the keys of one shard.
///
/// Reads see the shard and the command's own writes. The writes land together when `apply` returns `Ok`, and not at all
/// if it fails or panics. One command has the shard for itself: nothing changes under it.
pub struct Txn<'a, E> {
    map: &'a mut Map<E>,
    hasher: &'a KeyHasher,
    scratch: &'a mut Scratch<E>,
    measure: Measure<'a, E>,
    cleared: bool,
}

impl<'a, E> Txn<'a, E> {
    /// A transaction that has done nothing yet.
    #[doc(hidden)]
    pub fn new(
        map: &'a mut Map<E>,
        hasher: &'a KeyHasher,
        scratch: &'a mut Scratch<E>,
        measure: Measure<'a, E>,
    ) -> Self {
        scratch.writes.clear();
        scratch.index.clear();
        Self { map, hasher, scratch, measure, cleared: false }
    }

    /// The entity under a key of this shard, this command's own writes included.
    ///
    /// A key of another shard is simply not there: keys that a command touches must route to the same shard as
    /// [`StateMachine::key`](crate::StateMachine::key) does.
    ///
    /// # Errors
    /// [`Abort`]: the run has to be repeated. Pass it on with `?`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<E>>, Abort> {
        let hash = self.hasher.hash(key);
        if let Some(write) = self.find(hash, key).and_then(|at| self.scratch.writes.get(at)) {
            return Ok(write.value.as_ref().map(|value| Arc::clone(&value.entity)));
        }
        if self.cleared {
            return Ok(None);
        }
        Ok(self.map.get(hash, key).cloned())
    }

    /// Stores an entity under a key of this shard, replacing what is there. Under a key of another shard it would lie
    /// where no reader looks.
    pub fn put(&mut self, key: &[u8], entity: E) {
        let heap_bytes = (self.measure)(&entity);
        self.write(key, Some(Measured { entity: Arc::new(entity), heap_bytes }));
    }

    /// Removes a key. One that is not there is no error.
    pub fn remove(&mut self, key: &[u8]) {
        self.write(key, None);
    }

    /// Removes every key of the shard, this command's own writes so far included.
    pub fn clear(&mut self) {
        self.scratch.writes.clear();
        self.scratch.index.clear();
        self.cleared = true;
    }

    /// How many keys the shard had before this command, whatever it has written since.
    #[must_use]
    pub fn len_before(&self) -> usize {
        self.map.len()
    }

    fn write(&mut self, key: &[u8], value: Option<Measured<E>>) {
        let hash = self.hasher.hash(key);
        if let Some(write) = self.find(hash, key).and_then(|at| self.scratch.writes.get_mut(at)) {
            write.value = value;
            return;
        }
        let Scratch { writes, index } = &mut *self.scratch;
        writes.push(Write { hash, key: Key::from_slice(key), value });
        if writes.len() == INDEX_FROM {
            index.extend(writes.iter().enumerate().map(|(at, write)| ((write.hash, write.key.clone()), at)));
        } else if writes.len() > INDEX_FROM {
            index.insert((hash, Key::from_slice(key)), writes.len() - 1);
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let Scratch { writes, index } = &*self.scratch;
        if writes.len() < INDEX_FROM {
            return writes.iter().position(|write| write.hash == hash && write.key.as_slice() == key);
        }
        index.get(&(hash, Key::from_slice(key))).copied()
    }

    /// Memory that the shard takes before this command, as accounted.
    #[doc(hidden)]
    pub fn bytes_before(&self) -> u64 {
        self.map.bytes() as u64
    }

    /// How much more memory the shard takes once the writes have landed; negative if it takes less.
    #[doc(hidden)]
    pub fn growth(&self) -> i64 {
        let before = |write: &Write<E>| {
            let entry = self.map.entry(write.hash, &write.key).filter(|_| !self.cleared);
            entry.map_or(0, |entry| entry.bytes()) as i64
        };
        let after = |write: &Write<E>| {
            let bytes = |value: &Measured<E>| ENTRY_BYTES + write.key.len() + value.heap_bytes;
            write.value.as_ref().map_or(0, bytes) as i64
        };
        let cleared = if self.cleared { -(self.map.bytes() as i64) } else { 0 };
        cleared + self.scratch.writes.iter().map(|write| after(write) - before(write)).sum::<i64>()
    }

    /// Lands the writes. Returns the map that was cleared, if one was: it may be large, and is the reaper's to drop.
    #[doc(hidden)]
    pub fn land(self) -> Option<Map<E>> {
        let cleared = self.cleared.then(|| std::mem::take(self.map));
        for write in self.scratch.writes.drain(..) {
            match write.value {
                Some(value) => {
                    self.map.insert(write.hash, &write.key, value.entity, value.heap_bytes);
                }
                None => {
                    self.map.remove(write.hash, &write.key);
                }
            }
        }
        self.scratch.index.clear();
        cleared
    }
}
