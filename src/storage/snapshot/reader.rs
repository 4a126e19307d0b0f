//! Reading a snapshot: all of it, in order, one block in memory at a time.
//!
//! Invariants: nothing is handed on that was not verified; no room is made for a length that was not; what is read
//! comes from the disk and not from a cache that an earlier failed sync has left behind.
//!
//! A block is handed on before the footer was seen. So whether anything is missing is known only at the end, and
//! whoever reads must throw away what it has made of the entries if [`read`] returns an error.

use std::io;
use std::path::Path;

use super::block::{self, BLOCK_BYTES, BlockHeader, PAYLOAD_BYTES_MAX, Value};
use super::footer::{Content, FOOTER_BYTES, Footer};
use super::{HEADER_BYTES, NoHeader, SnapshotHeader, VERSION};
use crate::model::{DirectoryId, Position, ShardId, SnapshotRecord, SnapshotSeq};
use crate::storage::codec::CodecError;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::error::{IoContext, SnapshotError};

/// What the manifest says about a snapshot; all of it has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Whose directory.
    pub directory: DirectoryId,
    /// Whose state.
    pub shard: ShardId,
    /// Its number.
    pub snapshot: SnapshotSeq,
    /// The state is that of everything below.
    pub end: Position,
    /// Hash of its footer, which covers all of it.
    pub hash: [u8; 32],
    /// Its length.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// A snapshot that was read and verified to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it says about itself.
    pub header: SnapshotHeader,
    /// Count of blocks.
    pub blocks: u64,
    /// Count of entries.
    pub entries: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Digest of the state, if one was taken.
    pub digest: Option<[u8; 32]>,
}

/// Gets schema, key and value of every entry. Its error is made a [`SnapshotError::Entity`], with file and offset.
pub type Visit<'a> = dyn FnMut(u32, &[u8], Value<'_>) -> Result<(), CodecError> + 'a;

/// Reads a snapshot and hands every entry to `visit`, in the order in which they were written. Most of them are handed
/// on before the end of the file was seen: after an error the caller throws away what it has made of them.
///
/// # Errors
/// [`SnapshotError`]. Nothing was changed.
pub fn read(disk: &dyn Disk, path: &Path, expect: &Expected, visit: &mut Visit<'_>) -> Result<Summary, SnapshotError> {
    let file = open(disk, path)?;
    file.drop_cache().context("drop the cache of", path)?;
    let read = read_all(file.as_ref(), path, expect, visit);
    // Nobody reads it again before the next recovery.
    let _ = file.drop_cache();
    read
}

/// Reads a snapshot and makes nothing of its entries.
///
/// # Errors
/// Those of [`read`], but for [`SnapshotError::Entity`].
pub fn verify(disk: &dyn Disk, path: &Path, expect: &Expected) -> Result<Summary, SnapshotError> {
    read(disk, path, expect, &mut |_, _, _| Ok(()))
}

/// Reads the header only, for whoever wants to know what a file is. The rest may be damaged.
///
/// # Errors
/// [`SnapshotError`].
pub fn peek_header(disk: &dyn Disk, path: &Path) -> Result<SnapshotHeader, SnapshotError> {
    let file = open(disk, path)?;
    Ok(read_header(file.as_ref(), path)?.0)
}

impl Expected {
    /// What the manifest's record says about a snapshot.
    #[must_use]
    pub fn recorded(directory: DirectoryId, shard: ShardId, snapshot: SnapshotSeq, record: &SnapshotRecord) -> Self {
        let SnapshotRecord { end, bytes, entries, hash, .. } = *record;
        Self { directory, shard, snapshot, end, hash, bytes, entries }
    }

    fn foreign(&self, header: &SnapshotHeader) -> Option<&'static str> {
        if header.directory != self.directory {
            return Some("it is of another directory");
        }
        if header.shard != self.shard {
            return Some("it is of another shard");
        }
        if header.snapshot != self.snapshot {
            return Some("it has another number");
        }
        (header.end != self.end).then_some("it is of another position")
    }
}

fn open(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskFile>, SnapshotError> {
    match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SnapshotError::Missing { path: path.to_owned() }),
        other => Ok(other.context("open", path)?),
    }
}

fn read_header(file: &dyn DiskFile, path: &Path) -> Result<(SnapshotHeader, [u8; 32]), SnapshotError> {
    let mut header = [0; HEADER_BYTES];
    file.read_at(&mut header, 0).context("read", path)?;
    SnapshotHeader::decode(&header).map_err(|fault| match fault {
        NoHeader::Newer(found) => SnapshotError::NewerFormat { path: path.to_owned(), found, supported: VERSION },
        NoHeader::Invalid => damaged(path, 0, "its header does not verify"),
    })
}

fn read_all(
    file: &dyn DiskFile,
    path: &Path,
    expect: &Expected,
    visit: &mut Visit<'_>,
) -> Result<Summary, SnapshotError> {
    let size = file.size().context("measure", path)?;
    let (header, header_hash) = read_header(file, path)?;
    if let Some(reason) = expect.foreign(&header) {
        return Err(SnapshotError::Foreign { path: path.to_owned(), reason });
    }
    if size != expect.bytes {
        let reason = if size < expect.bytes { "it is shorter than it was made" } else { "something follows its end" };
        return Err(damaged(path, size.min(expect.bytes), reason));
    }
    let content = Content::new(&header.salt, &header_hash);
    let offset = HEADER_BYTES as u64;
    let mut reader = Reader { file, path, header, size, offset, content, blocks: 0, entries: 0, payload_bytes: 0 };
    let mut payload = Vec::new();
    while reader.left() > FOOTER_BYTES as u64 {
        reader.block(&mut payload, visit)?;
    }
    reader.footer(expect)
}

/// Reads a file block by block.
struct Reader<'a> {
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

impl Reader<'_> {
    /// Bytes that were not read yet.
    fn left(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }

    /// Reads the next block.
    fn block(&mut self, payload: &mut Vec<u8>, visit: &mut Visit<'_>) -> Result<(), SnapshotError> {
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
        payload.clear();
        payload.shrink_to(2 * BLOCK_BYTES);
        payload.resize(header.payload_bytes as usize, 0);
        let payload_at = self.offset + block::HEADER_BYTES as u64;
        self.fill(payload, payload_at)?;
        if !block::verify(&bytes, payload, &self.header.salt) {
            return Err(self.damaged("a block does not verify"));
        }
        let mut count = 0u32;
        for entry in block::entries(payload) {
            let entry = entry.ok_or_else(|| self.damaged("a verified block does not add up"))?;
            visit(self.header.schema, entry.key, entry.value).map_err(|error| SnapshotError::Entity {
                path: self.path.to_owned(),
                offset: payload_at + entry.at as u64,
                reason: error.to_string(),
            })?;
            count += 1;
        }
        if count == 0 || count != header.entries {
            return Err(self.damaged("a verified block does not add up"));
        }
        self.content.add(&header.hash);
        self.blocks += 1;
        self.entries += u64::from(count);
        self.payload_bytes += u64::from(header.payload_bytes);
        self.offset = payload_at + u64::from(header.payload_bytes);
        Ok(())
    }

    /// Reads the footer: are these all the blocks, and is this the file that the manifest means?
    fn footer(&self, expect: &Expected) -> Result<Summary, SnapshotError> {
        let mut bytes = [0; FOOTER_BYTES];
        self.fill(&mut bytes, self.offset)?;
        let found = Footer::decode(&bytes, &self.content);
        let (footer, hash) = found.ok_or_else(|| self.damaged("its footer does not verify"))?;
        let Self { blocks, entries, payload_bytes, size, .. } = *self;
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

fn damaged(path: &Path, offset: u64, reason: &'static str) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), offset, reason }
}
