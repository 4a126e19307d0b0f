//! Snapshots: one shard's state at one position, in one file that is written once and read whole. Here is its header;
//! [`SnapshotWriter`] makes the file, [`read`] reads it back.
//!
//! # Format
//! A header of 256 bytes, [blocks](block) of entries, a [footer] and nothing behind it. Integers are little-endian,
//! nothing valid is all zeroes. The hash of the footer covers everything and names the content; the manifest has it.
//!
//! | bytes | field of the header |
//! |---|---|
//! | 0..8 | magic `MAINSNP1` |
//! | 8..12 | version, 2; in version 1 every entry has its value |
//! | 12..16 | schema of the entities |
//! | 16..32 | directory id |
//! | 32..36 | shard |
//! | 36..40 | zero |
//! | 40..48 | snapshot number |
//! | 48..56 | epoch |
//! | 56..64 | end lsn: the state is that of everything below |
//! | 64..72 | time of the state |
//! | 72..104 | random salt: the key of the other hashes |
//! | 104..224 | zero |
//! | 224..256 | BLAKE3 of bytes 0..224 |
//!
//! # Recovery
//! A file gets its name when it is whole and durable, and the manifest names it after that. So there is no torn
//! snapshot: whatever does not verify is damage. What has only a temporary name is a left-over.

pub mod block;
mod blocks;
pub mod footer;
mod reader;
mod scan;
#[cfg(all(test, not(loom)))]
mod tests;
mod writer;

pub use super::new_file::SYNC_BYTES;
pub use block::Value;
pub use blocks::{Block, Blocks};
pub use reader::{Expected, Summary, Visit, peek_header, read, read_blocks, verify};
pub use scan::{Scanned, scan};
pub use writer::{SnapshotWriter, Written};

use super::bytes::{array, put, u32_at, u64_at};
use crate::model::{DirectoryId, Epoch, Lsn, Position, ShardId, SnapshotSeq, Time};

/// Bytes in front of the first block.
pub const HEADER_BYTES: usize = 256;
/// The format that this code writes, and the newest that it reads.
pub const VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"MAINSNP1";
const HASHED: usize = 224;

/// A snapshot's header: whose state it is, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// `StateMachine::SCHEMA` of the code that encoded the entities.
    pub schema: u32,
    /// Whose directory.
    pub directory: DirectoryId,
    /// Whose state.
    pub shard: ShardId,
    /// Its number.
    pub snapshot: SnapshotSeq,
    /// The state is that of everything below.
    pub end: Position,
    /// The shard's clock there.
    pub time: Time,
    /// Key of the hashes of blocks and footer.
    pub salt: [u8; 32],
}

/// Why a snapshot's first bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Written by newer code.
    Newer(u32),
    /// It does not verify.
    Invalid,
}

impl SnapshotHeader {
    /// Encodes the header and returns it with its hash.
    #[must_use]
    pub fn encode(&self) -> ([u8; HEADER_BYTES], [u8; 32]) {
        let mut header = [0; HEADER_BYTES];
        put(&mut header, 0, &MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        put(&mut header, 12, &self.schema.to_le_bytes());
        put(&mut header, 16, &self.directory.0);
        put(&mut header, 32, &self.shard.0.to_le_bytes());
        put(&mut header, 40, &self.snapshot.0.to_le_bytes());
        put(&mut header, 48, &self.end.epoch.0.to_le_bytes());
        put(&mut header, 56, &self.end.lsn.0.to_le_bytes());
        put(&mut header, 64, &self.time.0.to_le_bytes());
        put(&mut header, 72, &self.salt);
        let hash = hash(&header);
        put(&mut header, HASHED, &hash);
        (header, hash)
    }

    /// Decodes a snapshot's first bytes; returns the header with its hash.
    ///
    /// # Errors
    /// [`NoHeader`] says why not.
    pub fn decode(header: &[u8]) -> Result<(Self, [u8; 32]), NoHeader> {
        if array::<8>(header, 0) != MAGIC || header.len() < HEADER_BYTES {
            return Err(NoHeader::Invalid);
        }
        if hash(header) != array(header, HASHED) {
            return Err(NoHeader::Invalid);
        }
        if u32_at(header, 8) > VERSION {
            return Err(NoHeader::Newer(u32_at(header, 8)));
        }
        let decoded = Self {
            schema: u32_at(header, 12),
            directory: DirectoryId(array(header, 16)),
            shard: ShardId(u32_at(header, 32)),
            snapshot: SnapshotSeq(u64_at(header, 40)),
            end: Position { epoch: Epoch(u64_at(header, 48)), lsn: Lsn(u64_at(header, 56)) },
            time: Time(u64_at(header, 64)),
            salt: array(header, 72),
        };
        Ok((decoded, array(header, HASHED)))
    }
}

fn hash(header: &[u8]) -> [u8; 32] {
    *blake3::hash(header.get(..HASHED).unwrap_or_default()).as_bytes()
}
