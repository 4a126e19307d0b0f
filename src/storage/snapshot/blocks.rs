//! A snapshot's blocks, one after the other, and what is in each.
//!
//! To read a block is one thing, to verify it and to take it apart another, which needs nothing but the block: several
//! may do so at a time.
//!
//! Invariants: nothing of a block is handed on that was not verified; no room is made for a length that was not; the
//! footer stands for all blocks in their order.

use std::path::Path;

use super::block::{self, BlockHeader, PAYLOAD_BYTES_MAX};
use super::footer::{Content, FOOTER_BYTES, Footer};
use super::reader::{Expected, Summary, Visit};
use super::{HEADER_BYTES, SnapshotHeader};
use crate::storage::disk::DiskFile;
use crate::storage::error::{IoContext, SnapshotError};

/// See the module.
#[derive(Debug)]
pub struct Blocks<'a> {
    file: &'a dyn DiskFile,
    path: &'a Path,
    header: SnapshotHeader,
    size: u64,
    offset: u64,
    content: Content,
    blocks: u64,
    entries: u64,
    payload_bytes: u64,
}

/// A block as it was read. Only its header's tag was verified.
#[derive(Debug)]
pub struct Block<'a> {
    path: &'a Path,
    schema: u32,
    salt: [u8; 32],
    /// Where it begins.
    offset: u64,
    bytes: [u8; block::HEADER_BYTES],
    entries: u32,
    payload: Vec<u8>,
}

impl<'a> Blocks<'a> {
    /// Of a file of this size, with a header that was verified.
    pub(super) fn new(
        file: &'a dyn DiskFile,
        path: &'a Path,
        header: SnapshotHeader,
        header_hash: &[u8; 32],
        size: u64,
    ) -> Self {
        let content = Content::new(&header.salt, header_hash);
        let offset = HEADER_BYTES as u64;
        Self { file, path, header, size, offset, content, blocks: 0, entries: 0, payload_bytes: 0 }
    }

    /// Bytes that were not read yet.
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }

    /// Reads the next block. `None`: there is no other.
    ///
    /// # Errors
    /// [`SnapshotError`]: there is no block, or not the next one. Or a call failed.
    pub fn read_next(&mut self) -> Result<Option<Block<'a>>, SnapshotError> {
        if self.left() <= FOOTER_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; block::HEADER_BYTES];
        self.fill(&mut bytes, self.offset)?;
        let header = BlockHeader::decode(&bytes, &self.header.salt);
        let header = header.ok_or_else(|| self.damaged("this is no block"))?;
        if header.number != self.blocks {
            return Err(self.damaged("this is not the next block"));
        }
        let room = self.left().saturating_sub((block::HEADER_BYTES + FOOTER_BYTES) as u64);
        if u64::from(header.payload_bytes) > room.min(PAYLOAD_BYTES_MAX as u64) {
            return Err(self.damaged("a block is longer than there is room for"));
        }
        let mut payload = vec![0; header.payload_bytes as usize];
        self.fill(&mut payload, self.offset + block::HEADER_BYTES as u64)?;
        let SnapshotHeader { schema, salt, .. } = self.header;
        let (path, offset, entries) = (self.path, self.offset, header.entries);
        self.content.add(&header.hash);
        self.blocks += 1;
        self.entries += u64::from(header.entries);
        self.payload_bytes += u64::from(header.payload_bytes);
        self.offset += (block::HEADER_BYTES + payload.len()) as u64;
        Ok(Some(Block { path, schema, salt, offset, bytes, entries, payload }))
    }

    /// Reads the footer: were these all the blocks, and is this the file that the manifest means?
    pub(super) fn finish(self, expect: &Expected) -> Result<Summary, SnapshotError> {
        let mut bytes = [0; FOOTER_BYTES];
        self.fill(&mut bytes, self.offset)?;
        let found = Footer::decode(&bytes, &self.content);
        let (footer, hash) = found.ok_or_else(|| self.damaged("its footer does not verify"))?;
        let Self { blocks, entries, payload_bytes, size, .. } = self;
        if footer != (Footer { blocks, entries, payload_bytes, file_bytes: size, digest: footer.digest }) {
            return Err(self.damaged("a verified footer does not add up"));
        }
        if hash != expect.hash || entries != expect.entries {
            let reason = "it is not the one that the manifest means";
            return Err(SnapshotError::Foreign { path: self.path.to_owned(), reason });
        }
        Ok(Summary { header: self.header, blocks, entries, bytes: size, digest: footer.digest })
    }

    fn fill(&self, buffer: &mut [u8], at: u64) -> Result<(), SnapshotError> {
        let read = self.file.read_at(buffer, at).context("read", self.path)?;
        if read == buffer.len() { Ok(()) } else { Err(damaged(self.path, at + read as u64, "the file ends here")) }
    }

    fn damaged(&self, reason: &'static str) -> SnapshotError {
        damaged(self.path, self.offset, reason)
    }
}

impl Block<'_> {
    /// Verifies it and hands every entry to `visit`, in their order.
    ///
    /// # Errors
    /// [`SnapshotError::Damaged`], and before anything was handed on if it does not verify.
    /// [`SnapshotError::Entity`]: `visit` has refused one.
    pub fn visit(&self, visit: &mut Visit<'_>) -> Result<(), SnapshotError> {
        if !block::verify(&self.bytes, &self.payload, &self.salt) {
            return Err(damaged(self.path, self.offset, "a block does not verify"));
        }
        let no_sum = || damaged(self.path, self.offset, "a verified block does not add up");
        let mut count = 0u32;
        for entry in block::entries(&self.payload) {
            let entry = entry.ok_or_else(no_sum)?;
            visit(self.schema, entry.key, entry.value).map_err(|error| SnapshotError::Entity {
                path: self.path.to_owned(),
                offset: self.offset + (block::HEADER_BYTES + entry.at) as u64,
                reason: error.to_string(),
            })?;
            count += 1;
        }
        if count == 0 || count != self.entries { Err(no_sum()) } else { Ok(()) }
    }
}

pub(super) fn damaged(path: &Path, offset: u64, reason: &'static str) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), offset, reason }
}
