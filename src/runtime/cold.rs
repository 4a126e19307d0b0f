//! Reading what is not in memory: off the runtime's workers, a page of a cold file for each key.

use std::io;

use tokio::sync::oneshot;

use crate::error::ReadError;
use crate::model::{ColdFault, ShardId};
use crate::state::{ColdEntity, EntityRef, Looked, Pass, ScanPage, View};

impl<E: Send + Sync + 'static> View<E> {
    /// The entity under a key, wherever it is. One that is in memory is returned at once, as by [`View::get`]. For
    /// another one a page of a file is read, on one of the few threads that are there for it, unless the page is in
    /// the cache. What is read again within a while comes back to memory, as far as the limit allows.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`]: the page is damaged, or the disk does not give it. [`ReadError::Stale`] or
    /// [`ReadError::Refused`], of the key's shard. Other keys are not affected.
    ///
    /// # Cancellation
    /// Nothing happens.
    pub async fn read(&self, key: &[u8]) -> Result<Option<EntityRef<E>>, ReadError> {
        match self.looked(key)? {
            Looked::Done(entity) => Ok(entity),
            Looked::Cold(cold) => read_all(vec![cold]).await.pop().transpose(),
        }
    }

    /// The entities under many keys, in the order of the keys: [`View::read`] for all of them, with one hop to another
    /// thread for those that are not in memory.
    ///
    /// # Errors
    /// Each key has its own result, that of [`View::read`].
    ///
    /// # Cancellation
    /// Nothing happens.
    pub async fn read_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Result<Option<EntityRef<E>>, ReadError>> {
        let mut found = self.get_many(keys);
        let (mut cold, mut places) = (Vec::new(), Vec::new());
        for (place, key) in found.iter_mut().zip(keys) {
            if let Err(ReadError::Cold(_)) = place
                && let Ok(Looked::Cold(entity)) = self.looked(key.as_ref())
            {
                cold.push(entity);
                places.push(place);
            }
        }
        let read = if cold.is_empty() { Vec::new() } else { read_all(cold).await };
        places.into_iter().zip(read).for_each(|(place, read)| *place = read.map(Some));
        found
    }

    /// As [`View::scan`], with all entities: those that are not in memory are read.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`] of the first one; [`View::scan`] has its key all the same. [`ReadError::Stale`],
    /// [`ReadError::Refused`] or [`ReadError::NoSuchShard`].
    ///
    /// # Cancellation
    /// Nothing happens.
    pub async fn read_scan(&self, shard: ShardId, from: u64, limit: usize) -> Result<ScanPage<E>, ReadError> {
        let Pass { entries, next } = self.pass(shard, from, limit, usize::MAX)?;
        let read = read_through(entries).await.into_iter().map(|(key, entity)| Ok((key, Some(entity?))));
        Ok(ScanPage { entries: read.collect::<Result<_, ReadError>>()?, next })
    }

    /// As [`View::pass`], with the entities of those that are not in memory; what cannot be read has none.
    pub(crate) async fn read_pass(
        &self,
        shard: ShardId,
        from: u64,
        limit: usize,
        cold_max: usize,
    ) -> Result<ScanPage<E>, ReadError> {
        let Pass { entries, next } = self.pass(shard, from, limit, cold_max)?;
        let read = read_through(entries).await.into_iter().map(|(key, entity)| (key, entity.ok()));
        Ok(ScanPage { entries: read.collect(), next })
    }
}

/// Reads what a pass has found and not had, in its order.
async fn read_through<E: Send + Sync + 'static>(
    found: Vec<(Vec<u8>, Looked<E>)>,
) -> Vec<(Vec<u8>, Result<EntityRef<E>, ReadError>)> {
    let (mut cold, mut keys) = (Vec::new(), Vec::with_capacity(found.len()));
    for (key, looked) in found {
        let here = match looked {
            Looked::Done(entity) => entity,
            Looked::Cold(entity) => {
                cold.push(entity);
                None
            }
        };
        keys.push((key, here));
    }
    let mut read = if cold.is_empty() { Vec::new() } else { read_all(cold).await }.into_iter();
    let all = keys.into_iter().filter_map(|(key, here)| Some((key, here.map(Ok).or_else(|| read.next())?)));
    all.collect()
}

/// Reads them all, in their order.
async fn read_all<E: Send + Sync + 'static>(cold: Vec<ColdEntity<E>>) -> Vec<Result<EntityRef<E>, ReadError>> {
    let cached: Option<Vec<_>> = cold.iter().map(|entity| entity.cached().map(Ok)).collect();
    if let Some(cached) = cached {
        return cached;
    }
    let Some(reader) = cold.iter().find_map(|entity| entity.cold.clone()) else {
        return failed(&cold, ColdFault::Missing);
    };
    let interrupted = failed(&cold, ColdFault::Disk(io::ErrorKind::Interrupted));
    let (answer, answered) = oneshot::channel();
    reader.hand(Box::new(move || {
        // Whoever has gone meanwhile wants nothing.
        if !answer.is_closed() {
            let _ = answer.send(cold.iter().map(|entity| entity.read().map_err(ReadError::from)).collect());
        }
    }));
    // There is no thread to be had.
    answered.await.unwrap_or(interrupted)
}

/// None of them can be read, for this reason.
fn failed<E>(cold: &[ColdEntity<E>], why: ColdFault) -> Vec<Result<EntityRef<E>, ReadError>> {
    cold.iter().map(|entity| Err(entity.unreadable(why).into())).collect()
}
