//! Pages: some kilobytes of values, or one long value. What is read at once and verified by itself. Pure bytes, no
//! files.
//!
//! # Format
//! Pages follow each other without gaps, from sector 1 on. A page has at least one value, and as many sectors as it
//! needs.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic `MCPG` |
//! | 4..6 | count of slots |
//! | 6..8 | sectors |
//! | 8..12 | own sector, from the file's beginning |
//! | 12..16 | used bytes: those of the slots |
//! | 16..20 | schema of the values |
//! | 20..24 | zero |
//! | 24..32 | tag: the first 8 bytes of BLAKE3 of bytes 0..24, keyed as the head of `cold.rs` says |
//! | 32..64 | BLAKE3 of bytes 0..32 and all that follows byte 64, with the same key |
//! | 64.. | slots, one after the other, then zeroes up to the end of the sector |
//!
//! A slot is: length of the key (4), length of the value (4), the key, the value.
//!
//! A page is closed when the next value would make it longer than 4 KiB. A value that is too long for that has a page
//! of its own. The sector is hashed, so a page that lies elsewhere does not verify. The tag is for whoever reads from
//! page to page: no length is believed, and no room made for it, on the word of a damaged byte.

use super::super::bytes::{array, put, u32_at};
use super::SECTOR_BYTES;

/// Fixed part of a page.
pub const HEADER_BYTES: usize = 64;
/// What a value costs beside its key and itself.
pub const SLOT_HEADER_BYTES: usize = 8;
/// No page with more than one value is longer.
pub const PAGE_BYTES: usize = 4096;
/// No page is longer: its sectors are counted with 16 bits.
pub const PAGE_BYTES_MAX: usize = u16::MAX as usize * SECTOR_BYTES;

const MAGIC: [u8; 4] = *b"MCPG";
const TAGGED: usize = 24;
const HASHED_HEADER: usize = 32;

/// Fixed part of a page, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// Count of slots.
    pub slots: u16,
    /// Length in sectors.
    pub sectors: u16,
    /// Where it lies.
    pub sector: u32,
    /// Bytes of all slots.
    pub used: u32,
    /// Schema of the values.
    pub schema: u32,
    /// Own hash.
    pub hash: [u8; 32],
}

/// One value of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Is there a page long enough for this value? A longer one cannot be written to a cold file.
#[must_use]
pub fn fits(key: &[u8], value: &[u8]) -> bool {
    slot_bytes(key, value) <= PAGE_BYTES_MAX - HEADER_BYTES
}

/// What a value takes of a page.
#[must_use]
pub fn slot_bytes(key: &[u8], value: &[u8]) -> usize {
    SLOT_HEADER_BYTES.saturating_add(key.len()).saturating_add(value.len())
}

/// Appends a value that [`fits`] to a page, for whose header the first [`HEADER_BYTES`] bytes are left free.
pub fn push(page: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    page.extend_from_slice(&(key.len() as u32).to_le_bytes());
    page.extend_from_slice(&(value.len() as u32).to_le_bytes());
    page.extend_from_slice(key);
    page.extend_from_slice(value);
}

/// Fills the page up to the end of its last sector, fills in its header, and returns its hash. It must be no longer
/// than [`PAGE_BYTES_MAX`].
pub fn seal(page: &mut Vec<u8>, hash_key: &[u8; 32], sector: u32, slots: u16, schema: u32) -> [u8; 32] {
    let used = page.len().saturating_sub(HEADER_BYTES) as u32;
    page.resize(page.len().next_multiple_of(SECTOR_BYTES), 0);
    let sectors = (page.len() / SECTOR_BYTES) as u16;
    put(page, 0, &MAGIC);
    put(page, 4, &slots.to_le_bytes());
    put(page, 6, &sectors.to_le_bytes());
    put(page, 8, &sector.to_le_bytes());
    put(page, 12, &used.to_le_bytes());
    put(page, 16, &schema.to_le_bytes());
    put(page, 20, &[0; 4]);
    let tag = tag(page, hash_key);
    put(page, TAGGED, &tag);
    let hash = hash(page, hash_key);
    put(page, HASHED_HEADER, &hash);
    hash
}

impl PageHeader {
    /// Decodes a header. `None` unless its tag verifies and its lengths add up; the slots are not verified yet.
    #[must_use]
    pub fn decode(header: &[u8], hash_key: &[u8; 32]) -> Option<Self> {
        let header = header.get(..HEADER_BYTES)?;
        if array::<4>(header, 0) != MAGIC || array(header, TAGGED) != tag(header, hash_key) {
            return None;
        }
        let decoded = Self {
            slots: u16::from_le_bytes(array(header, 4)),
            sectors: u16::from_le_bytes(array(header, 6)),
            sector: u32_at(header, 8),
            used: u32_at(header, 12),
            schema: u32_at(header, 16),
            hash: array(header, HASHED_HEADER),
        };
        let needed = (decoded.used as usize).checked_add(HEADER_BYTES)?.div_ceil(SECTOR_BYTES);
        (needed == usize::from(decoded.sectors)).then_some(decoded)
    }

    /// Length of the page.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::from(self.sectors) * SECTOR_BYTES
    }

    /// The slots' bytes of this header's page.
    #[must_use]
    pub fn payload<'a>(&self, page: &'a [u8]) -> &'a [u8] {
        page.get(HEADER_BYTES..HEADER_BYTES + self.used as usize).unwrap_or_default()
    }

    /// Has a verified payload the slots that the header counts? A hash that verifies all but rules out that it has
    /// not: only a faulty writer could have made it.
    #[must_use]
    pub fn adds_up(&self, payload: &[u8]) -> bool {
        let mut count = 0;
        let is_whole = slots(payload).inspect(|_| count += 1).all(|slot| slot.is_some());
        is_whole && count > 0 && count == usize::from(self.slots)
    }
}

/// Does the whole page verify?
#[must_use]
pub fn verify(page: &[u8], header: &PageHeader, hash_key: &[u8; 32]) -> bool {
    page.len() == header.bytes() && hash(page, hash_key) == header.hash
}

/// The slots of a verified page. `None`, and then nothing, where it does not add up.
pub fn slots(payload: &[u8]) -> impl Iterator<Item = Option<Slot<'_>>> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let taken = slot(rest);
        rest = taken.map_or(&[], |(_, after)| after);
        Some(taken.map(|(slot, _)| slot))
    })
}

/// The first slot, and what follows it.
fn slot(payload: &[u8]) -> Option<(Slot<'_>, &[u8])> {
    let (lengths, rest) = payload.split_at_checked(SLOT_HEADER_BYTES)?;
    let (key, rest) = rest.split_at_checked(u32_at(lengths, 0) as usize)?;
    let (value, rest) = rest.split_at_checked(u32_at(lengths, 4) as usize)?;
    Some((Slot { key, value }, rest))
}

fn tag(header: &[u8], hash_key: &[u8; 32]) -> [u8; 8] {
    let hash = blake3::keyed_hash(hash_key, header.get(..TAGGED).unwrap_or_default());
    array(hash.as_bytes(), 0)
}

fn hash(page: &[u8], hash_key: &[u8; 32]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(hash_key);
    hasher.update(page.get(..HASHED_HEADER).unwrap_or_default());
    hasher.update(page.get(HEADER_BYTES..).unwrap_or_default());
    *hasher.finalize().as_bytes()
}
