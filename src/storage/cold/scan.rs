//! Reading a whole cold file in order, over whatever is damaged in it.
//!
//! Invariants: every value of every page that verifies is visited once, and nothing else; what does not verify is
//! reported, and the scan goes on behind it: behind the page if its header is sound, else at the next sector with a
//! header that verifies as that of its place. Memory is bounded by a window and the longest page, no room is made for a
//! length that was not verified, and what is read comes from the disk and not from a cache.
//!
//! What was reported may stand for more than one page: where no header is sound nobody knows how many there were.

use std::path::Path;

use super::file::open;
use super::footer::{self, Content, Footer};
use super::page::{self, PageHeader};
use super::{ColdError, ColdHeader, ColdId, NoHeader, SECTOR_BYTES, VERSION};
use crate::model::Location;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::error::IoContext;
use crate::storage::layout::Layout;

/// So much is read at once. A longer page is read by itself.
const WINDOW_BYTES: usize = 256 * 1024;

/// What a scan has come to.
#[derive(Debug)]
pub enum Found<'a> {
    /// A value of a page that verifies.
    Value(Value<'a>),
    /// Something that is not what was written.
    Damaged(ColdError),
}

/// A value, as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// Where.
    pub location: Location,
    /// Schema of the value.
    pub schema: u32,
    /// Its key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// What is in a file. Only pages that verify are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// What it says about itself, if its header verifies.
    pub header: Option<ColdHeader>,
    /// Length of the file.
    pub bytes: u64,
    /// Count of pages.
    pub pages: u64,
    /// Count of values.
    pub values: u64,
    /// Used bytes of all pages.
    pub payload_bytes: u64,
    /// Nothing is damaged, and nothing missing: header and footer say so.
    pub is_whole: bool,
}

/// Reads a file and hands all that is found to `visit`, in the order of the file. An error of `visit` ends it.
///
/// # Errors
/// Those of `visit`; a call failed; [`ColdError::Missing`]; and, if the header says so,
/// [`ColdError::Foreign`] and [`ColdError::NewerFormat`], of which no page would verify.
pub fn scan<E: From<ColdError>>(
    disk: &dyn Disk,
    layout: &Layout,
    id: ColdId,
    visit: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
) -> Result<Scanned, E> {
    let path = layout.cold(id.shard, id.file);
    let file = open(disk, &path)?;
    let bytes = prepare(file.as_ref(), &path)?;
    let window = Window { file: file.as_ref(), path: &path, size: bytes, start: 0, bytes: Vec::new() };
    let hash_key = id.hash_key();
    let content = Content::new(&hash_key, &[0; 32]);
    let scanned = Scanned { header: None, bytes, pages: 0, values: 0, payload_bytes: 0, is_whole: true };
    let scanned = Scan { path: &path, id, hash_key, window, visit, content, scanned }.run();
    // Nobody reads all of it again.
    let _ = file.drop_cache();
    scanned
}

fn prepare(file: &dyn DiskFile, path: &Path) -> Result<u64, ColdError> {
    file.drop_cache().context("drop the cache of", path)?;
    Ok(file.size().context("measure", path)?)
}

struct Scan<'a, E> {
    path: &'a Path,
    id: ColdId,
    hash_key: [u8; 32],
    window: Window<'a>,
    visit: &'a mut dyn FnMut(Found<'_>) -> Result<(), E>,
    content: Content,
    scanned: Scanned,
}

impl<E: From<ColdError>> Scan<'_, E> {
    fn run(mut self) -> Result<Scanned, E> {
        self.header()?;
        let end = self.scanned.bytes / Location::SECTOR_BYTES;
        let mut at = 1;
        let mut is_lost = false;
        while at < end {
            if let Some(header) = self.page_header(at, end)? {
                self.page(at, &header)?;
                at += u64::from(header.sectors);
                is_lost = false;
            } else if at + 1 == end {
                break;
            } else {
                // One report until a page is found again, however many sectors that takes.
                if !is_lost {
                    self.report(at, "this is no page")?;
                }
                is_lost = true;
                at += 1;
            }
        }
        self.footer(at)?;
        Ok(self.scanned)
    }

    fn header(&mut self) -> Result<(), E> {
        let (header, hash) = match ColdHeader::decode(self.window.get(0, SECTOR_BYTES)?) {
            Ok(decoded) => decoded,
            Err(NoHeader::Invalid) => return self.report(0, "its header does not verify"),
            Err(NoHeader::Newer(found)) => {
                let path = self.path.to_owned();
                return Err(ColdError::NewerFormat { path, found, supported: VERSION }.into());
            }
        };
        if header.id != self.id {
            let reason = "it is of another directory or shard, or has another number";
            return Err(ColdError::Foreign { path: self.path.to_owned(), reason }.into());
        }
        self.content = Content::new(&self.hash_key, &hash);
        self.scanned.header = Some(header);
        Ok(())
    }

    /// The header of the page that begins here, if there is one and the file has room for the page.
    fn page_header(&mut self, at: u64, end: u64) -> Result<Option<PageHeader>, E> {
        let bytes = self.window.get(at * Location::SECTOR_BYTES, page::HEADER_BYTES)?;
        let header = PageHeader::decode(bytes, &self.hash_key);
        Ok(header.filter(|header| u64::from(header.sector) == at && u64::from(header.sectors) <= end - at))
    }

    fn page(&mut self, at: u64, header: &PageHeader) -> Result<(), E> {
        let page = self.window.get(at * Location::SECTOR_BYTES, header.bytes())?;
        if !page::verify(page, header, &self.hash_key) {
            return self.report(at, "a page does not verify");
        }
        let payload = header.payload(page);
        if !header.adds_up(payload) {
            return self.report(at, "a verified page does not add up");
        }
        let PageHeader { schema, sector, sectors, .. } = *header;
        for (slot, found) in (0..).zip(page::slots(payload).flatten()) {
            let location = Location { file: self.id.file, sector, sectors, slot };
            (self.visit)(Found::Value(Value { location, schema, key: found.key, value: found.value }))?;
        }
        self.content.add(&header.hash);
        self.scanned.pages += 1;
        self.scanned.values += u64::from(header.slots);
        self.scanned.payload_bytes += u64::from(header.used);
        Ok(())
    }

    /// Looks at what should be the last sector. Behind damage its hash cannot verify, and its counts would not add up:
    /// all that is known then is whether there is one.
    fn footer(&mut self, at: u64) -> Result<(), E> {
        let bytes = self.window.get(at * Location::SECTOR_BYTES, SECTOR_BYTES)?;
        if !footer::looks_like_one(bytes) {
            return self.report(at, "there is no footer");
        }
        let Scanned { pages, values, payload_bytes, bytes: file_bytes, is_whole, .. } = self.scanned;
        let expected = Footer { pages, values, payload_bytes, file_bytes };
        match Footer::decode(bytes, &self.content) {
            _ if !is_whole => Ok(()),
            None => self.report(at, "its footer does not verify"),
            Some(found) if found != expected => self.report(at, "a verified footer does not add up"),
            Some(_) => Ok(()),
        }
    }

    fn report(&mut self, sector: u64, reason: &'static str) -> Result<(), E> {
        self.scanned.is_whole = false;
        (self.visit)(Found::Damaged(ColdError::damaged(self.path, sector, reason)))
    }
}

/// A stretch of the file in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    size: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// These bytes of the file, fewer if it ends there.
    fn get(&mut self, at: u64, length: usize) -> Result<&[u8], ColdError> {
        if at < self.start || at + length as u64 > self.start + self.bytes.len() as u64 {
            self.fill(at, length)?;
        }
        let from = at.saturating_sub(self.start) as usize;
        let found = self.bytes.get(from..).unwrap_or_default();
        Ok(found.get(..length).unwrap_or(found))
    }

    fn fill(&mut self, at: u64, length: usize) -> Result<(), ColdError> {
        let wanted = self.size.saturating_sub(at).min(length.max(WINDOW_BYTES) as u64);
        self.bytes.clear();
        self.bytes.shrink_to(WINDOW_BYTES);
        self.bytes.resize(wanted as usize, 0);
        self.start = at;
        let read = self.file.read_at(&mut self.bytes, at).context("read", self.path);
        // What was not read is not there.
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read?;
        Ok(())
    }
}
