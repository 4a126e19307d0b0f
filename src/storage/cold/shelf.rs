//! The cold files of one shard, for whoever reads many values in the order of hashes, which is about the order in which
//! each file has them: a file is opened once, and its last page is kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::page::PAGE_BYTES;
use super::{ColdError, ColdFile, ColdId, Page};
use crate::model::{ColdSeq, DirectoryId, Location, ShardId};
use crate::storage::disk::Disk;
use crate::storage::layout::Layout;

/// See the module.
#[derive(Debug)]
pub struct Shelf<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    directory: DirectoryId,
    shard: ShardId,
    /// A page that is longer than most is not kept: there may be many files.
    files: BTreeMap<ColdSeq, (ColdFile, Option<(Location, Page)>)>,
    /// The page of the value that was asked for last.
    page: Option<Page>,
}

impl<'a> Shelf<'a> {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(disk: &'a dyn Disk, layout: &'a Layout, directory: DirectoryId, shard: ShardId) -> Self {
        Self { disk, layout, directory, shard, files: BTreeMap::new(), page: None }
    }

    /// The schema and the bytes of a value.
    ///
    /// # Errors
    /// [`ColdError`]: the file or the page cannot be read, or has no such value.
    pub fn value(&mut self, key: &[u8], location: Location) -> Result<(u32, &[u8]), ColdError> {
        let page = self.page(Location { slot: 0, ..location })?;
        let page = self.page.insert(page);
        Ok((page.schema(), page.value(location.slot, key)?))
    }

    fn page(&mut self, at: Location) -> Result<Page, ColdError> {
        let Self { disk, layout, directory, shard, ref mut files, .. } = *self;
        let (file, last) = match files.entry(at.file) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert((ColdFile::open(disk, layout, ColdId { directory, shard, file: at.file })?, None))
            }
        };
        if let Some((place, page)) = last
            && *place == at
        {
            return Ok(page.clone());
        }
        let page = file.page(at)?;
        *last = (page.bytes() <= PAGE_BYTES).then(|| (at, page.clone()));
        Ok(page)
    }
}
