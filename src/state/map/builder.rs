//! A map from entries that come in its own order, as a snapshot has them.
//!
//! Entries whose hashes begin alike are collected, made a subtree of its final shape at once, and put where nothing is
//! yet: no descent for each of them, no cluster that is packed anew as it grows. What comes in another order, or does
//! not fit, is inserted one by one: the result is the same map.

use std::sync::Arc;
use std::vec::Drain;

use super::{
    cluster::CAPACITY,
    entry::Entry,
    node::{Nibble, Node},
    trie::Map,
};

/// At most so many entries are collected on average: they stay in a cache.
const GROUP: u64 = 4096;

/// See the module.
pub struct Builder<E> {
    map: Map<E>,
    /// So many nibbles are the same in a group.
    depth: u32,
    group: Vec<Arc<Entry<E>>>,
    /// Theirs.
    hashes: Vec<u64>,
    /// And what they are accounted with, and how much of that with keys.
    pending: (usize, usize),
    /// Is each hash above the one before?
    is_ascending: bool,
}

impl<E> Builder<E> {
    /// For about so many entries.
    pub fn new(entries: u64) -> Self {
        let depth = (0..Nibble::COUNT).find(|depth| entries >> (4 * depth) <= GROUP).unwrap_or(0);
        Self { map: Map::new(), depth, group: Vec::new(), hashes: Vec::new(), pending: (0, 0), is_ascending: true }
    }

    /// Takes an entry in; it replaces one of the same key.
    pub fn push(&mut self, entry: Arc<Entry<E>>) {
        let hash = entry.hash();
        if let Some(last) = self.hashes.last() {
            if self.prefix(*last) == self.prefix(hash) {
                self.is_ascending &= *last < hash;
            } else {
                self.flush();
            }
        }
        self.pending.0 += entry.bytes();
        self.pending.1 += entry.bytes_when_cold();
        self.hashes.push(hash);
        self.group.push(entry);
    }

    /// What the map of those that came so far is accounted with: all of its bytes, and those of keys. More, where some
    /// have replaced others.
    pub fn bytes(&self) -> (usize, usize) {
        (self.map.bytes() + self.pending.0, self.map.keys_bytes() + self.pending.1)
    }

    /// The map of those that came so far.
    pub fn so_far(&mut self) -> &mut Map<E> {
        self.flush();
        &mut self.map
    }

    /// The map of all of them.
    pub fn finish(mut self) -> Map<E> {
        self.flush();
        self.map
    }

    fn prefix(&self, hash: u64) -> u64 {
        hash.checked_shr(u64::BITS - 4 * self.depth).unwrap_or(0)
    }

    fn flush(&mut self) {
        let entries = &mut self.group.drain(..);
        let first = self.hashes.first().copied().unwrap_or_default();
        // A branch has more entries than a cluster holds, and so has each above it.
        let is_branch = self.hashes.len() > CAPACITY;
        if is_branch && self.is_ascending && self.map.root().is_vacant(first, self.depth) {
            entries.as_slice().iter().for_each(|entry| self.map.count(entry));
            let node = Node::build(entries, &self.hashes, self.depth);
            self.map.attach(node, (first, self.depth), self.hashes.len());
        } else {
            entries.for_each(|entry| drop(self.map.insert(entry)));
        }
        self.hashes.clear();
        self.pending = (0, 0);
        self.is_ascending = true;
    }
}

impl<E> Node<E> {
    /// The node of the next entries, which have these ascending hashes.
    fn build(entries: &mut Drain<'_, Arc<Entry<E>>>, hashes: &[u64], depth: u32) -> Self {
        if hashes.len() <= CAPACITY {
            return Self::of(entries.take(hashes.len()));
        }
        let mut rest = hashes;
        Self::branch(hashes.len(), |nibble| {
            let own = rest.partition_point(|hash| Nibble::of(*hash, depth) <= nibble);
            let (own, behind) = rest.split_at_checked(own).unwrap_or_default();
            rest = behind;
            Self::build(entries, own, depth + 1)
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::super::Key;
    use super::super::tests::{check, model_of};
    use super::*;

    fn entry(hash: u64, value: u32) -> Arc<Entry<u32>> {
        Arc::new(Entry::new(hash, Key::from_slice(&hash.to_be_bytes()), value, value as usize % 1000))
    }

    fn built(expected: u64, entries: &[(u64, u32)]) -> Map<u32> {
        let mut builder = Builder::new(expected);
        entries.iter().for_each(|(hash, value)| builder.push(entry(*hash, *value)));
        builder.finish()
    }

    /// Well spread, all in a few places, or in one.
    fn hashes() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), any::<u64>().prop_map(|hash| hash & 0xf00f_0000_0000_00ff), 0..200u64]
    }

    proptest! {
        #[test]
        fn it_is_the_map_that_inserts_make(
            entries in btree_map(hashes(), any::<u32>(), 0..2000), expected in 0..100_000_000u64,
            removed in vec(any::<prop::sample::Index>(), 0..600),
        ) {
            let entries: Vec<_> = entries.into_iter().collect();
            let mut map = built(expected, &entries);
            let mut model = model_of(&entries);
            check(&map, &model);
            // And it goes on like one.
            for index in removed.iter().filter(|_| !entries.is_empty()) {
                let (hash, _) = entries[index.index(entries.len())];
                let key = hash.to_be_bytes();
                prop_assert_eq!(map.remove(hash, &key).is_some(), model.remove(&(hash, key.to_vec())).is_some());
            }
            check(&map, &model);
            let (again, _) = entries.split_at(entries.len() / 2);
            for (hash, value) in again {
                map.insert(entry(*hash, *value));
            }
            model.extend(model_of(again));
            check(&map, &model);
        }

        #[test]
        fn whatever_the_order_the_last_of_a_key_counts(
            entries in vec((hashes(), any::<u32>()), 0..1000), expected in 0..100_000u64,
        ) {
            check(&built(expected, &entries), &model_of(&entries));
        }
    }

    /// Whoever bounds what is built cannot wait for the end of a group.
    #[test]
    fn what_is_still_collected_is_counted() {
        let mut builder = Builder::new(10);
        (0..100u32).for_each(|n| builder.push(entry(u64::from(n) << 50, n)));
        let counted = builder.bytes();
        builder.so_far();
        assert_eq!(builder.bytes(), counted);
        let map = builder.finish();
        assert_eq!((map.bytes(), map.keys_bytes()), counted);
    }

    #[test]
    fn a_group_that_comes_twice_is_whole() {
        let half = |from: u64| (0..200u64).map(move |n| ((n << 58) | (2 * n + from), n as u32));
        let entries: Vec<_> = half(0).chain(half(1)).collect();
        check(&built(400, &entries), &model_of(&entries));
    }
}
