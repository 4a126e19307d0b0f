//! A map in parts: its upper subtrees in the order of iteration, each of which can be streamed and let go by itself.
//!
//! A part is a clone of its subtree, as cheap as one of the map: what is changed in it nobody else sees. The branches
//! above are in none of them, so who has only parts keeps nothing else alive.

use std::sync::Arc;

use super::{
    entry::Entry,
    iter::{Cursor, Iter},
    node::{Nibble, Node},
    trie::Map,
};

/// So many branches lie above a part, at most: there are up to 256 of them, each with about as many entries, and they
/// begin with different first bytes of hashes.
const DEPTH_MAX: u32 = 2;

/// See the module.
pub struct Part<E> {
    root: Node<E>,
    depth: u32,
    from: u64,
}

impl<E> Map<E> {
    /// All of it, ascending. None is empty.
    pub fn parts(&self) -> Vec<Part<E>> {
        let mut parts = Vec::new();
        collect(self.root(), 0, 0, &mut parts);
        parts
    }
}

fn collect<E>(node: &Node<E>, depth: u32, from: u64, parts: &mut Vec<Part<E>>) {
    match node {
        Node::Branch(branch) if depth < DEPTH_MAX => {
            for (child, nibble) in branch.children().iter().zip(0..) {
                collect(child, depth + 1, from | nibble << (4 * (Nibble::COUNT - 1 - depth)), parts);
            }
        }
        Node::Empty => {}
        node => parts.push(Part { root: node.clone(), depth, from }),
    }
}

impl<E> Part<E> {
    /// No hash in it is below this, and all of the part before it are.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// The entry of a key.
    pub fn entry(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        self.root.find(hash, key, self.depth)
    }

    /// Puts an entry of the same key in the place of this very one, if that is there.
    pub fn replace(&mut self, was: &Arc<Entry<E>>, by: Arc<Entry<E>>) -> bool {
        let is_there = self.root.has(was, self.depth);
        if is_there {
            self.root.insert(by, self.depth);
        }
        is_there
    }

    /// Its entries, ascending by hash, then key.
    pub fn iter(&self) -> Iter<'_, E> {
        // The path of the first hash is the same from every depth on.
        Iter::new(&self.root, Cursor::START)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::super::Key;
    use super::*;
    use crate::sync::Weak;

    fn entry(hash: u64, value: u32) -> Arc<Entry<u32>> {
        Arc::new(Entry::new(hash, Key::from_slice(&hash.to_be_bytes()), value, 4))
    }

    fn map_of(entries: &[Arc<Entry<u32>>]) -> Map<u32> {
        let mut map = Map::new();
        entries.iter().for_each(|entry| _ = map.insert(Arc::clone(entry)));
        map
    }

    fn has(part: &Part<u32>, entry: &Arc<Entry<u32>>) -> bool {
        part.entry(entry.hash(), entry.key()).is_some_and(|own| Arc::ptr_eq(own, entry))
    }

    fn places<'a>(entries: impl Iterator<Item = &'a Arc<Entry<u32>>>) -> Vec<(u64, Option<u32>)> {
        entries.map(|entry| (entry.hash(), entry.entity().copied())).collect()
    }

    /// Well spread, all in a few places, or in one.
    fn hashes() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), any::<u64>().prop_map(|hash| hash & 0xf00f_0000_0000_00ff), 0..200u64]
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_end_of_the_map(
            hashes in btree_set(hashes(), 0..600), taken in any::<prop::sample::Index>(),
        ) {
            let entries: Vec<_> = hashes.iter().map(|hash| entry(*hash, 0)).collect();
            let map = map_of(&entries);
            let parts = map.parts();
            prop_assert!(parts.len() <= 256 && parts.iter().all(|part| part.iter().next().is_some()));
            prop_assert!(parts.is_sorted_by(|part, next| part.from() >> 56 < next.from() >> 56));
            // Every part by itself, and all behind one of them.
            let (_, left) = parts.split_at(taken.index(parts.len() + 1));
            let from = left.first().map(Part::from);
            let end: Vec<_> = hashes.into_iter().filter(|hash| from.is_some_and(|from| *hash >= from)).collect();
            prop_assert_eq!(left.iter().flat_map(Part::iter).map(|entry| entry.hash()).collect::<Vec<_>>(), end);
            for entry in &entries {
                let own = parts.partition_point(|part| part.from() <= entry.hash()) - 1;
                let having: Vec<_> = (0..parts.len()).filter(|part| has(&parts[*part], entry)).collect();
                prop_assert_eq!(having, [own]);
            }
        }

        #[test]
        fn map_and_parts_do_not_see_what_the_other_does(
            hashes in btree_set(hashes(), 1..600), replaced in vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let hashes: Vec<_> = hashes.into_iter().collect();
            let entries: Vec<_> = hashes.iter().map(|hash| entry(*hash, 0)).collect();
            let mut map = map_of(&entries);
            let mut parts = map.parts();
            let mut values = vec![(0, 0); hashes.len()];
            for index in replaced {
                let at = index.index(hashes.len());
                let own = parts.partition_point(|part| part.from() <= hashes[at]) - 1;
                let is_first = values[at].0 == 0;
                // The very entry, or none.
                prop_assert_eq!(parts[own].replace(&entries[at], entry(hashes[at], 1)), is_first);
                prop_assert!(!has(&parts[own], &entries[at]));
                map.insert(entry(hashes[at], 2));
                values[at] = (1, 2);
            }
            let wanted = |value: fn(&(u32, u32)) -> u32| {
                let values = values.iter().map(value).map(Some);
                hashes.iter().copied().zip(values).collect::<Vec<_>>()
            };
            prop_assert_eq!(places(parts.iter().flat_map(Part::iter)), wanted(|(part, _)| *part));
            prop_assert_eq!(places(map.iter()), wanted(|(_, map)| *map));
        }
    }

    /// Whatever the map that it was made of has overwritten goes with its part, and nothing goes with another's.
    #[test]
    fn a_part_that_is_dropped_keeps_nothing_alive() {
        let hashes: Vec<_> = (0..5000u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let mut map = map_of(&hashes.iter().map(|hash| entry(*hash, 0)).collect::<Vec<_>>());
        let first: Vec<Weak<_>> = map.iter().map(Arc::downgrade).collect();
        let parts = map.parts();
        assert_eq!(parts.len(), 256);
        hashes.iter().for_each(|hash| _ = map.insert(entry(*hash, 1)));
        let mut gone = 0;
        for part in parts {
            let own = part.iter().count();
            assert!(first[gone..].iter().all(|entry| entry.strong_count() == 1));
            drop(part);
            gone += own;
            assert!(first[..gone].iter().all(|entry| entry.strong_count() == 0));
        }
        assert_eq!(gone, hashes.len());
    }

    /// Nor is what it shared with the map shared any more: the next change there copies nothing.
    #[test]
    fn a_part_that_is_dropped_leaves_the_map_alone() {
        let hashes = (0..20_000u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let map = map_of(&hashes.map(|hash| entry(hash, 0)).collect::<Vec<_>>());
        let children = |node: &Node<u32>| match node {
            Node::Branch(branch) => branch.children().to_vec(),
            _ => Vec::new(),
        };
        let shared = || {
            // Each is cloned once to be counted.
            let below: Vec<_> = children(map.root()).iter().flat_map(children).collect();
            let count = |node: &Node<u32>| matches!(node, Node::Branch(branch) if Arc::strong_count(branch) > 2);
            below.iter().filter(|node| count(node)).count()
        };
        let mut parts = map.parts();
        for left in (0..=256).rev() {
            assert_eq!(shared(), left);
            parts.pop();
        }
    }
}
