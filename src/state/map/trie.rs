//! [`Map`]: lookup, insert and remove over the nodes, and the accounting of memory.
//!
//! `len`, `cold`, `bytes` and `keys_bytes` are the sums over all entries.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    clock::Tick,
    entry::{EntityRef, Entry, Found},
    iter::{Batch, Cursor, Iter},
    node::{Nibble, Node},
};

/// What an entry is accounted with beyond its key and value, in bytes: its own fields, its part of the branches, and
/// the allocator's rounding of both.
///
/// Measured with glibc's allocator as resident memory (`benches/peers`, keys of 16 bytes, values of
/// 100).
pub const ENTRY_BYTES: usize = 96;

/// So many lookups are warmed up at a time.
pub const WARMED_UP: usize = 64;

/// A map from hashed keys to entities whose clones are O(1) and share what neither side has changed.
pub struct Map<E> {
    root: Node<E>,
    len: usize,
    /// How many of them are cold.
    cold: usize,
    bytes: usize,
    /// What of that no spill frees.
    keys_bytes: usize,
    now: Tick,
}

impl<E> Default for Map<E> {
    fn default() -> Self {
        Self { root: Node::Empty, len: 0, cold: 0, bytes: 0, keys_bytes: 0, now: Tick::FIRST }
    }
}

impl<E> Clone for Map<E> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), ..*self }
    }
}

impl<E> Map<E> {
    /// An empty map. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many of them have their entity in a cold file.
    pub fn cold(&self) -> usize {
        self.cold
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Accounted memory in bytes: for each entry its key, its `heap_bytes` and [`ENTRY_BYTES`], at
    /// most 4 GiB. What is shared with other roots counts in full.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What of [`Map::bytes`] stays when every entity has gone to a cold file: the keys, the places, and what an entry
    /// takes beside them.
    pub fn keys_bytes(&self) -> usize {
        self.keys_bytes
    }

    /// The present tick of the clock of use.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// A part of the memory was turned over: what is used from now on is younger than what was used before.
    pub fn tick(&mut self) {
        self.now = self.now.next();
    }

    /// Finds what is under a key. An entity that is here is used with that; one that is not is used by whoever reads
    /// it.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<Found<'_, E>> {
        let entry = self.find(hash, key)?;
        Some(match EntityRef::of(entry) {
            Ok(entity) => {
                entry.touch(self.now);
                Found::Here(entity)
            }
            Err(at) => Found::Cold { entry, at },
        })
    }

    /// Finds an entry, which is no use of it.
    pub fn entry(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        self.find(hash, key)
    }

    /// The entries of a hash whose entities are not in memory.
    pub fn cold_at(&self, hash: u64) -> impl Iterator<Item = &Arc<Entry<E>>> {
        let own = self.iter_from(Cursor::at(hash)).take_while(move |entry| entry.hash() == hash);
        own.filter(|entry| entry.location().is_some())
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        self.root.find(hash, key, 0)
    }

    /// Looks for entries without doing anything with them, level by level: what would be a chain of cache misses for
    /// each of them are the misses of all at a time.
    pub fn warm_up(&self, hashes: &[u64]) {
        let mut nodes: SmallVec<[&Node<E>; WARMED_UP]> = SmallVec::new();
        nodes.extend(hashes.iter().take(WARMED_UP).map(|_| &self.root));
        for depth in 0..u64::BITS / 4 {
            let mut deeper = false;
            for (node, hash) in nodes.iter_mut().zip(hashes) {
                if let Node::Branch(branch) = node {
                    *node = branch.child(Nibble::of(*hash, depth));
                    deeper = true;
                }
            }
            if !deeper {
                break;
            }
        }
        let candidates = nodes.iter().zip(hashes).filter_map(|(node, hash)| match node {
            Node::Cluster(cluster) => cluster.candidate(*hash),
            _ => None,
        });
        let candidates: SmallVec<[&Arc<Entry<E>>; WARMED_UP]> = candidates.collect();
        std::hint::black_box(candidates.iter().map(|entry| entry.hash()).fold(0, u64::wrapping_add));
    }

    /// Takes an entry in and returns the one that its key had. One whose entity is here is used with that.
    pub fn insert(&mut self, entry: Arc<Entry<E>>) -> Option<Arc<Entry<E>>> {
        if entry.entity().is_some() {
            entry.touch(self.now);
        }
        self.count(&entry);
        let displaced = self.root.insert(entry, 0);
        if let Some(displaced) = &displaced {
            self.discount(displaced);
        }
        displaced
    }

    /// Removes a key and returns its entry. The path is copied only if the key is there.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Arc<Entry<E>>> {
        let displaced = Arc::clone(self.find(hash, key)?);
        self.root.remove(hash, key, 0);
        self.discount(&displaced);
        Some(displaced)
    }

    /// Puts an entry of the same key in the place of this very one; does nothing if the key has another by now, or
    /// none. Says whether it did.
    pub fn replace(&mut self, was: &Arc<Entry<E>>, by: Arc<Entry<E>>) -> bool {
        debug_assert_eq!(was.place(), by.place(), "the key stays");
        let is_there = self.root.has(was, 0);
        if is_there {
            self.insert(by);
        }
        is_there
    }

    /// All entries, ascending by hash, then key.
    pub fn iter(&self) -> Iter<'_, E> {
        self.iter_from(Cursor::START)
    }

    /// The entries whose hash is at or after the cursor, ascending by hash, then key.
    pub fn iter_from(&self, from: Cursor) -> Iter<'_, E> {
        Iter::new(&self.root, from)
    }

    /// The next `limit` entries from the cursor on (1 if `limit` is 0), and whatever else has the
    /// hash of the last of them: a batch ends between two hashes.
    ///
    /// Each batch of a scan may come from another root. A key that is present in all of them is in
    /// exactly one batch, and any other key in at most one.
    pub fn scan(&self, from: Cursor, limit: usize) -> Batch<'_, E> {
        Batch::collect(self.iter_from(from), limit)
    }

    /// Takes in a node of entries that are not there, at a depth of a hash's path, which is vacant. They are counted.
    pub(super) fn attach(&mut self, node: Node<E>, place: (u64, u32), len: usize) {
        self.root.attach(node, place, len, 0);
    }

    /// An entry comes.
    pub(super) fn count(&mut self, entry: &Entry<E>) {
        self.len += 1;
        self.cold += usize::from(entry.location().is_some());
        self.bytes += entry.bytes();
        self.keys_bytes += entry.bytes_when_cold();
    }

    fn discount(&mut self, entry: &Entry<E>) {
        self.len -= 1;
        self.cold -= usize::from(entry.location().is_some());
        self.bytes -= entry.bytes();
        self.keys_bytes -= entry.bytes_when_cold();
    }

    pub(super) fn root(&self) -> &Node<E> {
        &self.root
    }
}
