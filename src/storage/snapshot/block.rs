//! Blocks: the entries of a snapshot, some hundred kilobytes of them at a time. Pure bytes, no files.
//!
//! # Format
//! Blocks follow each other without gaps, from byte 256 of the file on. A block has at least one entry.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic `MSBK` |
//! | 4..8 | payload bytes |
//! | 8..12 | count of entries |
//! | 12..16 | zero |
//! | 16..24 | number of the block, from 0 |
//! | 24..32 | tag: the first 8 bytes of BLAKE3 of bytes 0..24, keyed with the file's salt |
//! | 32..64 | BLAKE3 of bytes 0..32 and the payload, keyed with the file's salt |
//! | 64.. | payload: entries, one after the other |
//!
//! An entry is: length of the key (4), length of the value (4), the key, the value.
//!
//! The tag is looked at first, so that no length is believed, and no room made for it, on the word of a damaged byte.

use super::super::bytes::{array, put, u32_at, u64_at};
use super::super::codec;

/// Fixed part of a block.
pub const HEADER_BYTES: usize = 64;
/// What an entry costs beside its key and value.
pub const ENTRY_HEADER_BYTES: usize = 8;
/// A block is closed when its payload has reached this.
pub const BLOCK_BYTES: usize = 256 * 1024;
/// No entry is longer, key and value together: each of them is part of an encoded value at most.
pub const ENTRY_BYTES_MAX: usize = 2 * codec::BYTES_MAX;
/// No payload is longer: one that was almost full, and the longest entry.
pub const PAYLOAD_BYTES_MAX: usize = BLOCK_BYTES + ENTRY_HEADER_BYTES + ENTRY_BYTES_MAX;

const MAGIC: [u8; 4] = *b"MSBK";
const TAGGED: usize = 24;
const HASHED_HEADER: usize = 32;

/// Fixed part of a block, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Length of the payload.
    pub payload_bytes: u32,
    /// Count of entries.
    pub entries: u32,
    /// Number of the block, from 0.
    pub number: u64,
    /// Own hash.
    pub hash: [u8; 32],
}

/// One entry of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where in the payload it begins.
    pub at: usize,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
}

/// Appends an entry to a payload. Key and value must be no longer than [`ENTRY_BYTES_MAX`] together.
pub fn push(payload: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    payload.extend_from_slice(&(key.len() as u32).to_le_bytes());
    payload.extend_from_slice(&(value.len() as u32).to_le_bytes());
    payload.extend_from_slice(key);
    payload.extend_from_slice(value);
}

/// Fills in the header of a block, for which its first [`HEADER_BYTES`] bytes are left free, and returns its hash.
pub fn seal(block: &mut [u8], salt: &[u8; 32], number: u64, entries: u32) -> [u8; 32] {
    let payload_bytes = block.len().saturating_sub(HEADER_BYTES) as u32;
    put(block, 0, &MAGIC);
    put(block, 4, &payload_bytes.to_le_bytes());
    put(block, 8, &entries.to_le_bytes());
    put(block, 12, &[0; 4]);
    put(block, 16, &number.to_le_bytes());
    let tag = tag(block, salt);
    put(block, TAGGED, &tag);
    let hash = hash(block, block.get(HEADER_BYTES..).unwrap_or_default(), salt);
    put(block, HASHED_HEADER, &hash);
    hash
}

impl BlockHeader {
    /// Decodes a header. `None` unless its tag verifies; the payload is not verified yet.
    #[must_use]
    pub fn decode(header: &[u8], salt: &[u8; 32]) -> Option<Self> {
        let header = header.get(..HEADER_BYTES)?;
        if array::<4>(header, 0) != MAGIC || array(header, TAGGED) != tag(header, salt) {
            return None;
        }
        Some(Self {
            payload_bytes: u32_at(header, 4),
            entries: u32_at(header, 8),
            number: u64_at(header, 16),
            hash: array(header, HASHED_HEADER),
        })
    }
}

/// Do header and payload verify?
#[must_use]
pub fn verify(header: &[u8], payload: &[u8], salt: &[u8; 32]) -> bool {
    hash(header, payload, salt) == array(header, HASHED_HEADER)
}

/// The entries of a verified payload. `None`, and then nothing, where it does not add up, which a hash that verifies
/// all but rules out: only a faulty writer could have made it.
pub fn entries(payload: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= payload.len() {
            return None;
        }
        let entry = entry(payload, at);
        at = entry.map_or(payload.len(), |(_, next)| next);
        Some(entry.map(|(entry, _)| entry))
    })
}

/// The entry at `at`, and where the next one begins.
fn entry(payload: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let key_at = at.checked_add(ENTRY_HEADER_BYTES)?;
    let lengths = payload.get(at..key_at)?;
    let value_at = key_at.checked_add(u32_at(lengths, 0) as usize)?;
    let end = value_at.checked_add(u32_at(lengths, 4) as usize)?;
    Some((Entry { at, key: payload.get(key_at..value_at)?, value: payload.get(value_at..end)? }, end))
}

fn tag(header: &[u8], salt: &[u8; 32]) -> [u8; 8] {
    let hash = blake3::keyed_hash(salt, header.get(..TAGGED).unwrap_or_default());
    array(hash.as_bytes(), 0)
}

fn hash(header: &[u8], payload: &[u8], salt: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    hasher.update(header.get(..HASHED_HEADER).unwrap_or_default());
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}
