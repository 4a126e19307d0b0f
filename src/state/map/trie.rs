//! [`Map`]: lookup, insert and remove over the nodes, and the accounting of memory.
//!
//! `len` and `bytes` are the sums over all entries.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    entry::{EntityRef, Entry},
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
    bytes: usize,
}

impl<E> Default for Map<E> {
    fn default() -> Self {
        Self { root: Node::Empty, len: 0, bytes: 0 }
    }
}

impl<E> Clone for Map<E> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len, bytes: self.bytes }
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

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Accounted memory in bytes: for each entry its key, its `heap_bytes` and [`ENTRY_BYTES`], at
    /// most 4 GiB. What is shared with other roots counts in full.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finds an entity and marks its entry as accessed.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<EntityRef<E>> {
        let entry = self.find(hash, key)?;
        entry.touch();
        Some(EntityRef::of(entry))
    }

    /// Finds an entry and leaves its access mark alone.
    pub fn entry(&self, hash: u64, key: &[u8]) -> Option<&Entry<E>> {
        self.find(hash, key).map(Arc::as_ref)
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        let mut node = &self.root;
        let mut depth = 0;
        while let Node::Branch(branch) = node {
            node = branch.child(Nibble::of(hash, depth));
            depth += 1;
        }
        node.get(hash, key)
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

    /// Takes an entry in and returns the one that its key had.
    pub fn insert(&mut self, entry: Arc<Entry<E>>) -> Option<EntityRef<E>> {
        self.bytes += entry.bytes();
        match self.root.insert(entry, 0) {
            Some(displaced) => Some(self.forget(&displaced)),
            None => {
                self.len += 1;
                None
            }
        }
    }

    /// Removes a key and returns its entity. The path is copied only if the key is there.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<EntityRef<E>> {
        let displaced = Arc::clone(self.find(hash, key)?);
        self.root.remove(hash, key, 0);
        self.len -= 1;
        Some(self.forget(&displaced))
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

    fn forget(&mut self, displaced: &Arc<Entry<E>>) -> EntityRef<E> {
        self.bytes -= displaced.bytes();
        EntityRef::of(displaced)
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn root(&self) -> &Node<E> {
        &self.root
    }
}
