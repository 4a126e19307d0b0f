//! Nodes of the trie: what a slot can hold, and branches packed into arrays of a few sizes.
//!
//! A node is 16 bytes, its own tag and a pointer; a branch's bitmap lies beside the tag in the
//! *parent's* slot, so a lookup that ends there never touches the branch. Without `unsafe` an
//! allocation has the size of its type, hence size classes: one array type for each, the smallest
//! that has room.
//!
//! - The occupied slots of a branch are its first ones, ascending by nibble; the rest are `Empty`.
//! - Bitmap, class and order follow from the children alone, so equal children mean equal branches.

use std::{array, mem, slice, sync::Arc};

use super::entry::Entry;

/// What a slot holds.
#[derive(Default)]
pub(super) enum Node<E> {
    /// Nothing: an unused slot, or the root of an empty map.
    #[default]
    Empty,
    Leaf(Arc<Entry<E>>),
    /// Two or more entries of one full hash, ascending by key.
    Bucket(Arc<Vec<Arc<Entry<E>>>>),
    Branch(Branch<E>),
}

// By hand, as all clones of this module: a derive would ask for `E: Clone`.
impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Leaf(entry) => Self::Leaf(Arc::clone(entry)),
            Self::Bucket(bucket) => Self::Bucket(Arc::clone(bucket)),
            Self::Branch(branch) => Self::Branch(branch.clone()),
        }
    }
}

/// The part of a hash that picks the slot at a depth; the most significant nibble is depth 0.
#[derive(Clone, Copy)]
pub(super) struct Nibble(u32);

impl Nibble {
    pub(super) fn of(hash: u64, depth: u32) -> Self {
        Self((hash.rotate_left(4 * (depth + 1)) & 0xf) as u32)
    }

    fn bit(self) -> u16 {
        1 << self.0
    }

    /// The index of the nibble's slot in a branch, or of the slot before which it would come.
    fn rank(self, bitmap: u16) -> usize {
        // Most of a lookup's levels are full. Counting bits costs enough instructions there to keep
        // the cache misses of one lookup from overlapping with those of the next.
        if bitmap == u16::MAX {
            return self.0 as usize;
        }
        (bitmap & (self.bit() - 1)).count_ones() as usize
    }
}

/// Declares [`Branch`]: a variant for each size class, ascending.
macro_rules! branch_classes {
    ($($class:ident($capacity:literal)),*) => {
        /// An inner node: the bitmap of its occupied nibbles, and their nodes.
        pub(super) enum Branch<E> {
            $($class(u16, Arc<[Node<E>; $capacity]>)),*
        }

        impl<E> Branch<E> {
            /// Packs as many nodes as the bitmap has bits.
            fn pack(bitmap: u16, mut nodes: impl Iterator<Item = Node<E>>) -> Self {
                match Self::capacity(bitmap) {
                    $($capacity => Self::$class(
                        bitmap,
                        Arc::new(array::from_fn(|_| nodes.next().unwrap_or_default())),
                    ),)*
                    _ => unreachable!("the last class holds all sixteen nibbles"),
                }
            }

            /// The smallest class that holds the children of a bitmap.
            fn capacity(bitmap: u16) -> usize {
                let count = bitmap.count_ones() as usize;
                $(if count <= $capacity { return $capacity; })*
                unreachable!("the last class holds all sixteen nibbles")
            }

            /// The bitmap and all slots, the unused ones included. One match for both: it becomes
            /// a load from a table, two become a jump that lookups mispredict.
            fn parts(&self) -> (u16, &[Node<E>]) {
                match self { $(Self::$class(bitmap, slots) => (*bitmap, slots.as_slice())),* }
            }

            fn bitmap_mut(&mut self) -> &mut u16 {
                match self { $(Self::$class(bitmap, _) => bitmap),* }
            }

            /// The slots to be changed; copied first if another root shares them.
            fn slots_mut(&mut self) -> &mut [Node<E>] {
                match self { $(Self::$class(_, slots) => Arc::make_mut(slots).as_mut_slice()),* }
            }
        }

        impl<E> Clone for Branch<E> {
            fn clone(&self) -> Self {
                match self {
                    $(Self::$class(bitmap, slots) => Self::$class(*bitmap, Arc::clone(slots))),*
                }
            }
        }
    };
}

// Most branches have two or three children, and most of the others about ten.
branch_classes!(Two(2), Four(4), Eight(8), Twelve(12), Sixteen(16));

impl<E> Branch<E> {
    pub(super) fn single(nibble: Nibble, node: Node<E>) -> Self {
        Self::pack(nibble.bit(), [node].into_iter())
    }

    pub(super) fn get(&self, nibble: Nibble) -> Option<&Node<E>> {
        let (bitmap, slots) = self.parts();
        if bitmap & nibble.bit() == 0 { None } else { slots.get(nibble.rank(bitmap)) }
    }

    /// All slots, the unused ones included.
    pub(super) fn slots(&self) -> &[Node<E>] {
        self.parts().1
    }

    /// The slot of a nibble, `Empty` if it had none. The caller fills it.
    pub(super) fn slot(&mut self, nibble: Nibble) -> &mut Node<E> {
        let bitmap = self.bitmap();
        let at = nibble.rank(bitmap);
        if bitmap & nibble.bit() == 0 {
            self.resize(bitmap | nibble.bit());
            let mut moved = Node::Empty;
            self.slots_mut().iter_mut().skip(at).for_each(|slot| mem::swap(slot, &mut moved));
        }
        match self.slots_mut().get_mut(at) {
            Some(slot) => slot,
            None => unreachable!("a branch has room for every bit of its bitmap"),
        }
    }

    /// Gives up the slot of a nibble that has one.
    pub(super) fn remove(&mut self, nibble: Nibble) {
        let bitmap = self.bitmap();
        let at = nibble.rank(bitmap);
        let mut moved = Node::Empty;
        self.slots_mut().iter_mut().skip(at).rev().for_each(|slot| mem::swap(slot, &mut moved));
        self.resize(bitmap & !nibble.bit());
    }

    /// Takes the only child if that is no branch: its place is in the parent then.
    pub(super) fn take_lone_leaf(&mut self) -> Option<Node<E>> {
        if !self.bitmap().is_power_of_two() {
            return None;
        }
        self.slots_mut().first_mut().filter(|node| !matches!(node, Node::Branch(_))).map(mem::take)
    }

    /// A nibble's own node, and the slots after it (the unused ones included).
    pub(super) fn split(&self, nibble: Nibble) -> (Option<&Node<E>>, slice::Iter<'_, Node<E>>) {
        let own = self.get(nibble);
        let (bitmap, slots) = self.parts();
        let after = nibble.rank(bitmap) + usize::from(own.is_some());
        (own, slots.get(after..).unwrap_or_default().iter())
    }

    /// Of the occupied slots, in their order.
    #[cfg(all(test, not(loom)))]
    pub(super) fn nibbles(&self) -> impl Iterator<Item = u64> {
        let bitmap = self.bitmap();
        (0..16).filter(move |nibble| bitmap >> nibble & 1 == 1)
    }

    fn bitmap(&self) -> u16 {
        self.parts().0
    }

    fn resize(&mut self, bitmap: u16) {
        if Self::capacity(bitmap) == self.slots().len() {
            *self.bitmap_mut() = bitmap;
        } else {
            *self = Self::pack(bitmap, self.slots_mut().iter_mut().map(mem::take));
        }
    }
}
