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
const DEPTH_MAX: u32 = Nibble::COUNT;

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
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nibble(usize);

impl Nibble {
    /// How many a hash has.
    pub(super) const COUNT: u32 = u64::BITS / 4;

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
    /// The entry of a key, in or below the node, which lies at this depth.
    pub(super) fn find(&self, hash: u64, key: &[u8], mut depth: u32) -> Option<&Arc<Entry<E>>> {
        let mut node = self;
        while let Self::Branch(branch) = node {
            node = branch.child(Nibble::of(hash, depth));
            depth += 1;
        }
        node.get(hash, key)
    }

    /// Is this very entry there?
    pub(super) fn has(&self, entry: &Arc<Entry<E>>, depth: u32) -> bool {
        self.find(entry.hash(), entry.key(), depth).is_some_and(|own| Arc::ptr_eq(own, entry))
    }

    /// The entry of a key; the node is no branch.
    fn get(&self, hash: u64, key: &[u8]) -> Option<&Arc<Entry<E>>> {
        match self {
            Self::Cluster(cluster) => cluster.get(hash, key),
            Self::Bucket(bucket) => bucket.iter().find(|entry| entry.key() == key),
            Self::Empty | Self::Branch(_) => None,
        }
    }

    /// What so few entries are that a cluster holds them; their keys are not the same.
    pub(super) fn of(entries: impl ExactSizeIterator<Item = Arc<Entry<E>>>) -> Self {
        if entries.len() == 0 { Self::Empty } else { Self::Cluster(Cluster::of_all(entries)) }
    }

    /// A branch of so many entries, more than a cluster holds.
    pub(super) fn branch(len: usize, mut child: impl FnMut(Nibble) -> Self) -> Self {
        Self::Branch(Arc::new(Branch { len, children: array::from_fn(|nibble| child(Nibble(nibble))) }))
    }

    /// Is there nothing on a hash's path down to this depth but branches?
    pub(super) fn is_vacant(&self, hash: u64, depth: u32) -> bool {
        let mut node = self;
        for at in 0..depth {
            let Self::Branch(branch) = node else { break };
            node = branch.child(Nibble::of(hash, at));
        }
        matches!(node, Self::Empty)
    }

    /// Puts a node of so many entries at a depth of a hash's path, which is vacant.
    pub(super) fn attach(&mut self, node: Self, (hash, depth): (u64, u32), len: usize, at: u32) {
        if at == depth {
            *self = node;
            return;
        }
        if let Self::Empty = self {
            *self = Self::Branch(Arc::new(Branch::new()));
        }
        let Self::Branch(branch) = self else { unreachable!("the path is vacant") };
        let branch = Arc::make_mut(branch);
        branch.len += len;
        branch.child_mut(Nibble::of(hash, at)).attach(node, (hash, depth), len, at + 1);
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
