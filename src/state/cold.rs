//! What is not in memory: who reads it, and how much of each cold file is still referred to.
//!
//! Not here: files. The state knows where an entity lies, and somebody who can read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::map::{EntityRef, Entry, Tick};
use crate::model::{ColdFault, ColdSeq, Location, ShardId, Unreadable};

/// Reads entities that are not in memory. A root has one, which keeps the files open that its locations name.
pub trait ReadCold<E>: Send + Sync {
    /// The same entry with its entity, which is then of nobody's map. Blocks.
    ///
    /// # Errors
    /// [`Unreadable`] says why not.
    fn read(&self, cold: &Arc<Entry<E>>) -> Result<Arc<Entry<E>>, Unreadable>;

    /// The same if it can be had without the disk. Does not block.
    fn cached(&self, cold: &Entry<E>) -> Option<Arc<Entry<E>>>;

    /// It was read again within a while, and this came of it: it may come back to memory. A hint.
    fn again(&self, _cold: &Arc<Entry<E>>, _here: &Arc<Entry<E>>) {}

    /// Has a job done on a thread that may block. One that is dropped was not done.
    fn hand(&self, job: Box<dyn FnOnce() + Send>);
}

/// What a view finds under a key.
pub(crate) enum Looked<E> {
    /// The entity, or nothing.
    Done(Option<EntityRef<E>>),
    /// It is not in memory.
    Cold(ColdEntity<E>),
}

/// An entity that is not in memory, and who can read it. It stays what it was when it was found.
pub(crate) struct ColdEntity<E> {
    pub(crate) shard: ShardId,
    pub(crate) cold: Option<Arc<dyn ReadCold<E>>>,
    pub(crate) entry: Arc<Entry<E>>,
    pub(crate) at: Location,
    /// When it is used; none: to pass over it is no use of it.
    pub(crate) now: Option<Tick>,
}

impl<E> ColdEntity<E> {
    /// Reads it. Blocks.
    pub(crate) fn read(&self) -> Result<EntityRef<E>, Unreadable> {
        let here = read_cold(self.cold.as_deref(), self.shard, &self.entry)?;
        self.used(&here);
        EntityRef::of(&here).map_err(|_| self.unreadable(ColdFault::Missing))
    }

    /// What can be had of it without the disk. Does not block.
    pub(crate) fn cached(&self) -> Option<EntityRef<E>> {
        let here = self.cold.as_deref()?.cached(&self.entry)?;
        self.used(&here);
        EntityRef::of(&here).ok()
    }

    fn used(&self, here: &Arc<Entry<E>>) {
        if let (Some(now), Some(cold)) = (self.now, &self.cold)
            && self.entry.used(now)
        {
            cold.again(&self.entry, here);
        }
    }

    /// It cannot be read, for this reason.
    pub(crate) fn unreadable(&self, why: ColdFault) -> Unreadable {
        Unreadable::new(self.shard, self.at, why)
    }
}

/// Has an entry read by whoever can; where nobody can, its file is missing.
pub fn read_cold<E>(
    cold: Option<&dyn ReadCold<E>>,
    shard: ShardId,
    entry: &Arc<Entry<E>>,
) -> Result<Arc<Entry<E>>, Unreadable> {
    match (entry.location(), cold) {
        (None, _) => Ok(Arc::clone(entry)),
        (Some(_), Some(cold)) => cold.read(entry),
        (Some(location), None) => Err(Unreadable::new(shard, location, ColdFault::Missing)),
    }
}

/// How many values of each cold file the working map refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColdUse {
    files: BTreeMap<ColdSeq, u64>,
    /// Of all files.
    values: u64,
}

impl ColdUse {
    /// One more.
    pub fn add(&mut self, location: Location) {
        *self.files.entry(location.file).or_default() += 1;
        self.values += 1;
    }

    /// One less.
    pub fn remove(&mut self, location: Location) {
        let Some(count) = self.files.get_mut(&location.file) else {
            debug_assert!(false, "{location:?} was counted when it came");
            return;
        };
        *count -= 1;
        self.values -= 1;
        if *count == 0 {
            self.files.remove(&location.file);
        }
    }

    /// Values of a file.
    #[must_use]
    pub fn of(&self, file: ColdSeq) -> u64 {
        self.files.get(&file).copied().unwrap_or(0)
    }

    /// The files that have any, ascending, with how many.
    pub fn files(&self) -> impl Iterator<Item = (ColdSeq, u64)> {
        self.files.iter().map(|(file, count)| (*file, *count))
    }

    /// Values of all files.
    #[must_use]
    pub fn values(&self) -> u64 {
        self.values
    }
}

#[cfg(all(test, not(loom)))]
#[expect(clippy::unwrap_used, reason = "this is a test")]
mod tests;
