//! A segment on disk: made ahead of use, opened once by one writer, written at its end.
//!
//! Invariants: a spare is zero-filled, synced and found by its directory before anybody hears of it; the header is
//! synced before the first frame; a file is opened for writing only by whoever created it, so no writer's life ever
//! touches a segment of another.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext};
use super::frame::Frame;
use super::layout::Layout;
use super::segment::{HEADER_BYTES, SegmentHeader};
use crate::model::{Lsn, SegmentSeq, ShardId, Tail};

/// Zeroes are written in pieces of this size.
const FILL_BYTES: usize = 256 * 1024;

/// How large a spare is, and how it is filled.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes, all of them zero.
    pub bytes: u64,
    /// Sync every piece: slower, but a sync of the log that comes meanwhile waits for one piece and not for all.
    pub gently: bool,
}

/// A segment that nobody writes yet.
#[derive(Debug)]
pub struct Spare {
    /// Its number.
    pub segment: SegmentSeq,
    /// Its size.
    pub bytes: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

/// A segment that a writer appends to.
#[derive(Debug)]
pub struct OpenSegment {
    header: SegmentHeader,
    bytes: u64,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    offset: u64,
    hash: [u8; 32],
    end: Lsn,
}

/// Makes a spare: zero-filled and durable, name included, when it returns `Ok`.
///
/// # Errors
/// A call failed; what was made is removed again, as far as that goes.
pub fn prepare(
    disk: &dyn Disk,
    layout: &Layout,
    shard: ShardId,
    segment: SegmentSeq,
    size: Size,
) -> Result<Spare, DiskError> {
    let path = layout.segment(shard, segment);
    let file = disk.create(&path).context("create", &path)?;
    let dir = layout.shard(shard);
    let made = fill(file.as_ref(), size, &path).and_then(|()| disk.sync_dir(&dir).context("sync", &dir));
    if let Err(error) = made {
        // A leftover would only cost space until the next sweep.
        let _ = disk.remove(&path);
        return Err(error);
    }
    Ok(Spare { segment, bytes: size.bytes, path, file })
}

fn fill(file: &dyn DiskFile, Size { bytes, gently }: Size, path: &Path) -> Result<(), DiskError> {
    let zeroes = vec![0; FILL_BYTES.min(bytes as usize)];
    let mut offset = 0;
    while offset < bytes {
        let piece = (bytes - offset).min(FILL_BYTES as u64) as usize;
        let piece = zeroes.get(..piece).unwrap_or(&zeroes);
        file.write_all_at(piece, offset).context("fill", path)?;
        offset += piece.len() as u64;
        if gently || offset >= bytes {
            file.sync().context("sync", path)?;
        }
    }
    Ok(())
}

impl Spare {
    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes and syncs the header: the segment is the log's last when it returns `Ok`.
    ///
    /// # Errors
    /// The file must not be used any more.
    pub fn open(self, header: SegmentHeader) -> Result<OpenSegment, DiskError> {
        let (bytes, hash) = header.encode();
        self.file.write_all_at(&bytes, 0).context("write the header of", &self.path)?;
        self.file.sync().context("sync", &self.path)?;
        Ok(OpenSegment {
            header,
            bytes: self.bytes,
            path: self.path,
            file: self.file,
            offset: HEADER_BYTES as u64,
            hash,
            end: header.follows.end,
        })
    }
}

impl OpenSegment {
    /// Seals and writes one frame at the end. Nothing is durable yet.
    ///
    /// # Errors
    /// The file must not be written or synced any more.
    pub fn write(&mut self, frame: &mut Frame, durable_end: Lsn) -> Result<(), DiskError> {
        let hash = frame.seal(&self.header.salt, durable_end, &self.hash);
        let end = self.offset + frame.bytes().len() as u64;
        if end > self.bytes {
            let full = io::Error::new(io::ErrorKind::StorageFull, "the segment is full");
            return Err(full).context("append to", &self.path);
        }
        self.file.write_all_at(frame.bytes(), self.offset).context("append to", &self.path)?;
        (self.offset, self.hash, self.end) = (end, hash, frame.end());
        Ok(())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What was written since the last `Ok` may or may not be durable, and the file must not be used any more.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.file.sync().context("sync", &self.path)
    }

    /// Leaves the cache to others: nobody reads a full segment before the next recovery.
    pub fn forget(&self) {
        let _ = self.file.drop_cache();
    }

    /// Where the log ends if this segment is its last.
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail { segment: self.header.segment, offset: self.offset, end: self.end, hash: self.hash }
    }

    /// What it says about itself.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Bytes left for frames.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.bytes.saturating_sub(self.offset)
    }
}
