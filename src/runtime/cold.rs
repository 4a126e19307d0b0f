//! Reading what is not in memory: off the runtime's workers, a page of a cold file for each key.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::iter::Peekable;

use tokio::sync::oneshot;

use crate::error::ReadError;
use crate::model::{ColdFault, Location, ShardId};
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

/// So many parts are with a thread at a time: one call leaves half of the threads to others.
const PARTS: usize = 8;
/// A part has so many, and what lies in the page of its last: to hand it over costs about what it takes to read one.
const PART: usize = 8;

/// Reads them all, in their order.
async fn read_all<E: Send + Sync + 'static>(cold: Vec<ColdEntity<E>>) -> Vec<Result<EntityRef<E>, ReadError>> {
    let (mut read, mut missing) = (Vec::with_capacity(cold.len()), Vec::new());
    for entity in cold {
        let here = entity.cached().map(Ok);
        if here.is_none() {
            missing.push(entity);
        }
        read.push(here);
    }
    let mut rest = if missing.is_empty() { Vec::new() } else { read_missing(missing).await }.into_iter();
    read.into_iter().filter_map(|here| here.or_else(|| rest.next())).collect()
}

/// Reads what no cache has, in parts.
async fn read_missing<E: Send + Sync + 'static>(cold: Vec<ColdEntity<E>>) -> Vec<Result<EntityRef<E>, ReadError>> {
    let Some(reader) = cold.iter().find_map(|entity| entity.cold.clone()) else {
        return failed(&cold, ColdFault::Missing);
    };
    let mut all = Vec::with_capacity(cold.len());
    let mut left = cold.into_iter().peekable();
    let mut parts = VecDeque::new();
    loop {
        while parts.len() < PARTS && left.peek().is_some() {
            parts.push_back(begin_reading(&*reader, next_part(&mut left)));
        }
        let Some(first) = parts.pop_front() else { return all };
        all.extend(first.await);
    }
}

fn next_part<E>(left: &mut Peekable<std::vec::IntoIter<ColdEntity<E>>>) -> Vec<ColdEntity<E>> {
    let mut part: Vec<_> = left.by_ref().take(PART).collect();
    let page = |entity: &ColdEntity<E>| Location { slot: 0, ..entity.at };
    let last = part.last().map(|entity| (entity.shard, page(entity)));
    while let Some(entity) = left.next_if(|entity| Some((entity.shard, page(entity))) == last) {
        part.push(entity);
    }
    part
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
        let wanted = cold.iter().take_while(|_| !answer.is_closed());
        let read = wanted.map(|entity| entity.read().map_err(ReadError::from)).collect();
        let _ = answer.send(read);
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

    use crate::model::{ColdSeq, Unreadable};
    use crate::state::map::{Entry, Key};
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// More than any of this takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Reads as soon as so many want to at a time, and then all that come.
    struct Together {
        wanted: usize,
        /// Those of even numbers.
        caches: bool,
        came: AtomicUsize,
        done: AtomicUsize,
        jobs: AtomicUsize,
        /// So many were to be read at a time, where a part has no more than it has to.
        most: AtomicUsize,
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
            self.done.fetch_add(1, Ordering::SeqCst);
            Ok(Arc::new(Entry::new(cold.hash(), Key::from_slice(cold.key()), at.slot, 2)))
        }

        fn cached(&self, cold: &Entry<u16>) -> Option<Arc<Entry<u16>>> {
            let slot = cold.location().unwrap().slot;
            let is_there = self.caches && slot.is_multiple_of(2);
            is_there.then(|| Arc::new(Entry::new(cold.hash(), Key::from_slice(cold.key()), slot, 2)))
        }

        fn hand(&self, job: Box<dyn FnOnce() + Send>) {
            let jobs = self.jobs.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max((PART * jobs).saturating_sub(self.done.load(Ordering::SeqCst)), Ordering::SeqCst);
            thread::spawn(job);
        }
    }

    /// Reads so many entities.
    async fn read(count: u16, per_page: u16, (wanted, caches): (usize, bool)) -> (Arc<Together>, Vec<u16>) {
        let [came, done, jobs, most] = [0; 4].map(AtomicUsize::new);
        let together = Arc::new(Together { wanted, caches, came, done, jobs, most });
        let cold = (0..count).map(|slot| {
            let at = Location { file: ColdSeq(1), sector: u32::from(slot / per_page), sectors: 8, slot };
            let entry = Arc::new(Entry::cold(u64::from(slot), Key::from_slice(b"key"), at));
            let cold = Some(Arc::clone(&together) as Arc<dyn ReadCold<u16>>);
            ColdEntity { shard: ShardId(0), cold, entry, at, now: None }
        });
        let read = read_all(cold.collect()).await;
        (together, read.into_iter().map(|entity| *entity.unwrap()).collect())
    }

    #[tokio::test]
    async fn many_are_shared_by_some_threads_and_come_in_order() {
        for (count, at_a_time, parts) in [(1, 1, 1), (8, 1, 1), (9, 2, 2), (64, 8, 8), (65, 8, 9), (1000, 8, 125)] {
            let (together, read) = read(count, 1, (at_a_time, false)).await;
            assert_eq!(read, (0..count).collect::<Vec<_>>());
            assert_eq!(together.jobs.load(Ordering::SeqCst), parts, "{count} keys");
            let most = together.most.load(Ordering::SeqCst);
            assert!(most <= PARTS * PART, "{most} of {count} are with threads, and others wait for these");
        }
    }

    /// Several would read it several times.
    #[tokio::test]
    async fn a_page_is_in_one_part() {
        for (per_page, parts) in [(5, 10), (20, 5), (100, 1)] {
            let (together, read) = read(100, per_page, (1, false)).await;
            assert_eq!(read, (0..100).collect::<Vec<_>>());
            assert_eq!(together.jobs.load(Ordering::SeqCst), parts, "{per_page} a page");
        }
    }

    /// It would count as used twice.
    #[tokio::test]
    async fn what_a_cache_has_is_not_read() {
        let (together, read) = read(100, 1, (1, true)).await;
        assert_eq!(read, (0..100).collect::<Vec<_>>());
        assert_eq!(together.done.load(Ordering::SeqCst), 50);
    }
}
