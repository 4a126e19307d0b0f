//! The footer: the last bytes of a snapshot, which say that nothing is missing. Pure bytes, no files.
//!
//! # Format
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `MAINSNPF` |
//! | 8..12 | 1 if there is a digest, 0 if not |
//! | 12..16 | zero |
//! | 16..24 | count of blocks |
//! | 24..32 | count of entries |
//! | 32..40 | bytes of all payloads |
//! | 40..48 | length of the file, footer included |
//! | 48..80 | digest of the state; zero if there is none |
//! | 80..96 | zero |
//! | 96..128 | BLAKE3 of the header's hash, the hashes of all blocks in order and bytes 0..96, keyed with the salt |

use super::super::bytes::{array, put, u32_at, u64_at};

/// Length of a footer.
pub const FOOTER_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"MAINSNPF";
const HASHED: usize = 96;

/// What a snapshot's footer says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Count of blocks.
    pub blocks: u64,
    /// Count of entries.
    pub entries: u64,
    /// Bytes of all payloads.
    pub payload_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Digest of the state, if one was taken.
    pub digest: Option<[u8; 32]>,
}

/// The hashes of everything in front of the footer, in order.
#[derive(Clone, Debug)]
pub struct Content(blake3::Hasher);

impl Content {
    /// That of a header, without blocks.
    #[must_use]
    pub fn new(salt: &[u8; 32], header_hash: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(salt);
        hasher.update(header_hash);
        Self(hasher)
    }

    /// The next block's hash.
    pub fn add(&mut self, block_hash: &[u8; 32]) {
        self.0.update(block_hash);
    }

    fn hash(&self, footer: &[u8]) -> [u8; 32] {
        let mut hasher = self.0.clone();
        hasher.update(footer.get(..HASHED).unwrap_or_default());
        *hasher.finalize().as_bytes()
    }
}

impl Footer {
    /// Encodes the footer of this content and returns it with the hash that names the whole file.
    #[must_use]
    pub fn encode(&self, content: &Content) -> ([u8; FOOTER_BYTES], [u8; 32]) {
        let mut footer = [0; FOOTER_BYTES];
        put(&mut footer, 0, &MAGIC);
        put(&mut footer, 8, &u32::from(self.digest.is_some()).to_le_bytes());
        put(&mut footer, 16, &self.blocks.to_le_bytes());
        put(&mut footer, 24, &self.entries.to_le_bytes());
        put(&mut footer, 32, &self.payload_bytes.to_le_bytes());
        put(&mut footer, 40, &self.file_bytes.to_le_bytes());
        put(&mut footer, 48, &self.digest.unwrap_or_default());
        let hash = content.hash(&footer);
        put(&mut footer, HASHED, &hash);
        (footer, hash)
    }

    /// Decodes a footer; returns it with its hash. `None` unless it verifies as the footer of this content.
    #[must_use]
    pub fn decode(footer: &[u8], content: &Content) -> Option<(Self, [u8; 32])> {
        let footer = footer.get(..FOOTER_BYTES)?;
        let hash = array(footer, HASHED);
        if array::<8>(footer, 0) != MAGIC || content.hash(footer) != hash {
            return None;
        }
        let digest = match u32_at(footer, 8) {
            0 => None,
            1 => Some(array(footer, 48)),
            _ => return None,
        };
        let decoded = Self {
            blocks: u64_at(footer, 16),
            entries: u64_at(footer, 24),
            payload_bytes: u64_at(footer, 32),
            file_bytes: u64_at(footer, 40),
            digest,
        };
        Some((decoded, hash))
    }
}
