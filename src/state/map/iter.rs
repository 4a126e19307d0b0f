//! Iteration in the trie's own order, and scans whose batches come from different roots.
//!
//! - The order is ascending hash, then key. It depends on the keys alone, so a position in it means the same in every
//!   root of a shard.
//! - A cursor lies between two hashes, never inside a collision bucket.

use std::{slice, sync::Arc};

use smallvec::SmallVec;

use super::{
    cluster::Sorted,
    entry::Entry,
    node::{Nibble, Node},
};

/// A position in the order of iteration: before the first entry whose hash is at least this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// Before all entries.
    pub const START: Self = Self(0);

    /// Before the entries of a hash.
    pub fn at(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash it stands before, to be kept or sent.
    pub fn hash(self) -> u64 {
        self.0
    }
}

/// Entries of a [`Map`](super::Map), ascending by hash, then key.
pub struct Iter<'a, E> {
    /// For each branch on the path, what is left of its children. Deeper tries than eight are rare.
    path: SmallVec<[slice::Iter<'a, Node<E>>; 8]>,
    entries: <Sorted<'a, E> as IntoIterator>::IntoIter,
}

impl<'a, E> Iter<'a, E> {
    pub(super) fn new(root: &'a Node<E>, from: Cursor) -> Self {
        let mut path: SmallVec<[slice::Iter<'a, Node<E>>; 8]> = SmallVec::new();
        let mut node = root;
        let mut depth = 0;
        while let Node::Branch(branch) = node {
            let nibble = Nibble::of(from.0, depth);
            path.push(branch.after(nibble).iter());
            node = branch.child(nibble);
            depth += 1;
        }
        let mut entries = node.sorted();
        entries.retain(|entry| entry.hash() >= from.0);
        let entries = entries.into_iter();
        Self { path, entries }
    }
}

impl<'a, E> Iterator for Iter<'a, E> {
    type Item = &'a Arc<Entry<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            match self.path.last_mut()?.next() {
                Some(Node::Branch(branch)) => self.path.push(branch.children().iter()),
                Some(node) => self.entries = node.sorted().into_iter(),
                None => drop(self.path.pop()),
            }
        }
    }
}

/// One step of a [`scan`](super::Map::scan).
pub struct Batch<'a, E> {
    /// What was found, ascending by hash, then key.
    pub entries: Vec<&'a Arc<Entry<E>>>,
    /// Where the next batch begins; `None` at the end of the map.
    pub next: Option<Cursor>,
}

impl<'a, E> Batch<'a, E> {
    /// Takes whole hashes until there are `limit` entries, and at least one.
    pub(super) fn collect(iter: Iter<'a, E>, limit: usize) -> Self {
        let mut entries: Vec<&Arc<Entry<E>>> = Vec::new();
        for entry in iter {
            if let Some(last) = entries.last().filter(|last| entries.len() >= limit && last.hash() < entry.hash()) {
                // Right behind the last hash, not before this one: the next root may have entries
                // between them.
                let next = Some(Cursor(last.hash() + 1));
                return Self { entries, next };
            }
            entries.push(entry);
        }
        Self { entries, next: None }
    }
}
