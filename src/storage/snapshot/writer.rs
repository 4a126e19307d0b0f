//! Writing a snapshot: under a temporary name, block by block, and under its own name when it is whole and durable.
//!
//! Invariants: the file is renamed after a sync of all of it has returned `Ok`; after any failure, also of the
//! caller, who then drops the writer, nothing is written any more and the file is removed, as far as that goes.
//!
//! Not here: the log. Whoever adopts the snapshot sees to it that the log is synced up to the snapshot's end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::block::{self, BLOCK_BYTES, ENTRY_BYTES_MAX, Value};
use super::footer::{Content, FOOTER_BYTES, Footer};
use super::{HEADER_BYTES, SnapshotHeader};
use crate::model::ColdSeq;
use crate::storage::disk::Disk;
use crate::storage::error::{DiskError, IoContext};
use crate::storage::layout::Layout;
use crate::storage::new_file::NewFile;

/// So much room is kept for the next block. A large entry's is given back.
const ROOM_BYTES: usize = block::HEADER_BYTES + 2 * BLOCK_BYTES;

/// A snapshot that is being written. Dropped before [`SnapshotWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct SnapshotWriter<'d> {
    disk: &'d dyn Disk,
    file: NewFile,
    path: PathBuf,
    dir: PathBuf,
    named: Named,
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
    /// [`AlreadyExists`]: somebody has left the temporary file behind; it was not touched. Or another
    /// call failed: what was made is removed again, as far as that goes.
    ///
    /// [`AlreadyExists`]: std::io::ErrorKind::AlreadyExists
    pub fn create(disk: &'d dyn Disk, layout: &Layout, header: SnapshotHeader) -> Result<Self, DiskError> {
        let (shard, snapshot) = (header.shard, header.snapshot);
        let file = NewFile::create(disk, layout.snapshot_temporary(shard, snapshot))?;
        let (bytes, hash) = header.encode();
        let mut block = Vec::with_capacity(ROOM_BYTES);
        block.resize(block::HEADER_BYTES, 0);
        let mut writer = Self {
            disk,
            file,
            path: layout.snapshot(shard, snapshot),
            dir: layout.shard(shard),
            named: Named::Temporary,
            salt: header.salt,
            content: Content::new(&header.salt, &hash),
            block,
            block_entries: 0,
            blocks: 0,
            entries: 0,
            cold: BTreeSet::new(),
            payload_bytes: 0,
        };
        writer.file.write(&bytes)?;
        debug_assert_eq!(writer.file.written(), HEADER_BYTES as u64, "blocks begin behind the header");
        Ok(writer)
    }

    /// Adds an entry. Writes and syncs now and then, so it may block.
    ///
    /// # Errors
    /// A call failed, now or before, or the entry is longer than [`ENTRY_BYTES_MAX`]: the snapshot cannot be finished
    /// any more.
    pub fn entry(&mut self, key: &[u8], value: Value<'_>) -> Result<(), DiskError> {
        self.file.check()?;
        if key.len().saturating_add(value.bytes()) > ENTRY_BYTES_MAX {
            return Err(self.file.refuse("an entry is too long"));
        }
        block::push(&mut self.block, key, value);
        self.block_entries += 1;
        if let Value::Cold(location) = value {
            self.cold.insert(location.file);
        }
        let is_full = self.block.len() >= block::HEADER_BYTES + BLOCK_BYTES;
        if is_full { self.close_block() } else { Ok(()) }
    }

    /// Bytes so far, those included that make no whole block yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.file.written() + self.block.len().saturating_sub(block::HEADER_BYTES) as u64
    }

    /// Ends the file: when it returns `Ok` the snapshot is whole and durable under its own name.
    ///
    /// # Errors
    /// A call failed, now or before. The file is removed again, under whichever name, as far as that goes; if a crash
    /// brings it back nobody names it.
    pub fn finish(mut self, digest: Option<[u8; 32]>) -> Result<Written, DiskError> {
        self.file.check()?;
        self.close_block()?;
        let hash = self.footer(digest)?;
        self.file.sync()?;
        let syncing = self.file.syncing() + self.publish()?;
        // The next recovery is the first to read it, and that wants it from the disk.
        self.file.drop_cache();
        let cold = std::mem::take(&mut self.cold).into_iter().collect();
        Ok(Written { bytes: self.file.written(), entries: self.entries, hash, cold, syncing })
    }

    fn close_block(&mut self) -> Result<(), DiskError> {
        if self.block_entries == 0 {
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        let hash = block::seal(&mut block, &self.salt, self.blocks, self.block_entries);
        self.file.write(&block)?;
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
            file_bytes: self.file.written() + FOOTER_BYTES as u64,
            digest,
        };
        let (bytes, hash) = footer.encode(&self.content);
        self.file.write(&bytes)?;
        Ok(hash)
    }

    /// Gives it its own name. Says how long that took.
    fn publish(&mut self) -> Result<Duration, DiskError> {
        self.named = Named::InDoubt;
        let started = Instant::now();
        self.disk.rename(self.file.path(), &self.path).context("rename to", &self.path)?;
        self.disk.sync_dir(&self.dir).context("sync", &self.dir)?;
        self.named = Named::Durable;
        Ok(started.elapsed())
    }
}

impl Drop for SnapshotWriter<'_> {
    fn drop(&mut self) {
        // Nobody names what is not durable. A left-over would only cost space until the next sweep.
        if self.named == Named::InDoubt {
            let _ = self.disk.remove(&self.path);
        }
        if self.named != Named::Durable {
            let _ = self.disk.remove(self.file.path());
        }
    }
}
