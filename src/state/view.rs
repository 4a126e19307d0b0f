//! What readers hold: one published root per shard.
//!
//! A view never changes and never waits. It is not a cut across shards: each root is its shard's own latest. Holding
//! a view keeps its roots' memory alive; take a new one for every request rather than keeping one.

use std::sync::Arc;

use smallvec::SmallVec;

use super::hash::KeyHasher;
use super::map::{Cursor, EntityRef, WARMED_UP};
use super::root::Root;
use crate::model::{Position, ShardId, Time};
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
    /// There is no such shard. Only for shards that the caller names; a key always has one.
    #[error("there is no {0}")]
    NoSuchShard(ShardId),
}

/// An unchanging picture of all shards: one published root each, see [`Runtime::view`](crate::Runtime::view).
///
/// Reading from it never waits, whatever the shards do meanwhile; it may be shared by threads and cloned for little. It
/// is not a cut: each root is its shard's own latest. It keeps its roots' memory alive, so take a new one for every
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

/// Some entries of one shard, and where to go on: what [`View::scan`] returns.
#[derive(Debug)]
pub struct ScanPage<E> {
    /// Keys and entities.
    pub entries: Vec<(Vec<u8>, EntityRef<E>)>,
    /// Where the next page starts, for [`View::scan`]; none: this was the last.
    pub next: Option<u64>,
}

impl<E> View<E> {
    pub(crate) fn new(hasher: KeyHasher, shards: Vec<Result<Arc<Root<E>>, ReadError>>) -> Self {
        Self { hasher, shards }
    }

    /// The entity under a key.
    ///
    /// # Errors
    /// [`ReadError::Stale`] or [`ReadError::Refused`], of the key's shard. Other keys are not affected.
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
        let root = self.root(self.hasher.shard(hash))?;
        Ok(root.map().get(hash, key))
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
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn iter(&self, shard: ShardId) -> Result<impl Iterator<Item = (&[u8], &E)>, ReadError> {
        Ok(self.root(shard)?.map().iter().map(|entry| (entry.key(), entry.value())))
    }

    /// About `limit` entries of a shard from a place on; 0 is the start. A page has one entry at least if there are any
    /// left, and more than `limit` only where keys share a hash. Going on from page to page, also with newer views and
    /// after another opening, returns every key at least once that is there the whole time.
    ///
    /// # Errors
    /// [`ReadError::Stale`], [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    pub fn scan(&self, shard: ShardId, from: u64, limit: usize) -> Result<ScanPage<E>, ReadError> {
        let batch = self.root(shard)?.map().scan(Cursor::at(from), limit);
        let entries = batch.entries.iter().map(|entry| (entry.key().to_vec(), EntityRef::of(entry)));
        Ok(ScanPage { entries: entries.collect(), next: batch.next.map(Cursor::hash) })
    }

    fn root(&self, shard: ShardId) -> Result<&Arc<Root<E>>, ReadError> {
        match self.shards.get(shard.0 as usize) {
            Some(Ok(root)) => Ok(root),
            Some(Err(error)) => Err(*error),
            None => Err(ReadError::NoSuchShard(shard)),
        }
    }
}
