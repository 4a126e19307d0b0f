//! One command's view of a shard: reads see the shard and the command's own writes; the writes land together or not at
//! all.
//!
//! Invariant: until [`Txn::land`] the map is untouched, so a panic or an abort leaves nothing behind. Landing calls no
//! code of the application: entities are measured when they are put.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::hash::KeyHasher;
use super::map::{EntityRef, Entry, Found, Key, Map};
use super::thaw::Thawed;
use crate::machine::Abort;
use crate::model::Location;

/// From so many writes on they are found by an index.
const INDEX_FROM: usize = 32;

enum Write<E> {
    Put(Arc<Entry<E>>),
    Remove { hash: u64, key: Key },
}

impl<E> Write<E> {
    fn hash(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.hash(),
            Self::Remove { hash, .. } => *hash,
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Self::Put(entry) => entry.key(),
            Self::Remove { key, .. } => key,
        }
    }

    fn entity(&self) -> Option<EntityRef<E>> {
        match self {
            Self::Put(entry) => EntityRef::of(entry).ok(),
            Self::Remove { .. } => None,
        }
    }
}

/// Says how much memory an entity takes, `size_of` `E` included.
pub type Measure<'a, E> = &'a dyn Fn(&E) -> usize;

/// Buffers that transactions use one after the other, and what the runs of one command leave for the next.
pub struct Scratch<E> {
    writes: Vec<Write<E>>,
    index: BTreeMap<(u64, Key), usize>,
    /// What was read for a run that was aborted.
    pub thawed: Thawed<E>,
    /// What this run lacks.
    wanted: RefCell<Vec<Arc<Entry<E>>>>,
    /// Cold entries that the last landing has displaced. Those that a clear took are not among them.
    freed: Vec<Location>,
    /// What the last landing has displaced, in bytes as accounted.
    displaced_bytes: usize,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self {
            writes: Vec::new(),
            index: BTreeMap::new(),
            thawed: Thawed::default(),
            wanted: RefCell::default(),
            freed: Vec::new(),
            displaced_bytes: 0,
        }
    }
}

impl<E> Scratch<E> {
    fn clear(&mut self) {
        self.writes.clear();
        // Almost never used, and to clear an empty tree is not free.
        if !self.index.is_empty() {
            self.index.clear();
        }
    }

    /// The entries that an aborted run lacks.
    pub fn wanted(&mut self) -> &mut Vec<Arc<Entry<E>>> {
        self.wanted.get_mut()
    }

    /// Where the entities lie that the last landing has replaced or removed, but for those of a map that was cleared.
    pub fn freed(&self) -> &[Location] {
        &self.freed
    }

    /// How much memory was taken by what the last landing has replaced, removed or cleared, as accounted.
    pub fn displaced_bytes(&self) -> u64 {
        self.displaced_bytes as u64
    }
}

/// What landing will make of one key.
#[derive(Clone, Copy)]
pub struct Change<'a, E> {
    /// The key.
    pub key: &'a [u8],
    /// Its hash.
    pub hash: u64,
    /// The entry that is there before; none if nothing is, or if all keys are cleared first.
    pub was: Option<&'a Arc<Entry<E>>>,
    /// Its entity; none if that is not in memory: see [`Txn::has_old`].
    pub old: Option<&'a E>,
    /// What will be there; none if the key is removed. May be equal to the old one.
    pub new: Option<&'a E>,
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
        scratch.clear();
        scratch.wanted.get_mut().clear();
        scratch.freed.clear();
        Self { map, hasher, scratch, measure, cleared: false }
    }

    /// The entity under a key of this shard, this command's own writes included.
    ///
    /// A key of another shard is simply not there: keys that a command touches must route to the same shard as
    /// [`StateMachine::key`](crate::StateMachine::key) does.
    ///
    /// # Errors
    /// [`Abort`]: the run has to be repeated. Pass it on with `?`.
    pub fn get(&self, key: &[u8]) -> Result<Option<EntityRef<E>>, Abort> {
        let hash = self.hasher.hash(key);
        if let Some(write) = self.find(hash, key).and_then(|at| self.scratch.writes.get(at)) {
            return Ok(write.entity());
        }
        if self.cleared {
            return Ok(None);
        }
        match self.map.get(hash, key) {
            None => Ok(None),
            Some(Found::Here(entity)) => Ok(Some(entity)),
            Some(Found::Cold { entry, .. }) => self.thawed(entry).map(Some).ok_or(Abort::new()),
        }
    }

    /// The entities under many keys, in their order: [`Txn::get`] for each of them. If some are not in memory, all of
    /// those are read before the next run, where [`Txn::get`] for one after the other aborts a run for each.
    ///
    /// # Errors
    /// [`Abort`]: the run has to be repeated. Pass it on with `?`.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<EntityRef<E>>>, Abort> {
        // To the end, whatever comes of the first.
        let found: Vec<_> = keys.iter().map(|key| self.get(key.as_ref())).collect();
        found.into_iter().collect()
    }

    /// What was read of a cold entry; it is wanted from now on if it was not.
    fn thawed(&self, cold: &Arc<Entry<E>>) -> Option<EntityRef<E>> {
        let found = self.scratch.thawed.get(cold).and_then(|here| EntityRef::of(here).ok());
        if found.is_none() {
            self.scratch.wanted.borrow_mut().push(Arc::clone(cold));
        }
        found
    }

    /// The entity of an entry, if it is in memory or was read for this command.
    fn entity_of<'t>(&'t self, entry: &'t Arc<Entry<E>>) -> Option<&'t E> {
        entry.entity().or_else(|| self.scratch.thawed.get(entry)?.entity())
    }

    /// Has the run had everything that it has asked for? If not it has to be repeated, whatever it has returned.
    #[doc(hidden)]
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.scratch.wanted.borrow().is_empty()
    }

    /// Is what the writes replace in memory, for [`Txn::changes`]? What is not is wanted from now on.
    #[doc(hidden)]
    #[must_use]
    pub fn has_old(&self) -> bool {
        let mut cold = self.changes().filter_map(|change| change.was.filter(|_| change.old.is_none()));
        let wanted: Vec<_> = cold.by_ref().cloned().collect();
        let has_all = wanted.is_empty();
        self.scratch.wanted.borrow_mut().extend(wanted);
        has_all
    }

    /// Stores an entity under a key of this shard, replacing what is there. Under a key of another shard it would lie
    /// where no reader looks.
    pub fn put(&mut self, key: &[u8], entity: E) {
        let heap_bytes = (self.measure)(&entity);
        let hash = self.hasher.hash(key);
        self.write(Write::Put(Arc::new(Entry::new(hash, Key::from_slice(key), entity, heap_bytes))));
    }

    /// Removes a key. One that is not there is no error.
    pub fn remove(&mut self, key: &[u8]) {
        let hash = self.hasher.hash(key);
        self.write(Write::Remove { hash, key: Key::from_slice(key) });
    }

    /// Removes every key of the shard, this command's own writes so far included.
    pub fn clear(&mut self) {
        self.scratch.clear();
        self.cleared = true;
    }

    /// How many keys the shard had before this command, whatever it has written since.
    #[must_use]
    pub fn len_before(&self) -> usize {
        self.map.len()
    }

    fn write(&mut self, write: Write<E>) {
        let earlier = self.find(write.hash(), write.key());
        if let Some(earlier) = earlier.and_then(|at| self.scratch.writes.get_mut(at)) {
            *earlier = write;
            return;
        }
        let Scratch { writes, index, .. } = &mut *self.scratch;
        let place = |write: &Write<E>| (write.hash(), Key::from_slice(write.key()));
        if writes.len() + 1 == INDEX_FROM {
            index.extend(writes.iter().enumerate().map(|(at, write)| (place(write), at)));
        }
        if writes.len() + 1 >= INDEX_FROM {
            index.insert(place(&write), writes.len());
        }
        writes.push(write);
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let Scratch { writes, index, .. } = &*self.scratch;
        if writes.len() < INDEX_FROM {
            return writes.iter().position(|write| write.hash() == hash && write.key() == key);
        }
        index.get(&(hash, Key::from_slice(key))).copied()
    }

    /// No more than this is [`Txn::growth`], which costs a lookup for each write.
    #[doc(hidden)]
    #[must_use]
    pub fn growth_max(&self) -> u64 {
        let puts =
            self.scratch.writes.iter().map(|write| if let Write::Put(entry) = write { entry.bytes() } else { 0 });
        puts.sum::<usize>() as u64
    }

    /// How much more memory the shard takes once the writes have landed; negative if it takes less.
    #[doc(hidden)]
    pub fn growth(&self) -> i64 {
        let before = |write: &Write<E>| {
            let entry = self.map.entry(write.hash(), write.key()).filter(|_| !self.cleared);
            entry.map_or(0, |entry| entry.bytes()) as i64
        };
        let after = |write: &Write<E>| match write {
            Write::Put(entry) => entry.bytes() as i64,
            Write::Remove { .. } => 0,
        };
        let cleared = if self.cleared { -(self.map.bytes() as i64) } else { 0 };
        cleared + self.scratch.writes.iter().map(|write| after(write) - before(write)).sum::<i64>()
    }

    /// Will landing remove every key first?
    #[doc(hidden)]
    #[must_use]
    pub fn clears(&self) -> bool {
        self.cleared
    }

    /// What landing will do to each key that was written, once for each, in no order to rely on. What [`Txn::clears`]
    /// removes is not among it: that is all of the map which [`Txn::land`] then returns.
    ///
    /// The old entities are those of this transaction's own map, which nobody else can change before it lands. It is
    /// asked beforehand because what callers do with entities, such as to encode them, runs code of the application,
    /// which may fail or panic: then the transaction is dropped, and nothing has landed.
    #[doc(hidden)]
    pub fn changes(&self) -> impl Iterator<Item = Change<'_, E>> {
        self.scratch.writes.iter().map(|write| {
            let was = if self.cleared { None } else { self.map.entry(write.hash(), write.key()) };
            let new = match write {
                Write::Put(entry) => entry.entity(),
                Write::Remove { .. } => None,
            };
            Change { key: write.key(), hash: write.hash(), was, old: was.and_then(|was| self.entity_of(was)), new }
        })
    }

    /// Lands the writes. Returns the map that was cleared, if one was: it may be large, and is the reaper's to drop.
    #[doc(hidden)]
    pub fn land(self) -> Option<Map<E>> {
        let cleared = self.cleared.then(|| std::mem::take(self.map));
        let Scratch { writes, freed, displaced_bytes, .. } = &mut *self.scratch;
        *displaced_bytes = cleared.as_ref().map_or(0, Map::bytes);
        for write in writes.drain(..) {
            let displaced = match write {
                Write::Put(entry) => self.map.insert(entry),
                Write::Remove { hash, key } => self.map.remove(hash, &key),
            };
            if let Some(entry) = displaced {
                *displaced_bytes += entry.bytes();
                freed.extend(entry.location());
            }
        }
        self.scratch.clear();
        cleared
    }
}
