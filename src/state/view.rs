//! What readers hold: one published root per shard.
//!
//! A view never changes and never waits for a shard. It is not a cut across shards: each root is its shard's own
//! latest. Holding a view keeps its roots' memory alive; take a new one for every request rather than keeping one.

use std::sync::Arc;

use smallvec::SmallVec;

use super::cold::{ColdEntity, Looked, read_cold};
use super::hash::KeyHasher;
use super::map::{Cursor, EntityRef, Found, WARMED_UP};
use super::root::Root;
use crate::model::{ColdFault, Position, ShardId, Time, Unreadable};
use crate::sync::published::Positioned;

/// Why a view cannot say what is under a key, or in a shard. It is part of the view: ask a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The shard did not publish within [`Options::view_deadline`](crate::Options::view_deadline), or ended before it
    /// could: its root is older than what has been answered. A newer view asks again;
    /// [`Runtime::latest`](crate::Runtime::latest) shows the older root.
    #[error("{shard} has published up to {published}, but answered up to {answered}")]
    Stale {
        /// The shard.
        shard: ShardId,
        /// What the view would show: everything below this.
        published: Position,
        /// What a fresh view has to show: everything below this.
        answered: Position,
    },
    /// The shard's log was refused when the directory was opened: [`Runtime::recovery`](crate::Runtime::recovery) says
    /// why. It stays so until the directory is opened again.
    #[error("{0} is unavailable: its log was refused")]
    Refused(ShardId),
    /// The entity is not in memory. [`View::read`] reads it; this view has it as it was, whatever becomes of the key.
    #[error("the entity is not in memory, but in a cold file of {0}")]
    Cold(ShardId),
    /// The entity is not in memory, and cannot be read. Others of the shard can, but for those of the same page.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// There is no such shard. Only for shards that the caller names; a key always has one.
    #[error("there is no {0}")]
    NoSuchShard(ShardId),
}

/// An unchanging picture of all shards: one published root each, see [`Runtime::view`](crate::Runtime::view).
///
/// Reading from it never waits for a shard, whatever that does meanwhile; [`View::read`] and its like wait for the disk
/// where an entity is in a cold file. It may be shared by threads and cloned for little. It is not a cut: each root is
/// its shard's own latest. It keeps its roots' memory alive, and their cold files open, so take a new one for every
/// request rather than keeping one.
///
/// A shard whose root could not be had is an error on its own keys only. A view of
/// [`Runtime::latest`](crate::Runtime::latest) is never [`Stale`](ReadError::Stale).
#[derive(Debug)]
pub struct View<E> {
    hasher: KeyHasher,
    shards: Vec<Result<Arc<Root<E>>, ReadError>>,
}

impl<E> Clone for View<E> {
    fn clone(&self) -> Self {
        Self { hasher: self.hasher, shards: self.shards.clone() }
    }
}

/// A key and its entity, or why that cannot be read: what [`View::iter_reading`] returns.
pub type ReadEntry<'a, E> = (&'a [u8], Result<EntityRef<E>, ReadError>);

/// Some entries of one shard, and where to go on: what [`View::scan`] returns.
#[derive(Debug)]
pub struct ScanPage<E> {
    /// Keys and entities; of a key whose entity is not in memory there is none, and [`View::read`] reads it.
    pub entries: Vec<(Vec<u8>, Option<EntityRef<E>>)>,
    /// Where the next page starts, for [`View::scan`]; none: this was the last.
    pub next: Option<u64>,
}

/// See [`View::pass`].
pub(crate) struct Pass<E> {
    pub(crate) entries: Vec<(Vec<u8>, Looked<E>)>,
    pub(crate) next: Option<u64>,
}

impl<E> View<E> {
    pub(crate) fn new(hasher: KeyHasher, shards: Vec<Result<Arc<Root<E>>, ReadError>>) -> Self {
        Self { hasher, shards }
    }

    /// The entity under a key, if it is in memory.
    ///
    /// # Errors
    /// [`ReadError::Cold`]: it is not; [`View::read`] reads it. [`ReadError::Stale`] or [`ReadError::Refused`], of the
    /// key's shard. Other keys are not affected.
    pub fn get(&self, key: &[u8]) -> Result<Option<EntityRef<E>>, ReadError> {
        self.find(self.hasher.hash(key), key)
    }

    /// The entities under many keys, in the order of the keys. Where the state is larger than the processor's caches
    /// this takes about a third less time than [`View::get`] for one key after the other: 64 are looked for at a time,
    /// and those of a shard wait for memory together.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// runtime.submit(Command::set("a", "1")).await?;
    /// let view = runtime.view().await;
    /// for (key, found) in ["a", "b"].iter().zip(view.get_many(&["a", "b"])) {
    ///     println!("{key}: {:?}", found?.as_deref());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Each key has its own result, that of [`View::get`].
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Result<Option<EntityRef<E>>, ReadError>> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(WARMED_UP) {
            let hashes: SmallVec<[u64; WARMED_UP]> = keys.iter().map(|key| self.hasher.hash(key.as_ref())).collect();
            let mut routed: SmallVec<[(ShardId, u64); WARMED_UP]> =
                hashes.iter().map(|hash| (self.hasher.shard(*hash), *hash)).collect();
            routed.sort_unstable_by_key(|(shard, _)| *shard);
            for own in routed.chunk_by(|(one, _), (other, _)| one == other) {
                if let [(shard, _), _, ..] = own
                    && let Ok(root) = self.root(*shard)
                {
                    root.map().warm_up(&own.iter().map(|(_, hash)| *hash).collect::<SmallVec<[u64; WARMED_UP]>>());
                }
            }
            found.extend(keys.iter().zip(&hashes).map(|(key, hash)| self.find(*hash, key.as_ref())));
        }
        found
    }

    fn find(&self, hash: u64, key: &[u8]) -> Result<Option<EntityRef<E>>, ReadError> {
        let shard = self.hasher.shard(hash);
        match self.root(shard)?.map().get(hash, key) {
            None => Ok(None),
            Some(Found::Here(entity)) => Ok(Some(entity)),
            Some(Found::Cold { .. }) => Err(ReadError::Cold(shard)),
        }
    }

    /// What is under a key, or what to read to know it.
    pub(crate) fn looked(&self, key: &[u8]) -> Result<Looked<E>, ReadError> {
        let hash = self.hasher.hash(key);
        let shard = self.hasher.shard(hash);
        let root = self.root(shard)?;
        Ok(match root.map().get(hash, key) {
            None => Looked::Done(None),
            Some(Found::Here(entity)) => Looked::Done(Some(entity)),
            Some(Found::Cold { entry, at }) => {
                let (cold, now) = (root.cold().cloned(), Some(root.map().now()));
                Looked::Cold(ColdEntity { shard, cold, entry: Arc::clone(entry), at, now })
            }
        })
    }

    /// How many entries of a shard have their entity in a cold file, and not in memory.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn cold_len(&self, shard: ShardId) -> Result<usize, ReadError> {
        Ok(self.root(shard)?.map().cold())
    }

    /// The shard that a key belongs to.
    #[must_use]
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        self.hasher.shard(self.hasher.hash(key))
    }

    /// All shards, usable or not.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<E> {
        (0..self.hasher.shards()).map(ShardId)
    }

    /// How many entries a shard has.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn len(&self, shard: ShardId) -> Result<usize, ReadError> {
        Ok(self.root(shard)?.map().len())
    }

    /// The exclusive end of what the view shows of a shard.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn end(&self, shard: ShardId) -> Result<Position, ReadError> {
        Ok(self.root(shard)?.end())
    }

    /// The last time that was logged in a shard, which is what its commands have seen of the clock; 0 if it never had
    /// one.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn time(&self, shard: ShardId) -> Result<Time, ReadError> {
        Ok(self.root(shard)?.time())
    }

    /// All entries of a shard, in the order of their hashes: the same for every process that opens the directory.
    ///
    /// # Errors
    /// [`ReadError::Cold`]: not all of them are in memory; there are [`View::keys`] and [`View::scan`].
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn iter(&self, shard: ShardId) -> Result<impl Iterator<Item = (&[u8], &E)>, ReadError> {
        let map = self.root(shard)?.map();
        if map.cold() > 0 {
            return Err(ReadError::Cold(shard));
        }
        Ok(map.iter().filter_map(|entry| Some((entry.key(), entry.entity()?))))
    }

    /// As [`View::iter`], wherever the entities are: those that are not in memory are read as the iterator comes to
    /// them, which blocks.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`]. Each entry has its own besides:
    /// [`ReadError::Unreadable`].
    pub fn iter_reading(&self, shard: ShardId) -> Result<impl Iterator<Item = ReadEntry<'_, E>>, ReadError> {
        let root = self.root(shard)?;
        let cold = root.cold().map(|cold| &**cold);
        Ok(root.map().iter().map(move |entry| {
            let read = EntityRef::of(entry).or_else(|at| {
                let here = read_cold(cold, shard, entry)?;
                EntityRef::of(&here).map_err(|_| Unreadable::new(shard, at, ColdFault::Missing))
            });
            (entry.key(), read.map_err(ReadError::from))
        }))
    }

    /// All keys of a shard, in the order of their hashes, wherever their entities are.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn keys(&self, shard: ShardId) -> Result<impl Iterator<Item = &[u8]>, ReadError> {
        Ok(self.root(shard)?.map().iter().map(|entry| entry.key()))
    }

    /// About `limit` entries of a shard from a place on; 0 is the start. A page has one entry at least if there are any
    /// left, and more than `limit` only where keys share a hash. Going on from page to page, also with newer views and
    /// after another opening, returns every key at least once that is there the whole time.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn scan(&self, shard: ShardId, from: u64, limit: usize) -> Result<ScanPage<E>, ReadError> {
        let batch = self.root(shard)?.map().scan(Cursor::at(from), limit);
        let entries = batch.entries.iter().map(|entry| (entry.key().to_vec(), EntityRef::of(entry).ok()));
        Ok(ScanPage { entries: entries.collect(), next: batch.next.map(Cursor::hash) })
    }

    /// As [`View::scan`], for whoever passes over entries that nobody has asked for: that is no use of them, and no
    /// reason to bring them back to memory. The page ends behind so many that are not there, or a little later where
    /// keys share a hash.
    pub(crate) fn pass(&self, shard: ShardId, from: u64, limit: usize, cold_max: usize) -> Result<Pass<E>, ReadError> {
        let root = self.root(shard)?;
        let batch = root.map().scan(Cursor::at(from), limit);
        let mut pass = Pass { entries: Vec::with_capacity(batch.entries.len()), next: batch.next.map(Cursor::hash) };
        let (mut cold, mut last) = (0, None);
        for entry in batch.entries {
            if cold >= cold_max && last != Some(entry.hash()) {
                pass.next = Some(entry.hash());
                break;
            }
            last = Some(entry.hash());
            let looked = EntityRef::of(entry).map_or_else(
                |at| {
                    cold += 1;
                    let (cold, entry) = (root.cold().cloned(), Arc::clone(entry));
                    Looked::Cold(ColdEntity { shard, cold, entry, at, now: None })
                },
                |entity| Looked::Done(Some(entity)),
            );
            pass.entries.push((entry.key().to_vec(), looked));
        }
        Ok(pass)
    }

    fn root(&self, shard: ShardId) -> Result<&Arc<Root<E>>, ReadError> {
        match self.shards.get(shard.0 as usize) {
            Some(Ok(root)) => Ok(root),
            Some(Err(error)) => Err(*error),
            None => Err(ReadError::NoSuchShard(shard)),
        }
    }
}
