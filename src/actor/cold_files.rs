//! The cold files that a shard's state refers to, as one root knows them: who reads what is not in memory.
//!
//! A root has one of these and with it keeps its files open, so that it reads on when they have been unlinked. The
//! pages that were read are in a cache that all shards share.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::cold_readers::{ColdReaders, Job};
use super::replay::entity_bytes;
use super::returns::Returns;
use super::slot::Entity;
use crate::machine::StateMachine;
use crate::model::{ColdFault, ColdSeq, Location, ShardId, Unreadable};
use crate::state::ReadCold;
use crate::state::map::{Entry, Key};
use crate::storage::codec;
use crate::storage::cold::{ColdError, ColdFile, Page};
use crate::sync::Arc;
use crate::sync::counters::Counter;

/// The files, by number. One that could not be opened is not among them.
pub(crate) type Open = BTreeMap<ColdSeq, Arc<ColdFile>>;

/// See the module.
pub(crate) struct ColdFiles<M: StateMachine> {
    shard: ShardId,
    machine: Arc<M>,
    files: Open,
    pages: Arc<Pages>,
    /// Where what is read again goes; nowhere, unless there is a shard.
    returns: Option<Arc<Returns<Entity<M>>>>,
}

/// Pages that were read, of all shards, within a bound, and who reads more.
pub(crate) struct Pages {
    cache: Cache<(ShardId, ColdSeq, u32), Page, ByBytes>,
    pub(crate) reads: Counter,
    pub(crate) hits: Counter,
    readers: ColdReaders,
}

/// So many entries are made room for at first.
const EXPECTED_PAGES: usize = 256;
/// What a page takes in the cache beside its bytes.
const PAGE_OVERHEAD_BYTES: u64 = 192;

#[derive(Clone)]
struct ByBytes;

impl Weighter<(ShardId, ColdSeq, u32), Page> for ByBytes {
    fn weight(&self, _place: &(ShardId, ColdSeq, u32), page: &Page) -> u64 {
        page.bytes() as u64 + PAGE_OVERHEAD_BYTES
    }
}

impl Pages {
    /// For pages of so many bytes. Empty, and as small as that.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        let cache = Cache::with_weighter(EXPECTED_PAGES, bytes, ByBytes);
        let (reads, hits) = (Counter::default(), Counter::default());
        Arc::new(Self { cache, reads, hits, readers: ColdReaders::new() })
    }

    /// What the pages in there take.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl<M: StateMachine> ColdFiles<M> {
    pub(crate) fn new(shard: ShardId, machine: Arc<M>, files: Open, pages: Arc<Pages>) -> Self {
        Self { shard, machine, files, pages, returns: None }
    }

    pub(crate) fn files(&self) -> &Open {
        &self.files
    }

    /// The same with other files.
    pub(crate) fn with(&self, files: Open) -> Self {
        let (machine, pages) = (Arc::clone(&self.machine), Arc::clone(&self.pages));
        Self { shard: self.shard, machine, files, pages, returns: self.returns.clone() }
    }

    /// The same for a shard, which takes back what is read again.
    pub(crate) fn returning(self, to: Arc<Returns<Entity<M>>>) -> Self {
        Self { returns: Some(to), ..self }
    }

    /// The page of a location, from the cache or the file.
    fn page(&self, at: Location) -> Result<Page, ColdFault> {
        let place = (self.shard, at.file, at.sector);
        if let Some(page) = self.pages.cache.get(&place) {
            self.pages.hits.add(1);
            return Ok(page);
        }
        let file = self.files.get(&at.file).ok_or(ColdFault::Missing)?;
        let page = file.page(at).map_err(|error| fault(&error))?;
        self.pages.reads.add(1);
        self.pages.cache.insert(place, page.clone());
        Ok(page)
    }

    fn entry(&self, cold: &Entry<Entity<M>>, at: Location, page: &Page) -> Result<Arc<Entry<Entity<M>>>, ColdFault> {
        let value = page.value(at.slot, cold.key()).map_err(|error| fault(&error))?;
        // The application's code.
        let entity = catch_unwind(AssertUnwindSafe(|| {
            let entity = match page.schema() {
                schema if schema == M::SCHEMA => codec::decode(value),
                schema => self.machine.upcast_entity(schema, value),
            };
            entity.map(|entity| (entity_bytes(&*self.machine, &entity), entity))
        }));
        let (bytes, entity) = entity.ok().and_then(Result::ok).ok_or(ColdFault::Undecodable)?;
        Ok(Arc::new(Entry::new(cold.hash(), Key::from_slice(cold.key()), entity, bytes)))
    }
}

impl<M: StateMachine> ReadCold<Entity<M>> for ColdFiles<M> {
    fn read(&self, cold: &Arc<Entry<Entity<M>>>) -> Result<Arc<Entry<Entity<M>>>, Unreadable> {
        let Some(at) = cold.location() else { return Ok(Arc::clone(cold)) };
        let read = self.page(at).and_then(|page| self.entry(cold, at, &page));
        read.map_err(|why| {
            let unreadable = Unreadable::new(self.shard, at, why);
            tracing::error!(error = %unreadable, "a value cannot be read");
            unreadable
        })
    }

    fn cached(&self, cold: &Entry<Entity<M>>) -> Option<Arc<Entry<Entity<M>>>> {
        let at = cold.location()?;
        let page = self.pages.cache.get(&(self.shard, at.file, at.sector))?;
        let here = self.entry(cold, at, &page).ok()?;
        self.pages.hits.add(1);
        Some(here)
    }

    fn again(&self, cold: &Arc<Entry<Entity<M>>>, here: &Arc<Entry<Entity<M>>>) {
        if let Some(returns) = &self.returns {
            returns.offer(cold, here);
        }
    }

    fn hand(&self, job: Job) {
        self.pages.readers.hand(job);
    }
}

fn fault(error: &ColdError) -> ColdFault {
    match error {
        ColdError::Missing { .. } => ColdFault::Missing,
        ColdError::Disk(error) => ColdFault::Disk(error.source.kind()),
        _ => ColdFault::Damaged,
    }
}
