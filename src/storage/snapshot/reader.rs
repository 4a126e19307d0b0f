//! Reading a snapshot: all of it, in order.
//!
//! What is read comes from the disk and not from a cache that an earlier failed sync has left behind.
//!
//! A block is handed on before the footer was seen. So whether anything is missing is known only at the end, and
//! whoever reads must throw away what it has made of the entries if [`read`] returns an error.

use std::io;
use std::path::Path;

use super::block::Value;
use super::blocks::{Blocks, damaged};
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
    read_blocks(disk, path, expect, |blocks| {
        while let Some(block) = blocks.read_next()? {
            block.visit(visit)?;
        }
        Ok(())
    })
}

/// The same for whoever takes the blocks itself: all of them, and [visits](super::Block::visit) each.
///
/// # Errors
/// Those of [`read`] and those of `take`. Nothing was changed.
pub fn read_blocks<X: From<SnapshotError>>(
    disk: &dyn Disk,
    path: &Path,
    expect: &Expected,
    take: impl FnOnce(&mut Blocks<'_>) -> Result<(), X>,
) -> Result<Summary, X> {
    let file = open(disk, path)?;
    let dropped = file.drop_cache().context("drop the cache of", path);
    dropped.map_err(SnapshotError::from)?;
    let read = read_all(file.as_ref(), path, expect, take);
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

fn read_all<X: From<SnapshotError>>(
    file: &dyn DiskFile,
    path: &Path,
    expect: &Expected,
    take: impl FnOnce(&mut Blocks<'_>) -> Result<(), X>,
) -> Result<Summary, X> {
    let mut blocks = begin(file, path, expect)?;
    take(&mut blocks)?;
    Ok(blocks.finish(expect)?)
}

fn begin<'a>(file: &'a dyn DiskFile, path: &'a Path, expect: &Expected) -> Result<Blocks<'a>, SnapshotError> {
    let size = file.size().context("measure", path)?;
    let (header, header_hash) = read_header(file, path)?;
    if let Some(reason) = expect.foreign(&header) {
        return Err(SnapshotError::Foreign { path: path.to_owned(), reason });
    }
    if size != expect.bytes {
        let reason = if size < expect.bytes { "it is shorter than it was made" } else { "something follows its end" };
        return Err(damaged(path, size.min(expect.bytes), reason));
    }
    Ok(Blocks::new(file, path, header, &header_hash, size))
}
