//! Frames: one group-committed write, atomic as a whole. Pure bytes, no files.
//!
//! # Format
//! A frame starts at a multiple of 64 bytes. Integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | magic `MSFR` |
//! | 4..8 | version, 1 |
//! | 8..16 | epoch |
//! | 16..24 | first lsn: of the first command, or the next one if there are none |
//! | 24..28 | count of commands |
//! | 28..32 | count of batches |
//! | 32..36 | payload bytes |
//! | 36..40 | zero |
//! | 40..48 | durable end: every lsn below it was synced before this frame was written |
//! | 48..64 | tag: the first 16 bytes of BLAKE3 of bytes 0..48 and 64..96, keyed with the segment's salt |
//! | 64..96 | hash of the frame before, or of the segment's header |
//! | 96..128 | BLAKE3 of bytes 0..96 and the payload, keyed with the segment's salt |
//! | 128.. | payload: batches, one after the other; zeroes up to the next multiple of 64 |
//!
//! The tag is what a search behind a damaged frame looks at first. Without it, bytes that a client has made up to look
//! like headers of long frames would each cost a hash of all that follows.
//!
//! A batch is: time (8), first lsn (8), schema (4), count (4), a length (4) per command, the commands' bytes.
//!
//! # Recovery
//! A frame is *self-valid* when its own hash verifies, and *chained* when its predecessor's hash is also that of the
//! frame before. An empty frame (no commands) only carries a durable end.

use bytes::Bytes;

use super::bytes::{array, put, u32_at, u64_at};
use crate::model::{Batch, Epoch, Lsn, Time};

/// Frames start at multiples of this.
pub const ALIGNMENT: u64 = 64;
/// Fixed part of a frame.
pub const HEADER_BYTES: usize = 128;
/// Fixed part of a batch.
pub const BATCH_HEADER_BYTES: usize = 24;
/// What a command costs beside its own bytes.
pub const COMMAND_HEADER_BYTES: usize = 4;

const MAGIC: [u8; 4] = *b"MSFR";
const VERSION: u32 = 1;
const HASHED_HEADER: usize = 96;
const TAG: std::ops::Range<usize> = 48..64;

/// Fixed part of a frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Timeline.
    pub epoch: Epoch,
    /// First lsn.
    pub first: Lsn,
    /// Count of commands.
    pub count: u32,
    /// Count of batches.
    pub batches: u32,
    /// Length of the payload.
    pub payload_bytes: u32,
    /// Every lsn below it was synced before this frame was written.
    pub durable_end: Lsn,
    /// Hash of the frame before.
    pub previous: [u8; 32],
    /// Own hash.
    pub hash: [u8; 32],
}

/// An encoded frame, ready to be written, and to be sealed again for another segment.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    end: Lsn,
}

/// Rounds up to where the next frame starts.
#[must_use]
pub const fn align(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGNMENT)
}

/// Bytes that one batch adds to a frame.
#[must_use]
pub fn batch_bytes(commands: usize, command_bytes: usize) -> usize {
    BATCH_HEADER_BYTES + commands * COMMAND_HEADER_BYTES + command_bytes
}

/// Bytes in the file of a frame with this payload.
#[must_use]
pub const fn frame_bytes(payload_bytes: u64) -> u64 {
    align(HEADER_BYTES as u64 + payload_bytes)
}

impl Frame {
    /// Encodes batches whose first command is `first`. [`Frame::seal`] must follow.
    #[must_use]
    pub fn encode(epoch: Epoch, first: Lsn, batches: &[&Batch]) -> Self {
        let payload: usize = batches.iter().map(|batch| batch_bytes(batch.lengths.len(), batch.bytes.len())).sum();
        let total = frame_bytes(payload as u64) as usize;
        let mut bytes = Vec::with_capacity(total);
        bytes.resize(HEADER_BYTES, 0);
        batches.iter().for_each(|batch| encode_batch(batch, &mut bytes));
        bytes.resize(total, 0);
        let count: usize = batches.iter().map(|batch| batch.lengths.len()).sum();
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 4, &VERSION.to_le_bytes());
        put(&mut bytes, 8, &epoch.0.to_le_bytes());
        put(&mut bytes, 16, &first.0.to_le_bytes());
        put(&mut bytes, 24, &(count as u32).to_le_bytes());
        put(&mut bytes, 28, &(batches.len() as u32).to_le_bytes());
        put(&mut bytes, 32, &(payload as u32).to_le_bytes());
        Self { bytes, end: first.plus(count as u64) }
    }

    /// Chains the frame to its predecessor under a segment's salt and returns its hash.
    pub fn seal(&mut self, salt: &[u8; 32], durable_end: Lsn, previous: &[u8; 32]) -> [u8; 32] {
        put(&mut self.bytes, 40, &durable_end.0.to_le_bytes());
        put(&mut self.bytes, 64, previous);
        let tag = tag(salt, &self.bytes);
        put(&mut self.bytes, TAG.start, &tag);
        let payload_end = HEADER_BYTES + u32_at(&self.bytes, 32) as usize;
        let payload = self.bytes.get(HEADER_BYTES..payload_end).unwrap_or_default();
        let hash = hash(salt, &self.bytes, payload);
        put(&mut self.bytes, HASHED_HEADER, &hash);
        hash
    }

    /// The bytes, a multiple of 64.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lsn after its last command.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }
}

fn encode_batch(batch: &Batch, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&batch.time.0.to_le_bytes());
    bytes.extend_from_slice(&batch.first.0.to_le_bytes());
    bytes.extend_from_slice(&batch.schema.to_le_bytes());
    bytes.extend_from_slice(&(batch.lengths.len() as u32).to_le_bytes());
    for length in &batch.lengths {
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    bytes.extend_from_slice(&batch.bytes);
}

fn tag(salt: &[u8; 32], header: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    hasher.update(header.get(..TAG.start).unwrap_or_default());
    hasher.update(header.get(TAG.end..HASHED_HEADER).unwrap_or_default());
    array(hasher.finalize().as_bytes(), 0)
}

fn hash(salt: &[u8; 32], header: &[u8], payload: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    hasher.update(header.get(..HASHED_HEADER).unwrap_or_default());
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

impl FrameHeader {
    /// Decodes a header that starts at the beginning of `bytes`, if it looks like one. Nothing is verified yet.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        if array::<4>(header, 0) != MAGIC || u32_at(header, 4) != VERSION || u32_at(header, 36) != 0 {
            return None;
        }
        Some(Self {
            epoch: Epoch(u64_at(header, 8)),
            first: Lsn(u64_at(header, 16)),
            count: u32_at(header, 24),
            batches: u32_at(header, 28),
            payload_bytes: u32_at(header, 32),
            durable_end: Lsn(u64_at(header, 40)),
            previous: array(header, 64),
            hash: array(header, HASHED_HEADER),
        })
    }

    /// The lsn after the last command.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.first.plus(u64::from(self.count))
    }

    /// Bytes in the file, padding included.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        frame_bytes(self.payload_bytes as u64)
    }
}

/// Decodes and verifies the frame at the beginning of `bytes`: `None` unless it is self-valid.
#[must_use]
pub fn verify<'a>(bytes: &'a [u8], salt: &[u8; 32]) -> Option<(FrameHeader, &'a [u8])> {
    let header = FrameHeader::decode(bytes)?;
    if array::<16>(bytes, TAG.start) != tag(salt, bytes) {
        return None;
    }
    let payload_end = HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
    let payload = bytes.get(HEADER_BYTES..payload_end)?;
    (hash(salt, bytes, payload) == header.hash).then_some((header, payload))
}

/// Splits a verified payload into its batches. `None` if it does not add up, which a hash that verifies all but rules
/// out: only a faulty writer could have made it.
#[must_use]
pub fn decode_batches(header: &FrameHeader, payload: &Bytes) -> Option<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut next = header.first;
    let mut at = 0usize;
    while at < payload.len() {
        let fixed = payload.get(at..at.checked_add(BATCH_HEADER_BYTES)?)?;
        let time = Time(u64_at(fixed, 0));
        let first = Lsn(u64_at(fixed, 8));
        let (schema, count) = (u32_at(fixed, 16), u32_at(fixed, 20) as usize);
        let lengths_at = at + BATCH_HEADER_BYTES;
        let bytes_at = lengths_at.checked_add(count.checked_mul(COMMAND_HEADER_BYTES)?)?;
        let lengths: Vec<u32> = payload
            .get(lengths_at..bytes_at)?
            .chunks_exact(COMMAND_HEADER_BYTES)
            .map(|length| u32_at(length, 0))
            .collect();
        at = lengths
            .iter()
            .try_fold(bytes_at, |end, length| end.checked_add(*length as usize))
            .filter(|end| *end <= payload.len())?;
        let bytes = payload.slice(bytes_at..at);
        if first != next {
            return None;
        }
        next = first.plus(count as u64);
        batches.push(Batch { time, schema, first, lengths, bytes });
    }
    (next == header.end() && batches.len() == header.batches as usize).then_some(batches)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SALT: [u8; 32] = [7; 32];

    fn sample() -> Frame {
        let batch = |first, commands: &[&'static [u8]]| Batch {
            time: Time(0x0102),
            schema: 3,
            first: Lsn(first),
            lengths: commands.iter().map(|bytes| bytes.len() as u32).collect(),
            bytes: Bytes::from(commands.concat()),
        };
        let batches = [batch(10, &[b"ab", b""]), batch(12, &[b"xyz"])];
        let mut frame = Frame::encode(Epoch(2), Lsn(10), &batches.each_ref());
        frame.seal(&SALT, Lsn(9), &[1; 32]);
        frame
    }

    #[test]
    fn golden_bytes() {
        let frame = sample();
        let bytes = frame.bytes();
        assert_eq!(bytes.len(), 256);
        let mut expected = Vec::from(*b"MSFR\x01\0\0\0\x02\0\0\0\0\0\0\0\x0a\0\0\0\0\0\0\0");
        expected.extend_from_slice(&[3, 0, 0, 0, 2, 0, 0, 0, 65, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend_from_slice(&[0; 16]);
        expected.extend_from_slice(&[1; 32]);
        put(&mut expected, 48, &bytes[TAG]);
        assert_eq!(&bytes[..96], &expected[..]);
        assert_eq!(u128::from_le_bytes(array(bytes, 48)), 21602850254104363419583410802752011732);
        let batch = [2, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(&bytes[128..152], &batch);
        assert_eq!(&bytes[152..162], b"\x02\0\0\0\0\0\0\0ab");
        assert_eq!(
            blake3::Hash::from_bytes(array(bytes, 96)).to_hex().as_str(),
            "ae999d57c66751e706c2c1f42a061c8952914328036f134f16a03853e514ecc9",
        );
    }

    #[test]
    fn round_trip() {
        let frame = sample();
        let (header, payload) = verify(frame.bytes(), &SALT).unwrap();
        assert_eq!((header.end(), header.durable_end, frame.end()), (Lsn(13), Lsn(9), Lsn(13)));
        let batches = decode_batches(&header, &Bytes::copy_from_slice(payload)).unwrap();
        assert_eq!(batches.len(), 2);
        let commands: Vec<_> = batches.iter().flat_map(Batch::commands).collect();
        assert_eq!(commands, [b"ab".as_slice(), b"", b"xyz"]);
    }

    /// Guards F11, F12: no damaged byte of header or payload goes unnoticed, and no length is believed.
    #[test]
    fn every_bit_flip_is_seen() {
        let good = sample().bytes().to_vec();
        for at in 0..128 + 65 {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(verify(&bytes, &SALT).is_none(), "byte {at} bit {bit}");
            }
        }
        for length in [0u32, u32::MAX] {
            let mut bytes = good.clone();
            put(&mut bytes, 32, &length.to_le_bytes());
            assert!(verify(&bytes, &SALT).is_none());
        }
    }

    /// Guards F57: without the salt nobody can make up a header that a payload is hashed for.
    #[test]
    fn a_header_without_its_tag_is_none() {
        let mut bytes = sample().bytes().to_vec();
        put(&mut bytes, TAG.start, &[0; 16]);
        let payload_end = HEADER_BYTES + u32_at(&bytes, 32) as usize;
        let hash = hash(&SALT, &bytes, &bytes[HEADER_BYTES..payload_end]);
        put(&mut bytes, HASHED_HEADER, &hash);
        assert!(verify(&bytes, &SALT).is_none());
    }

    #[test]
    fn another_segments_frame_never_verifies() {
        assert!(verify(sample().bytes(), &[8; 32]).is_none());
        assert!(verify(&[0; 512], &SALT).is_none());
    }
}
