//! Cold files: many values of one shard in one file that is written once, and whose values are read one by one. Here is
//! its header; [`ColdWriter`] makes the file, [`ColdFile`] reads a page of it, [`scan`] all of it.
//!
//! # Format
//! Sectors of 512 bytes: the header, [pages](page), a [footer] and nothing behind it. Integers are little-endian,
//! nothing valid is all zeroes.
//!
//! | bytes | field of the header |
//! |---|---|
//! | 0..8 | magic `MAINCLD1` |
//! | 8..12 | version, 1 |
//! | 12..16 | schema of the code that has written it; that of a value is in its page |
//! | 16..32 | directory id |
//! | 32..36 | shard |
//! | 36..40 | zero |
//! | 40..48 | number of the cold file |
//! | 48..480 | zero |
//! | 480..512 | BLAKE3 of bytes 0..480 |
//!
//! All other hashes are keyed with `derive_key("mainstay cold file 1", directory id, shard, number)`, as they stand in
//! bytes 16..36 and 40..48. So a page verifies by itself, and none of another file, shard or directory does. A location
//! is read without the header, which is for whoever reads the whole file: damage there costs no value.
//!
//! # What a name means
//! Like a segment it is made under its own name, so a name says nothing: it counts when somebody has recorded that it
//! was finished, and until then it is a left-over. Not here: who records that, and which values are needed.

mod error;
mod file;
pub mod footer;
pub mod page;
mod scan;
mod shelf;
#[cfg(all(test, not(loom)))]
mod tests;
mod writer;
mod written;

pub use super::new_file::SYNC_BYTES;
pub use error::ColdError;
pub use file::{ColdFile, Page};
pub use page::fits;
pub use scan::{Found, Scanned, Value, scan};
pub use shelf::Shelf;
pub use writer::ColdWriter;
pub use written::Written;

use super::bytes::{array, put, u32_at, u64_at};
use crate::model::{ColdSeq, DirectoryId, Location, ShardId};

/// Length of a sector. Header and footer have one each.
pub const SECTOR_BYTES: usize = Location::SECTOR_BYTES as usize;
/// The format that this code writes, and the newest that it reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"MAINCLD1";
const HASHED: usize = SECTOR_BYTES - 32;
const CONTEXT: &str = "mainstay cold file 1";

/// Which cold file of all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdId {
    /// Whose directory.
    pub directory: DirectoryId,
    /// Whose values.
    pub shard: ShardId,
    /// Its number.
    pub file: ColdSeq,
}

/// A cold file's header: which it is, and who has written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColdHeader {
    /// `StateMachine::SCHEMA` of the code that has written it.
    pub schema: u32,
    /// Which file it is.
    pub id: ColdId,
}

/// Why a cold file's first bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// Written by newer code.
    Newer(u32),
    /// It does not verify.
    Invalid,
}

impl ColdId {
    /// Key of the hashes of pages and footer.
    #[must_use]
    pub fn hash_key(&self) -> [u8; 32] {
        let mut named = [0; 28];
        put(&mut named, 0, &self.directory.0);
        put(&mut named, 16, &self.shard.0.to_le_bytes());
        put(&mut named, 20, &self.file.0.to_le_bytes());
        blake3::derive_key(CONTEXT, &named)
    }
}

impl ColdHeader {
    /// Encodes the header and returns it with its hash.
    #[must_use]
    pub fn encode(&self) -> ([u8; SECTOR_BYTES], [u8; 32]) {
        let mut header = [0; SECTOR_BYTES];
        put(&mut header, 0, &MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        put(&mut header, 12, &self.schema.to_le_bytes());
        put(&mut header, 16, &self.id.directory.0);
        put(&mut header, 32, &self.id.shard.0.to_le_bytes());
        put(&mut header, 40, &self.id.file.0.to_le_bytes());
        let hash = hash(&header);
        put(&mut header, HASHED, &hash);
        (header, hash)
    }

    /// Decodes a cold file's first bytes; returns the header with its hash.
    ///
    /// # Errors
    /// [`NoHeader`] says why not.
    pub fn decode(header: &[u8]) -> Result<(Self, [u8; 32]), NoHeader> {
        if array::<8>(header, 0) != MAGIC || header.len() < SECTOR_BYTES {
            return Err(NoHeader::Invalid);
        }
        if hash(header) != array(header, HASHED) {
            return Err(NoHeader::Invalid);
        }
        if u32_at(header, 8) != VERSION {
            return Err(NoHeader::Newer(u32_at(header, 8)));
        }
        let id = ColdId {
            directory: DirectoryId(array(header, 16)),
            shard: ShardId(u32_at(header, 32)),
            file: ColdSeq(u64_at(header, 40)),
        };
        Ok((Self { schema: u32_at(header, 12), id }, array(header, HASHED)))
    }
}

fn hash(header: &[u8]) -> [u8; 32] {
    *blake3::hash(header.get(..HASHED).unwrap_or_default()).as_bytes()
}
