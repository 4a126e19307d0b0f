//! Reading what is not in memory: off the runtime's workers, a page of a cold file for each key.

use std::future::Future;
use std::io;

use tokio::sync::oneshot;

use crate::error::ReadError;
use crate::model::{ColdFault, ShardId};
use crate::state::{ColdEntity, EntityRef, Looked, Pass, ReadCold, ScanPage, View};

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

    /// The entities under many keys, in the order of the keys: [`View::read`] for all of them, where up to eight
    /// threads share those that are not in memory.
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

/// In so many parts at most: half of the threads are left to others.
const PARTS: usize = 8;
/// A part has so many at least: to hand it over costs about what it takes to read one.
const PART: usize = 8;

/// Reads them all, in their order.
async fn read_all<E: Send + Sync + 'static>(cold: Vec<ColdEntity<E>>) -> Vec<Result<EntityRef<E>, ReadError>> {
    let cached: Option<Vec<_>> = cold.iter().map(|entity| entity.cached().map(Ok)).collect();
    if let Some(cached) = cached {
        return cached;
    }
    let Some(reader) = cold.iter().find_map(|entity| entity.cold.clone()) else {
        return failed(&cold, ColdFault::Missing);
    };
    let (mut all, mut left) = (Vec::with_capacity(cold.len()), cold);
    let length = left.len().div_ceil(PARTS).max(PART);
    let mut parts = Vec::new();
    while !left.is_empty() {
        let behind = left.split_off(length.min(left.len()));
        parts.push(begin_reading(&*reader, std::mem::replace(&mut left, behind)));
    }
    for part in parts {
        all.extend(part.await);
    }
    all
}

/// Has some read by a thread, whether anybody waits for it yet or not.
fn begin_reading<E: Send + Sync + 'static>(
    reader: &dyn ReadCold<E>,
    cold: Vec<ColdEntity<E>>,
) -> impl Future<Output = Vec<Result<EntityRef<E>, ReadError>>> + use<E> {
    let interrupted = failed(&cold, ColdFault::Disk(io::ErrorKind::Interrupted));
    let (answer, answered) = oneshot::channel();
    reader.hand(Box::new(move || {
        // Whoever has gone meanwhile wants nothing.
        if !answer.is_closed() {
            let _ = answer.send(cold.iter().map(|entity| entity.read().map_err(ReadError::from)).collect());
        }
    }));
    // There is no thread to be had.
    async { answered.await.unwrap_or(interrupted) }
}

/// None of them can be read, for this reason.
fn failed<E>(cold: &[ColdEntity<E>], why: ColdFault) -> Vec<Result<EntityRef<E>, ReadError>> {
    cold.iter().map(|entity| Err(entity.unreadable(why).into())).collect()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::model::{ColdSeq, Location, Unreadable};
    use crate::state::map::{Entry, Key};
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// More than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Reads as soon as so many want to at a time, and then all that come.
    struct Together {
        wanted: usize,
        came: AtomicUsize,
        jobs: AtomicUsize,
    }

    impl ReadCold<u16> for Together {
        fn read(&self, cold: &Arc<Entry<u16>>) -> Result<Arc<Entry<u16>>, Unreadable> {
            self.came.fetch_add(1, Ordering::SeqCst);
            let at = cold.location().unwrap();
            let began = Instant::now();
            while self.came.load(Ordering::SeqCst) < self.wanted {
                if began.elapsed() > PATIENCE {
                    return Err(Unreadable::new(ShardId(0), at, ColdFault::Disk(io::ErrorKind::TimedOut)));
                }
                thread::yield_now();
            }
            Ok(Arc::new(Entry::new(cold.hash(), Key::from_slice(cold.key()), at.slot, 2)))
        }

        fn cached(&self, _cold: &Entry<u16>) -> Option<Arc<Entry<u16>>> {
            None
        }

        fn hand(&self, job: Box<dyn FnOnce() + Send>) {
            self.jobs.fetch_add(1, Ordering::SeqCst);
            thread::spawn(job);
        }
    }

    async fn read(count: u16, wanted: usize) -> (usize, Vec<u16>) {
        let together = Arc::new(Together { wanted, came: AtomicUsize::new(0), jobs: AtomicUsize::new(0) });
        let cold = (0..count).map(|slot| {
            let at = Location { file: ColdSeq(1), sector: 1, sectors: 8, slot };
            let entry = Arc::new(Entry::cold(u64::from(slot), Key::from_slice(b"key"), at));
            let cold = Some(Arc::clone(&together) as Arc<dyn ReadCold<u16>>);
            ColdEntity { shard: ShardId(0), cold, entry, at, now: None }
        });
        let read = read_all(cold.collect()).await;
        let jobs = together.jobs.load(Ordering::SeqCst);
        (jobs, read.into_iter().map(|entity| *entity.unwrap()).collect())
    }

    #[tokio::test]
    async fn many_are_shared_by_some_threads_and_come_in_order() {
        for (count, threads) in [(1, 1), (8, 1), (9, 2), (64, 8), (65, 8), (1000, 8)] {
            let (jobs, read) = read(count, threads).await;
            assert_eq!(read, (0..count).collect::<Vec<_>>());
            assert_eq!(jobs, threads, "{count} keys");
        }
    }
}
