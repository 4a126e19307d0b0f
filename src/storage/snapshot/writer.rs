//! Writing a snapshot: under a temporary name, block by block, and under its own name when it is whole and durable.
//!
//! Invariants: the file is renamed after a sync of all of it has returned `Ok`; after any failure, also of the
//! caller, who then drops the writer, nothing is written any more and the file is removed, as far as that goes.
//!
//! Not here: the log. Whoever adopts the snapshot sees to it that the log is synced up to the snapshot's end.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::block::{self, BLOCK_BYTES, ENTRY_BYTES_MAX, Value};
use super::footer::{Content, FOOTER_BYTES, Footer};
use super::{HEADER_BYTES, SnapshotHeader};
use crate::model::ColdSeq;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::error::{DiskError, IoContext};
use crate::storage::layout::Layout;

/// The file is synced each time this much was written, in bytes. A sync of the log on the same disk waits for what a
/// sync beside it has to write, so that must never be much; what is synced already also does not wait for the end.
pub const SYNC_BYTES: usize = 1024 * 1024;

/// So much room is kept for the next block. A large entry's is given back.
const ROOM_BYTES: usize = block::HEADER_BYTES + 2 * BLOCK_BYTES;

/// A snapshot that is being written. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter<'d> {
    disk: &'d dyn Disk,
    file: Box<dyn DiskFile>,
    names: Names,
    named: Named,
    /// Something has failed, or is just being tried.
    failed: bool,
    salt: [u8; 32],
    content: Content,
    /// Room for the next block's header, and its payload so far.
    block: Vec<u8>,
    block_entries: u32,
    blocks: u64,
    entries: u64,
    /// The cold files that entries refer to.
    cold: BTreeSet<ColdSeq>,
    payload_bytes: u64,
    written: u64,
    unsynced: usize,
    syncing: Duration,
}

/// What was written: what the manifest has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length of the file.
    pub bytes: u64,
    /// Count of entries.
    pub entries: u64,
    /// Hash of the footer, which covers all of it.
    pub hash: [u8; 32],
    /// The cold files that entries refer to, ascending.
    pub cold: Vec<ColdSeq>,
    /// How long its syncs took.
    pub syncing: Duration,
}

#[derive(Debug)]
struct Names {
    temporary: PathBuf,
    path: PathBuf,
    dir: PathBuf,
}

/// Which name the file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Temporary,
    /// Either, after a rename that has failed; or its own, not certain to survive a crash.
    InDoubt,
    Durable,
}

impl<'d> SnapshotWriter<'d> {
    /// Makes the file under its temporary name and writes the header. The snapshot's number must be one that no
    /// manifest has named: what has the final name already is replaced in the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]: somebody has left the temporary file behind; it was not touched. Or another
    /// call failed: what was made is removed again, as far as that goes.
    pub fn create(disk: &'d dyn Disk, layout: &Layout, header: SnapshotHeader) -> Result<Self, DiskError> {
        let (shard, snapshot) = (header.shard, header.snapshot);
        let names = Names {
            temporary: layout.snapshot_temporary(shard, snapshot),
            path: layout.snapshot(shard, snapshot),
            dir: layout.shard(shard),
        };
        let file = disk.create(&names.temporary).context("create", &names.temporary)?;
        let (bytes, hash) = header.encode();
        let mut block = Vec::with_capacity(ROOM_BYTES);
        block.resize(block::HEADER_BYTES, 0);
        let mut writer = Self {
            disk,
            file,
            names,
            named: Named::Temporary,
            failed: false,
            salt: header.salt,
            content: Content::new(&header.salt, &hash),
            block,
            block_entries: 0,
            blocks: 0,
            entries: 0,
            cold: BTreeSet::new(),
            payload_bytes: 0,
            written: 0,
            unsynced: 0,
            syncing: Duration::ZERO,
        };
        writer.step(|writer| writer.write(&bytes))?;
        debug_assert_eq!(writer.written, HEADER_BYTES as u64, "blocks begin behind the header");
        Ok(writer)
    }

    /// Adds an entry. Writes and syncs now and then, so it may block.
    ///
    /// # Errors
    /// A call failed, now or before, or the entry is longer than [`ENTRY_BYTES_MAX`]: the snapshot cannot be finished
    /// any more.
    pub fn entry(&mut self, key: &[u8], value: Value<'_>) -> Result<(), DiskError> {
        self.step(|writer| {
            if key.len().saturating_add(value.bytes()) > ENTRY_BYTES_MAX {
                let long = io::Error::new(io::ErrorKind::InvalidInput, "an entry is too long");
                return Err(long).context("write", &writer.names.temporary);
            }
            block::push(&mut writer.block, key, value);
            writer.block_entries += 1;
            if let Value::Cold(location) = value {
                writer.cold.insert(location.file);
            }
            let is_full = writer.block.len() >= block::HEADER_BYTES + BLOCK_BYTES;
            if is_full { writer.close_block() } else { Ok(()) }
        })
    }

    /// Bytes so far, those included that make no whole block yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.written + self.block.len().saturating_sub(block::HEADER_BYTES) as u64
    }

    /// Ends the file: when it returns `Ok` the snapshot is whole and durable under its own name.
    ///
    /// # Errors
    /// A call failed, now or before. The file is removed again, under whichever name, as far as that goes; if a crash
    /// brings it back nobody names it.
    pub fn finish(mut self, digest: Option<[u8; 32]>) -> Result<Written, DiskError> {
        let mut hash = [0; 32];
        self.step(|writer| {
            writer.close_block()?;
            hash = writer.footer(digest)?;
            writer.sync()?;
            writer.publish()
        })?;
        // The next recovery is the first to read it, and that wants it from the disk.
        let _ = self.file.drop_cache();
        let cold = std::mem::take(&mut self.cold).into_iter().collect();
        Ok(Written { bytes: self.written, entries: self.entries, hash, cold, syncing: self.syncing })
    }

    /// Takes a step unless one has failed before: a file whose write or sync has failed is never used again.
    fn step(&mut self, step: impl FnOnce(&mut Self) -> Result<(), DiskError>) -> Result<(), DiskError> {
        if self.failed {
            let failed = io::Error::other("writing it has failed before");
            return Err(failed).context("write", &self.names.temporary);
        }
        self.failed = true;
        step(self)?;
        self.failed = false;
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), DiskError> {
        if self.block_entries == 0 {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        let hash = block::seal(&mut block, &self.salt, self.blocks, self.block_entries);
        self.write(&block)?;
        self.content.add(&hash);
        self.payload_bytes += (block.len() - block::HEADER_BYTES) as u64;
        self.entries += u64::from(self.block_entries);
        self.blocks += 1;
        block.clear();
        block.shrink_to(ROOM_BYTES);
        block.resize(block::HEADER_BYTES, 0);
        (self.block, self.block_entries) = (block, 0);
        Ok(())
    }

    fn footer(&mut self, digest: Option<[u8; 32]>) -> Result<[u8; 32], DiskError> {
        let footer = Footer {
            blocks: self.blocks,
            entries: self.entries,
            payload_bytes: self.payload_bytes,
            file_bytes: self.written + FOOTER_BYTES as u64,
            digest,
        };
        let (bytes, hash) = footer.encode(&self.content);
        self.write(&bytes)?;
        Ok(hash)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        for piece in bytes.chunks(SYNC_BYTES) {
            self.file.write_all_at(piece, self.written).context("write", &self.names.temporary)?;
            self.written += piece.len() as u64;
            self.unsynced += piece.len();
            if self.unsynced >= SYNC_BYTES {
                self.sync()?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), DiskError> {
        let started = Instant::now();
        self.file.sync().context("sync", &self.names.temporary)?;
        self.syncing += started.elapsed();
        self.unsynced = 0;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), DiskError> {
        let Names { temporary, path, dir } = &self.names;
        self.named = Named::InDoubt;
        let started = Instant::now();
        self.disk.rename(temporary, path).context("rename to", path)?;
        self.disk.sync_dir(dir).context("sync", dir)?;
        self.syncing += started.elapsed();
        self.named = Named::Durable;
        Ok(())
    }
}

impl Drop for SnapshotWriter<'_> {
    fn drop(&mut self) {
        // Nobody names what is not durable. A left-over would only cost space until the next sweep.
        if self.named == Named::InDoubt {
            let _ = self.disk.remove(&self.names.path);
        }
        if self.named != Named::Durable {
            let _ = self.disk.remove(&self.names.temporary);
        }
    }
}
