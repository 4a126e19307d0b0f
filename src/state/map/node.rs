//! Nodes of the trie: what a place in it can hold, and branches.
//!
//! A node is 16 bytes, its tag and a pointer. A branch has all sixteen of its children's places: there are more than
//! [`GATHERED`] entries below it, so they cost little, and a lookup computes where to go on without reading anything.

use std::{array, mem, sync::Arc};

use super::{
    cluster::{CAPACITY, Cluster, Sorted},
    entry::Entry,
};

/// A branch that is left with so many entries is gathered into a cluster. Fewer than a cluster can hold, so that an
/// insert and a remove in turn do not spread and gather the same entries.
pub(super) const GATHERED: usize = CAPACITY / 2;

/// No nibble of a hash is left here.
const DEPTH_MAX: u32 = u64::BITS / 4;

/// What a place in the trie holds.
#[derive(Default)]
pub(super) enum Node<E> {
    /// Nothing.
    #[default]
    Empty,
    Cluster(Cluster<E>),
    Branch(Arc<Branch<E>>),
    /// More entries of one full hash than a cluster can hold, in no order.
    Bucket(Arc<Vec<Arc<Entry<E>>>>),
}

/// An inner node.
pub(super) struct Branch<E> {
    /// How many entries are below.
    len: usize,
    children: [Node<E>; 16],
}

/// The part of a hash that picks the child at a depth; the most significant nibble is depth 0.
#[derive(Clone, Copy)]
pub(super) struct Nibble(usize);

impl Nibble {
    pub(super) fn of(hash: u64, depth: u32) -> Self {
        Self((hash.rotate_left(4 * (depth + 1)) & 0xf) as usize)
    }
}

impl<E> Clone for Node<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Cluster(cluster) => Self::Cluster(cluster.clone()),
            Self::Branch(branch) => Self::Branch(Arc::clone(branch)),
            Self::Bucket(bucket) => Self::Bucket(Arc::clone(bucket)),
        }
    }
}

impl<E> Clone for Branch<E> {
    fn clone(&self) -> Self {
        Self { len: self.len, children: self.children.clone() }
    }
}

impl<E> Branch<E> {
    fn new() -> Self {
        Self { len: 0, children: array::from_fn(|_| Node::Empty) }
    }

    pub(super) fn child(&self, nibble: Nibble) -> &Node<E> {
        match self.children.get(nibble.0) {
            Some(child) => child,
            None => unreachable!("a nibble is less than sixteen"),
        }
    }

    fn child_mut(&mut self, nibble: Nibble) -> &mut Node<E> {
        match self.children.get_mut(nibble.0) {
            Some(child) => child,
            None => unreachable!("a nibble is less than sixteen"),
        }
    }

    /// How many entries are below.
    #[cfg(all(test, not(loom)))]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn children(&self) -> &[Node<E>] {
        &self.children
    }

    /// The children after a nibble's.
    pub(super) fn after(&self, nibble: Nibble) -> &[Node<E>] {
        self.children.get(nibble.0 + 1..).unwrap_or_default()
    }

    fn insert(&mut self, entry: Arc<Entry<E>>, depth: u32) -> Option<Arc<Entry<E>>> {
        let displaced = self.child_mut(Nibble::of(entry.hash(), depth)).insert(entry, depth + 1);
        self.len += usize::from(displaced.is_none());
        displaced
    }
}

impl<E> Node<E> {
    /// The entry of a key; the node is no branch.
    pub(super) fn get(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        match self {
            Self::Cluster(cluster) => cluster.get(hash, key),
            Self::Bucket(bucket) => bucket.iter().find(|entry| entry.key() == key),
            Self::Empty | Self::Branch(_) => None,
        }
    }

    /// The entries of a node that is no branch, ascending by hash, then key.
    pub(super) fn sorted(&self) -> Sorted<'_, E> {
        match self {
            Self::Cluster(cluster) => cluster.sorted(),
            Self::Bucket(bucket) => {
                let mut sorted: Sorted<'_, E> = bucket.iter().collect();
                sorted.sort_unstable_by(|one, other| one.key().cmp(other.key()));
                sorted
            }
            Self::Empty | Self::Branch(_) => Sorted::new(),
        }
    }

    /// Takes an entry in and returns the one that its key had.
    pub(super) fn insert(&mut self, entry: Arc<Entry<E>>, depth: u32) -> Option<Arc<Entry<E>>> {
        match self {
            Self::Branch(branch) => return Arc::make_mut(branch).insert(entry, depth),
            Self::Empty => {
                *self = Self::Cluster(Cluster::of(entry));
                return None;
            }
            Self::Bucket(bucket) => {
                let bucket = Arc::make_mut(bucket);
                if let Some(own) = bucket.iter_mut().find(|own| own.key() == entry.key()) {
                    return Some(mem::replace(own, entry));
                }
                bucket.push(entry);
                return None;
            }
            Self::Cluster(cluster) => match cluster.insert(entry) {
                Ok(displaced) => return displaced,
                Err(entry) => self.spread(entry, depth),
            },
        }
        None
    }

    /// Makes a full cluster, and an entry that it has no room for, a branch.
    fn spread(&mut self, entry: Arc<Entry<E>>, depth: u32) {
        let Self::Cluster(cluster) = self else { return };
        let entries = cluster.drain().chain([entry]);
        *self = if depth == DEPTH_MAX {
            Self::Bucket(Arc::new(entries.collect()))
        } else {
            let mut branch = Branch::new();
            entries.for_each(|entry| drop(branch.insert(entry, depth)));
            Self::Branch(Arc::new(branch))
        };
    }

    /// Removes an entry that is there.
    pub(super) fn remove(&mut self, hash: u64, key: &[u8], depth: u32) {
        let left = match self {
            Self::Empty => return,
            Self::Cluster(cluster) => {
                cluster.remove(hash, key);
                if cluster.len() == 0 {
                    *self = Self::Empty;
                }
                return;
            }
            Self::Bucket(bucket) => {
                let bucket = Arc::make_mut(bucket);
                bucket.retain(|entry| entry.key() != key);
                bucket.len()
            }
            Self::Branch(branch) => {
                let branch = Arc::make_mut(branch);
                branch.child_mut(Nibble::of(hash, depth)).remove(hash, key, depth + 1);
                branch.len -= 1;
                branch.len
            }
        };
        if left == GATHERED {
            self.gather();
        }
    }

    /// Makes a branch or a bucket with few entries a cluster. Whatever is below it has fewer still, and is one already.
    fn gather(&mut self) {
        let mut gathered = Self::Empty;
        let mut take = |entry| drop(gathered.insert(entry, 0));
        match self {
            Self::Bucket(bucket) => Arc::make_mut(bucket).drain(..).for_each(&mut take),
            Self::Branch(branch) => {
                for child in &mut Arc::make_mut(branch).children {
                    if let Self::Cluster(cluster) = child {
                        cluster.drain().for_each(&mut take);
                    }
                }
            }
            Self::Empty | Self::Cluster(_) => return,
        }
        *self = gathered;
    }
}
