//! Clusters: up to [`CAPACITY`] entries whose hashes begin alike, side by side.
//!
//! A branch for every two hashes that part late would cost each lookup a cache miss more, and each key the memory of
//! its part of a branch. A byte of each hash lies in front, so that a lookup touches the cluster and, in all
//! likelihood, no entry but its own.
//!
//! Without `unsafe` an allocation has the size of its type, hence size classes, one array type for each: 8 bytes short
//! of what an allocator's granule of 16 allows.
//!
//! - The first `len` slots are used, in no order. A slot's tag is that of its entry.
//! - `len` lies in the parent's slot, and so does the class.

use std::{array, sync::Arc};

use smallvec::SmallVec;

use super::entry::Entry;

/// More entries than this are spread over a branch.
pub(super) const CAPACITY: usize = 31;

/// A slot of a cluster.
pub(super) type Slot<E> = Option<Arc<Entry<E>>>;

/// Entries in the order of iteration.
pub(super) type Sorted<'a, E> = SmallVec<[&'a Arc<Entry<E>>; 32]>;

type Tags = [u8; CAPACITY + 1];

/// Tags first: a lookup reads all of them and one slot, and both lie at the same place in every class.
#[repr(C)]
pub(super) struct Slots<E, const N: usize> {
    tags: Tags,
    entries: [Slot<E>; N],
}

impl<E, const N: usize> Default for Slots<E, N> {
    fn default() -> Self {
        Self { tags: [0; CAPACITY + 1], entries: array::from_fn(|_| None) }
    }
}

impl<E, const N: usize> Clone for Slots<E, N> {
    fn clone(&self) -> Self {
        Self { tags: self.tags, entries: self.entries.clone() }
    }
}

/// The byte of a hash that tells entries of a cluster apart: the last that the trie comes to.
fn tag(hash: u64) -> u8 {
    hash as u8
}

/// Where a tag occurs, a bit for each place. Compiled to a few comparisons of 16 bytes.
#[inline]
fn places(tags: &Tags, tag: u8) -> u32 {
    tags.iter().enumerate().fold(0, |places, (at, own)| places | u32::from(*own == tag) << at)
}

/// Declares [`Cluster`]: a variant for each size class, ascending.
macro_rules! classes {
    ($($class:ident($capacity:literal)),*) => {
        /// See the module. Each variant has its number of entries beside it.
        pub(super) enum Cluster<E> {
            $($class(u8, Arc<Slots<E, $capacity>>)),*
        }

        impl<E> Cluster<E> {
            /// An empty one of the smallest class that holds so many entries.
            fn with_room_for(len: usize) -> Self {
                $(if len <= $capacity { return Self::$class(0, Arc::default()); })*
                unreachable!("whoever has more makes a branch")
            }

            /// How many slots its class has.
            fn slots_for(len: usize) -> usize {
                $(if len <= $capacity { return $capacity; })*
                CAPACITY
            }

            /// How many entries there are.
            pub(super) fn len(&self) -> usize {
                match self { $(Self::$class(len, _) => usize::from(*len)),* }
            }

            fn parts(&self) -> (&Tags, &[Slot<E>]) {
                match self { $(Self::$class(_, slots) => (&slots.tags, slots.entries.as_slice())),* }
            }

            /// To be changed; copied first if another root shares them.
            fn parts_mut(&mut self) -> (&mut u8, &mut Tags, &mut [Slot<E>]) {
                match self {
                    $(Self::$class(len, slots) => {
                        let Slots { tags, entries } = Arc::make_mut(slots);
                        (len, tags, entries.as_mut_slice())
                    })*
                }
            }
        }

        // By hand, as all clones of this module: a derive would ask for `E: Clone`.
        impl<E> Clone for Cluster<E> {
            fn clone(&self) -> Self {
                match self { $(Self::$class(len, slots) => Self::$class(*len, Arc::clone(slots))),* }
            }
        }
    };
}

classes!(Three(3), Seven(7), Fifteen(15), TwentyThree(23), ThirtyOne(31));

impl<E> Cluster<E> {
    /// The smallest one.
    pub(super) fn of(entry: Arc<Entry<E>>) -> Self {
        let mut cluster = Self::with_room_for(1);
        cluster.push(entry);
        cluster
    }

    /// One of just these, which it has room for, and whose keys are not the same.
    pub(super) fn of_all(entries: impl ExactSizeIterator<Item = Arc<Entry<E>>>) -> Self {
        let mut cluster = Self::with_room_for(entries.len());
        let (len, tags, slots) = cluster.parts_mut();
        for ((own, slot), entry) in tags.iter_mut().zip(slots).zip(entries) {
            *own = tag(entry.hash());
            *slot = Some(entry);
            *len += 1;
        }
        cluster
    }

    /// All slots, the unused ones included.
    pub(super) fn slots(&self) -> &[Slot<E>] {
        self.parts().1
    }

    /// Ascending by hash, then key.
    pub(super) fn sorted(&self) -> Sorted<'_, E> {
        let mut sorted: Sorted<'_, E> = self.slots().iter().flatten().collect();
        sorted.sort_unstable_by(|one, other| one.place().cmp(&other.place()));
        sorted
    }

    /// The entry of a key. Equal keys have equal hashes, so the key alone decides.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        self.find(hash, key).map(|(_, entry)| entry)
    }

    /// The first entry that may be the one of a hash.
    pub(super) fn candidate(&self, hash: u64) -> Option<&Arc<Entry<E>>> {
        let (tags, slots) = self.parts();
        slots.get(places(tags, tag(hash)).trailing_zeros() as usize)?.as_ref()
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<(usize, &Arc<Entry<E>>)> {
        let (tags, slots) = self.parts();
        let mut places = places(tags, tag(hash));
        while places != 0 {
            let at = places.trailing_zeros() as usize;
            // The tag of an unused slot means nothing.
            if let Some(Some(entry)) = slots.get(at)
                && entry.key() == key
            {
                return Some((at, entry));
            }
            places &= places - 1;
        }
        None
    }

    /// Takes an entry in and returns the one that its key had.
    ///
    /// # Errors
    /// The cluster is full; the entry comes back.
    pub(super) fn insert(&mut self, entry: Arc<Entry<E>>) -> Result<Slot<E>, Arc<Entry<E>>> {
        if let Some((at, _)) = self.find(entry.hash(), entry.key()) {
            let (_, _, slots) = self.parts_mut();
            return Ok(slots.get_mut(at).and_then(|slot| slot.replace(entry)));
        }
        let len = self.len();
        if len == CAPACITY {
            return Err(entry);
        }
        if len == self.slots().len() {
            self.repack(len + 1);
        }
        self.push(entry);
        Ok(None)
    }

    /// Removes a key's entry, if there is one.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8]) {
        let Some((at, _)) = self.find(hash, key) else { return };
        let (len, tags, slots) = self.parts_mut();
        *len -= 1;
        let last = usize::from(*len);
        tags.swap(at, last);
        slots.swap(at, last);
        if let Some(slot) = slots.get_mut(last) {
            *slot = None;
        }
        // One slot stays spare, or an insert and a remove in turn would each pack anew.
        if Self::slots_for(last + 1) < self.slots().len() {
            self.repack(last + 1);
        }
    }

    /// Takes all entries out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Entry<E>>> {
        let (len, _, slots) = self.parts_mut();
        *len = 0;
        slots.iter_mut().filter_map(Option::take)
    }

    /// Moves into the smallest class that holds so many.
    fn repack(&mut self, len: usize) {
        let mut packed = Self::with_room_for(len);
        self.drain().for_each(|entry| packed.push(entry));
        *self = packed;
    }

    /// Adds an entry of a key that is not there; a slot is free.
    fn push(&mut self, entry: Arc<Entry<E>>) {
        let (len, tags, slots) = self.parts_mut();
        let at = usize::from(*len);
        let (Some(own), Some(slot)) = (tags.get_mut(at), slots.get_mut(at)) else {
            unreachable!("the class has room for one more");
        };
        *own = tag(entry.hash());
        *slot = Some(entry);
        *len += 1;
    }
}
