//! The footer: the last sector of a cold file, which says that nothing is missing. Pure bytes, no files.
//!
//! # Format
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `MAINCLDF` |
//! | 8..16 | count of pages |
//! | 16..24 | count of values |
//! | 24..32 | used bytes of all pages |
//! | 32..40 | length of the file, footer included |
//! | 40..480 | zero |
//! | 480..512 | BLAKE3 of the header's hash, the hashes of all pages in order and bytes 0..480, with the pages' key |

use super::super::bytes::{array, put, u64_at};
use super::SECTOR_BYTES;

const MAGIC: [u8; 8] = *b"MAINCLDF";
const HASHED: usize = SECTOR_BYTES - 32;

/// What a cold file's footer says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Count of pages.
    pub pages: u64,
    /// Count of values.
    pub values: u64,
    /// Used bytes of all pages.
    pub payload_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

/// The hashes of everything in front of the footer, in order.
#[derive(Clone, Debug)]
pub struct Content(blake3::Hasher);

impl Content {
    /// That of a header, without pages.
    #[must_use]
    pub fn new(hash_key: &[u8; 32], header_hash: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(hash_key);
        hasher.update(header_hash);
        Self(hasher)
    }

    /// The next page's hash.
    pub fn add(&mut self, page_hash: &[u8; 32]) {
        self.0.update(page_hash);
    }

    fn hash(&self, footer: &[u8]) -> [u8; 32] {
        let mut hasher = self.0.clone();
        hasher.update(footer.get(..HASHED).unwrap_or_default());
        *hasher.finalize().as_bytes()
    }
}

impl Footer {
    /// Encodes the footer of this content.
    #[must_use]
    pub fn encode(&self, content: &Content) -> [u8; SECTOR_BYTES] {
        let mut footer = [0; SECTOR_BYTES];
        put(&mut footer, 0, &MAGIC);
        put(&mut footer, 8, &self.pages.to_le_bytes());
        put(&mut footer, 16, &self.values.to_le_bytes());
        put(&mut footer, 24, &self.payload_bytes.to_le_bytes());
        put(&mut footer, 32, &self.file_bytes.to_le_bytes());
        let hash = content.hash(&footer);
        put(&mut footer, HASHED, &hash);
        footer
    }

    /// Decodes a footer. `None` unless it verifies as the footer of this content.
    #[must_use]
    pub fn decode(footer: &[u8], content: &Content) -> Option<Self> {
        let footer = footer.get(..SECTOR_BYTES)?;
        if !looks_like_one(footer) || content.hash(footer) != array(footer, HASHED) {
            return None;
        }
        Some(Self {
            pages: u64_at(footer, 8),
            values: u64_at(footer, 16),
            payload_bytes: u64_at(footer, 24),
            file_bytes: u64_at(footer, 32),
        })
    }
}

/// Has it the magic of a footer? All that can be said where something in front of it is damaged.
#[must_use]
pub fn looks_like_one(sector: &[u8]) -> bool {
    array::<8>(sector, 0) == MAGIC
}
