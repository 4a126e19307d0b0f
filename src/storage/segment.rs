//! Segments: one file of a shard's log. Pure bytes, no files.
//!
//! # Format
//! A segment is made zero-filled at its full size. Its first 256 bytes are the header, written and synced before any
//! frame; frames follow from byte 256 on. Integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `MAINSEG1` |
//! | 8..12 | version, 1 |
//! | 12..16 | why it was opened: 1 begin, 2 roll, 3 move |
//! | 16..32 | directory id |
//! | 32..36 | shard |
//! | 36..40 | zero |
//! | 40..48 | segment number |
//! | 48..56 | epoch |
//! | 56..64 | incarnation |
//! | 64..72 | first lsn |
//! | 72..80 | number of the segment that it follows, 0 if none |
//! | 80..88 | where that one ends |
//! | 88..120 | hash of that one's last frame (of its header if it has none) |
//! | 120..152 | random salt: the key of the frames' hashes |
//! | 152..224 | zero |
//! | 224..256 | BLAKE3 of bytes 0..224 |
//!
//! # Recovery
//! All zero: an unused spare. Neither zero nor valid, and nothing behind it: a header whose write was cut short; no
//! frame can have followed, so it is a spare that must not be used. Anything else that does not verify is damage.

use super::bytes::{all_zero, array, put, u32_at, u64_at};
use crate::model::{DirectoryId, Epoch, Incarnation, Lsn, SegmentSeq, ShardId, Tail};

/// Bytes in front of the first frame.
pub const HEADER_BYTES: usize = 256;
/// The format that this code writes, and the newest that it reads.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"MAINSEG1";
const HASHED: usize = 224;

/// Why a segment was opened. Persisted, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Opened {
    /// A writer's life began; a manifest edit says so too.
    Begin = 1,
    /// The one before was full.
    Roll = 2,
    /// The one before failed; a manifest edit says so too, or the file is an unused spare.
    Move = 3,
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Why it was opened.
    pub opened: Opened,
    /// Whose directory.
    pub directory: DirectoryId,
    /// Whose log.
    pub shard: ShardId,
    /// Its number.
    pub segment: SegmentSeq,
    /// The writer's timeline.
    pub epoch: Epoch,
    /// The writer.
    pub incarnation: Incarnation,
    /// End of the log that it follows; the number 0 if there is none.
    pub follows: Tail,
    /// Key of the frames' hashes.
    pub salt: [u8; 32],
}

/// What a segment's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderState {
    /// All zero.
    Unused,
    /// Verified; with its hash.
    Valid(SegmentHeader, [u8; 32]),
    /// Written by newer code.
    Newer(u32),
    /// Neither zero nor valid.
    Invalid,
}

impl SegmentHeader {
    /// Encodes the header and returns it with its hash.
    #[must_use]
    pub fn encode(&self) -> ([u8; HEADER_BYTES], [u8; 32]) {
        let mut header = [0; HEADER_BYTES];
        put(&mut header, 0, &MAGIC);
        put(&mut header, 8, &VERSION.to_le_bytes());
        put(&mut header, 12, &(self.opened as u32).to_le_bytes());
        put(&mut header, 16, &self.directory.0);
        put(&mut header, 32, &self.shard.0.to_le_bytes());
        put(&mut header, 40, &self.segment.0.to_le_bytes());
        put(&mut header, 48, &self.epoch.0.to_le_bytes());
        put(&mut header, 56, &self.incarnation.0.to_le_bytes());
        put(&mut header, 64, &self.follows.end.0.to_le_bytes());
        put(&mut header, 72, &self.follows.segment.0.to_le_bytes());
        put(&mut header, 80, &self.follows.offset.to_le_bytes());
        put(&mut header, 88, &self.follows.hash);
        put(&mut header, 120, &self.salt);
        let hash = hash(&header);
        put(&mut header, HASHED, &hash);
        (header, hash)
    }

    /// Decodes a segment's first bytes.
    #[must_use]
    pub fn decode(header: &[u8]) -> HeaderState {
        if all_zero(header) {
            return HeaderState::Unused;
        }
        if array::<8>(header, 0) != MAGIC || header.len() < HEADER_BYTES {
            return HeaderState::Invalid;
        }
        if hash(header) != array(header, HASHED) {
            return HeaderState::Invalid;
        }
        if u32_at(header, 8) != VERSION {
            return HeaderState::Newer(u32_at(header, 8));
        }
        let opened = match u32_at(header, 12) {
            1 => Opened::Begin,
            2 => Opened::Roll,
            3 => Opened::Move,
            _ => return HeaderState::Invalid,
        };
        let follows = Tail {
            segment: SegmentSeq(u64_at(header, 72)),
            offset: u64_at(header, 80),
            end: Lsn(u64_at(header, 64)),
            hash: array(header, 88),
        };
        let decoded = Self {
            opened,
            directory: DirectoryId(array(header, 16)),
            shard: ShardId(u32_at(header, 32)),
            segment: SegmentSeq(u64_at(header, 40)),
            epoch: Epoch(u64_at(header, 48)),
            incarnation: Incarnation(u64_at(header, 56)),
            follows,
            salt: array(header, 120),
        };
        HeaderState::Valid(decoded, array(header, HASHED))
    }
}

fn hash(header: &[u8]) -> [u8; 32] {
    *blake3::hash(header.get(..HASHED).unwrap_or_default()).as_bytes()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            opened: Opened::Roll,
            directory: DirectoryId([9; 16]),
            shard: ShardId(2),
            segment: SegmentSeq(5),
            epoch: Epoch(3),
            incarnation: Incarnation(4),
            follows: Tail { segment: SegmentSeq(4), offset: 640, end: Lsn(77), hash: [6; 32] },
            salt: [8; 32],
        }
    }

    #[test]
    fn golden_bytes() {
        let (header, hash) = sample().encode();
        let mut expected = Vec::from(*b"MAINSEG1\x01\0\0\0\x02\0\0\0");
        expected.extend_from_slice(&[9; 16]);
        expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
        for number in [5u64, 3, 4, 77, 4, 640] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        expected.extend_from_slice(&[6; 32]);
        expected.extend_from_slice(&[8; 32]);
        expected.resize(224, 0);
        expected.extend_from_slice(blake3::hash(&expected).as_bytes());
        assert_eq!(&header[..], &expected[..]);
        assert_eq!(&header[224..], &hash);
    }

    #[test]
    fn round_trip_and_every_bit_flip() {
        let (header, hash) = sample().encode();
        assert_eq!(SegmentHeader::decode(&header), HeaderState::Valid(sample(), hash));
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                let mut damaged = header;
                damaged[at] ^= 1 << bit;
                assert_eq!(SegmentHeader::decode(&damaged), HeaderState::Invalid, "byte {at}");
            }
        }
        assert_eq!(SegmentHeader::decode(&[0; HEADER_BYTES]), HeaderState::Unused);
    }
}
