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
//! An entry is: length of the key (4), length of the value (4), the key, the value. If the length of the value is all
//! ones, its place in a [cold file](crate::storage::cold) of the shard follows instead: number of the file (8), sector
//! (4), sectors (2), slot (2). Such entries came with version 2.
//!
//! The tag is looked at first, so that no length is believed, and no room made for it, on the word of a damaged byte.

use super::super::bytes::{array, put, u32_at, u64_at};
use super::super::codec;
use crate::model::{ColdSeq, Location};

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
    pub value: Value<'a>,
}

/// A value, or where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// The value.
    Here(&'a [u8]),
    /// Its place in a cold file.
    Cold(Location),
}

/// In the place of a value's length: a location follows.
const COLD: u32 = u32::MAX;
const LOCATION_BYTES: usize = 16;

impl Value<'_> {
    /// How many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Here(value) => value.len(),
            Self::Cold(_) => LOCATION_BYTES,
        }
    }
}

/// Appends an entry to a payload. Key and value must be no longer than [`ENTRY_BYTES_MAX`] together.
pub fn push(payload: &mut Vec<u8>, key: &[u8], value: Value<'_>) {
    let length = match value {
        Value::Here(value) => value.len() as u32,
        Value::Cold(_) => COLD,
    };
    payload.extend_from_slice(&(key.len() as u32).to_le_bytes());
    payload.extend_from_slice(&length.to_le_bytes());
    payload.extend_from_slice(key);
    match value {
        Value::Here(value) => payload.extend_from_slice(value),
        Value::Cold(Location { file, sector, sectors, slot }) => {
            payload.extend_from_slice(&file.0.to_le_bytes());
            payload.extend_from_slice(&sector.to_le_bytes());
            payload.extend_from_slice(&sectors.to_le_bytes());
            payload.extend_from_slice(&slot.to_le_bytes());
        }
    }
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
    let length = u32_at(lengths, 4);
    let end = value_at.checked_add(if length == COLD { LOCATION_BYTES } else { length as usize })?;
    let (key, value) = (payload.get(key_at..value_at)?, payload.get(value_at..end)?);
    let value = if length == COLD { Value::Cold(location(value)) } else { Value::Here(value) };
    Some((Entry { at, key, value }, end))
}

fn location(bytes: &[u8]) -> Location {
    let half = |at| u16::from_le_bytes(array(bytes, at));
    Location { file: ColdSeq(u64_at(bytes, 0)), sector: u32_at(bytes, 8), sectors: half(12), slot: half(14) }
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
