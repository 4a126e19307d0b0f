//! Reading one value of a cold file: one positional read of its page, from any thread.
//!
//! Invariants: nothing of a page is handed on that was not verified, and no value but under its own key; no room is
//! made for what the file has not. Neither header nor footer is looked at, nor another page: what is damaged costs the
//! values that lie there and no others.
//!
//! Not here: a cache. A [`Page`] can be kept, and holds no file open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::page::{self, PageHeader};
use super::{ColdError, ColdId};
use crate::model::Location;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::error::IoContext;
use crate::storage::layout::Layout;
use crate::sync::Arc;

/// A cold file, open for reading. Its name may go meanwhile; what is open can be read on.
#[derive(Debug)]
pub struct ColdFile {
    file: Box<dyn DiskFile>,
    path: Arc<PathBuf>,
    id: ColdId,
    hash_key: [u8; 32],
    bytes: u64,
}

/// A verified page. Clones share its bytes.
#[derive(Clone)]
pub struct Page {
    bytes: Bytes,
    header: PageHeader,
    path: Arc<PathBuf>,
}

impl ColdFile {
    /// Opens a file that was finished. Nothing of it is read.
    ///
    /// # Errors
    /// [`ColdError::Missing`], or a call failed.
    pub fn open(disk: &dyn Disk, layout: &Layout, id: ColdId) -> Result<Self, ColdError> {
        let path = layout.cold(id.shard, id.file);
        let file = open(disk, &path)?;
        let bytes = file.size().context("measure", &path)?;
        Ok(Self { file, path: Arc::new(path), id, hash_key: id.hash_key(), bytes })
    }

    /// Reads the page of a location and verifies it. One read, whose length the location says.
    ///
    /// # Errors
    /// [`ColdError::Damaged`]: it does not verify. [`ColdError::Foreign`]: the location is of another file. Or the read
    /// failed.
    pub fn page(&self, location: Location) -> Result<Page, ColdError> {
        let damaged = |reason| ColdError::damaged(&self.path, location.sector.into(), reason);
        if location.file != self.id.file {
            let reason = "the location is of another file";
            return Err(ColdError::Foreign { path: self.path.to_path_buf(), reason });
        }
        if location.offset() + location.bytes() > self.bytes {
            return Err(damaged("the file ends in front of the page's end"));
        }
        let mut bytes = vec![0; location.bytes() as usize];
        let read = self.file.read_at(&mut bytes, location.offset()).context("read", &self.path)?;
        if read != bytes.len() {
            return Err(damaged("the file ends in front of the page's end"));
        }
        let header = PageHeader::decode(&bytes, &self.hash_key).ok_or_else(|| damaged("this is no page"))?;
        if (header.sector, header.sectors) != (location.sector, location.sectors) {
            return Err(damaged("this is another page"));
        }
        if !page::verify(&bytes, &header, &self.hash_key) {
            return Err(damaged("a page does not verify"));
        }
        Ok(Page { bytes: Bytes::from(bytes), header, path: self.path.clone() })
    }
}

impl Page {
    /// The value in this slot, which must be that of this key.
    ///
    /// # Errors
    /// [`ColdError::Slot`]: there is no such slot, or it has another key. [`ColdError::Damaged`]: the page verifies and
    /// does not add up.
    pub fn value(&self, slot: u16, key: &[u8]) -> Result<&[u8], ColdError> {
        let sector = u64::from(self.header.sector);
        let wrong = |reason| ColdError::Slot { path: self.path.to_path_buf(), sector, slot, reason };
        if slot >= self.header.slots {
            return Err(wrong("the page has no such slot"));
        }
        let found = page::slots(self.header.payload(&self.bytes)).nth(slot.into()).flatten();
        let found = found.ok_or_else(|| ColdError::damaged(&self.path, sector, "a verified page does not add up"))?;
        if found.key == key { Ok(found.value) } else { Err(wrong("it has another key")) }
    }

    /// Schema of its values.
    #[must_use]
    pub fn schema(&self) -> u32 {
        self.header.schema
    }

    /// So much memory it holds, for whoever keeps it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// Without the values: they are the application's, and long.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("path", &self.path).field("header", &self.header).finish_non_exhaustive()
    }
}

/// Opens a file for reading.
pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, ColdError> {
    match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ColdError::Missing { path: path.to_owned() }),
        other => Ok(other.context("open", path)?),
    }
}
