//! Writing a cold file: under its own name, page by page. It counts only when it is whole and durable.
//!
//! Invariants: nobody learns a location before a sync of all of the file and one of its directory have returned `Ok`;
//! after any failure nothing is written any more, and the file is removed when the writer is dropped, as far as that
//! goes. The memory is bounded: one page, a buffer of pages, and eight bytes for each page.
//!
//! Not here: the record that names the file. Until there is one, the file is a left-over.

use std::path::PathBuf;

use super::footer::{Content, Footer};
use super::page::{self, PAGE_BYTES, fits};
use super::written::{Place, Written};
use super::{ColdHeader, ColdId, SECTOR_BYTES};
use crate::model::Location;
use crate::storage::disk::Disk;
use crate::storage::error::{DiskError, IoContext};
use crate::storage::layout::Layout;
use crate::storage::new_file::NewFile;

/// So much is written at once. A longer page is written by itself.
const BUFFER_BYTES: usize = 256 * 1024;

/// A cold file that is being written. Dropped before [`ColdWriter::finish`] has succeeded, it leaves nothing behind.
#[derive(Debug)]
pub struct ColdWriter<'d> {
    disk: &'d dyn Disk,
    file: NewFile,
    dir: PathBuf,
    is_durable: bool,
    header: ColdHeader,
    hash_key: [u8; 32],
    content: Content,
    /// Room for the next page's header, and its slots so far.
    page: Vec<u8>,
    page_schema: u32,
    page_slots: u16,
    /// The pages so far, in order: where values lie is told when they are durable.
    places: Vec<Place>,
    values: u64,
    payload_bytes: u64,
    /// What follows it in the file.
    buffer: Vec<u8>,
}

impl<'d> ColdWriter<'d> {
    /// Makes the file under its own name. The number must be one that nobody has used.
    ///
    /// # Errors
    /// [`AlreadyExists`]: there is one of that name; it was not touched. Or the call failed.
    ///
    /// [`AlreadyExists`]: std::io::ErrorKind::AlreadyExists
    pub fn create(disk: &'d dyn Disk, layout: &Layout, id: ColdId, schema: u32) -> Result<Self, DiskError> {
        let file = NewFile::create(disk, layout.cold(id.shard, id.file))?;
        let dir = layout.shard(id.shard);
        let header = ColdHeader { schema, id };
        let (bytes, hash) = header.encode();
        let hash_key = id.hash_key();
        let mut page = Vec::with_capacity(PAGE_BYTES);
        page.resize(page::HEADER_BYTES, 0);
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(&bytes);
        Ok(Self {
            disk,
            file,
            dir,
            is_durable: false,
            header,
            hash_key,
            content: Content::new(&hash_key, &hash),
            page,
            page_schema: schema,
            page_slots: 0,
            places: Vec::new(),
            values: 0,
            payload_bytes: 0,
            buffer,
        })
    }

    /// Adds a value of the schema that the file was made for. Writes and syncs now and then, so it may block.
    ///
    /// # Errors
    /// A call failed, now or before, or the value does not [`fit`](fits), or the file has become too long: it cannot be
    /// finished any more.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        self.push_as(self.header.schema, key, value)
    }

    /// Adds a value of any schema, which is copied from elsewhere.
    ///
    /// # Errors
    /// Those of [`ColdWriter::push`].
    pub fn push_as(&mut self, schema: u32, key: &[u8], value: &[u8]) -> Result<(), DiskError> {
        self.file.check()?;
        if !fits(key, value) {
            return Err(self.file.refuse("a value is too long"));
        }
        let is_full = self.page.len() + page::slot_bytes(key, value) > PAGE_BYTES;
        if is_full || schema != self.page_schema {
            self.close_page()?;
        }
        page::push(&mut self.page, key, value);
        self.page_schema = schema;
        self.page_slots += 1;
        if self.page.len() >= PAGE_BYTES { self.close_page() } else { Ok(()) }
    }

    /// Bytes so far, those included that make no whole page yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.end() + self.page.len().saturating_sub(page::HEADER_BYTES) as u64
    }

    /// Ends the file: when it returns `Ok` the file is whole and durable.
    ///
    /// # Errors
    /// A call failed, now or before. The file is removed again, as far as that goes; if it stays nobody names it.
    pub fn finish(mut self) -> Result<Written, DiskError> {
        self.file.check()?;
        self.close_page()?;
        let footer = Footer {
            pages: self.places.len() as u64,
            values: self.values,
            payload_bytes: self.payload_bytes,
            file_bytes: self.end() + SECTOR_BYTES as u64,
        };
        self.buffer.extend_from_slice(&footer.encode(&self.content));
        self.flush()?;
        self.file.sync()?;
        self.disk.sync_dir(&self.dir).context("sync", &self.dir)?;
        self.is_durable = true;
        // What is cold is not read soon, and memory is what it was written for.
        self.file.drop_cache();
        Ok(Written {
            file: self.header.id.file,
            bytes: self.file.written(),
            values: self.values,
            pages: self.places.len() as u64,
            payload_bytes: self.payload_bytes,
            places: std::mem::take(&mut self.places),
        })
    }

    /// Where the next page begins.
    fn end(&self) -> u64 {
        self.file.written() + self.buffer.len() as u64
    }

    fn close_page(&mut self) -> Result<(), DiskError> {
        if self.page_slots == 0 {
            return Ok(());
        }
        let Ok(sector) = u32::try_from(self.end() / Location::SECTOR_BYTES) else {
            return Err(self.file.refuse("the file is too long"));
        };
        let used = self.page.len().saturating_sub(page::HEADER_BYTES) as u64;
        let slots = self.page_slots;
        let hash = page::seal(&mut self.page, &self.hash_key, sector, slots, self.page_schema);
        self.content.add(&hash);
        self.places.push(Place { sector, sectors: (self.page.len() / SECTOR_BYTES) as u16, slots });
        self.values += u64::from(slots);
        self.payload_bytes += used;
        if self.buffer.len() + self.page.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if self.page.len() > BUFFER_BYTES {
            let page = std::mem::take(&mut self.page);
            self.file.write(&page)?;
        } else {
            self.buffer.extend_from_slice(&self.page);
        }
        self.page.clear();
        self.page.shrink_to(PAGE_BYTES);
        self.page.resize(page::HEADER_BYTES, 0);
        self.page_slots = 0;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for ColdWriter<'_> {
    fn drop(&mut self) {
        // Nobody names what is not durable. A left-over would only cost space until the next sweep.
        if !self.is_durable {
            let _ = self.disk.remove(self.file.path());
        }
    }
}
