//! Decoders under random and mutated bytes: they never panic, never believe a length, and accept only what was encoded.
//!
//! A hash keeps accidents out; to get behind it, payloads are also sealed properly around garbage, as a faulty writer
//! might.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "formats/cold.rs"]
mod cold;
#[path = "formats/golden.rs"]
mod golden;
#[path = "formats/manifest.rs"]
mod manifest;

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use mainstay::model::{
    Batch, ColdSeq, DirectoryId, Epoch, Incarnation, Location, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Tail,
    Time,
};
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::error::SnapshotError;
use mainstay::storage::frame::{self, Frame, FrameHeader};
use mainstay::storage::layout::Layout;
use mainstay::storage::line;
use mainstay::storage::segment::{HeaderState, Opened, SegmentHeader};
use mainstay::storage::snapshot::block::{self, BlockHeader};
use mainstay::storage::snapshot::footer::{Content, FOOTER_BYTES, Footer};
use mainstay::storage::snapshot::{self, Expected, NoHeader, SnapshotHeader, SnapshotWriter, Value};
use proptest::prelude::*;

const SALT: [u8; 32] = [3; 32];

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    proptest::collection::vec(proptest::collection::vec(bytes(40), 1..6), 0..5).prop_map(|batches| {
        let mut next = 7;
        let batch = |commands: Vec<Vec<u8>>| {
            let first = Lsn(next);
            next += commands.len() as u64;
            Batch {
                time: Time(next * 10),
                schema: 2,
                first,
                lengths: commands.iter().map(|command| command.len() as u32).collect(),
                bytes: Bytes::from(commands.concat()),
            }
        };
        batches.into_iter().map(batch).collect()
    })
}

fn snapshot_header() -> SnapshotHeader {
    SnapshotHeader {
        schema: 2,
        directory: DirectoryId([9; 16]),
        shard: ShardId(0),
        snapshot: SnapshotSeq(5),
        end: Position { epoch: Epoch(3), lsn: Lsn(77) },
        time: Time(70),
        salt: SALT,
    }
}

/// Keys with values, or where these lie.
type Entries = Vec<(Vec<u8>, Result<Vec<u8>, Location>)>;

fn entries() -> impl Strategy<Value = Entries> {
    let location = any::<(u64, u32, u16, u16)>();
    let location =
        location.prop_map(|(file, sector, sectors, slot)| Err(Location { file: ColdSeq(file), sector, sectors, slot }));
    let value = prop_oneof![4 => bytes(60).prop_map(Ok), 1 => location];
    proptest::collection::vec((bytes(20), value), 0..12)
}

fn value(entry: &Result<Vec<u8>, Location>) -> Value<'_> {
    entry.as_ref().map_or_else(|location| Value::Cold(*location), |value| Value::Here(value))
}

/// A block around this payload, all hashes right.
fn sealed(payload: &[u8], number: u64, entries: u32) -> Vec<u8> {
    let mut block = vec![0; block::HEADER_BYTES];
    block.extend_from_slice(payload);
    block::seal(&mut block, &SALT, number, entries);
    block
}

/// Writes a snapshot on a disk of its own; returns it with its bytes and what the manifest would say.
fn written(entries: &Entries) -> (SimDisk, Vec<u8>, Expected) {
    let (disk, layout, header) = (SimDisk::new(1), Layout::new(Path::new("/")), snapshot_header());
    disk.create_dir(&layout.shard(header.shard)).unwrap();
    let mut writer = SnapshotWriter::create(&disk, &layout, header).unwrap();
    entries.iter().for_each(|(key, entry)| writer.entry(key, value(entry)).unwrap());
    let done = writer.finish(None).unwrap();
    let named: BTreeSet<_> = entries.iter().filter_map(|(_, entry)| Some(entry.as_ref().err()?.file)).collect();
    assert_eq!(done.cold, Vec::from_iter(named));
    let SnapshotHeader { directory, shard, snapshot, end, .. } = header;
    let expect =
        Expected { directory, shard, snapshot, end, hash: done.hash, bytes: done.bytes, entries: done.entries };
    let bytes = disk.read(snapshot_path()).unwrap();
    (disk, bytes, expect)
}

fn snapshot_path() -> std::path::PathBuf {
    Layout::new(Path::new("/")).snapshot(ShardId(0), SnapshotSeq(5))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn frames_round_trip(batches in batches()) {
        let references: Vec<_> = batches.iter().collect();
        let mut sealed = Frame::encode(Epoch(4), Lsn(7), &references);
        sealed.seal(&SALT, Lsn(5), &[9; 32]);
        let (header, payload) = frame::verify(sealed.bytes(), &SALT).unwrap();
        prop_assert_eq!(header.bytes(), sealed.bytes().len() as u64);
        let decoded = frame::decode_batches(&header, &Bytes::copy_from_slice(payload));
        prop_assert_eq!(decoded, Some(batches));
    }

    /// Guards F57: payloads that verify and do not add up.
    #[test]
    fn a_verified_payload_of_garbage_is_refused_or_adds_up(
        payload in bytes(300), count in any::<u32>(), batches in any::<u32>(), first in any::<u64>(),
    ) {
        let header = FrameHeader {
            epoch: Epoch(1),
            first: Lsn(first),
            count,
            batches,
            payload_bytes: payload.len() as u32,
            durable_end: Lsn(0),
            previous: [0; 32],
            hash: [0; 32],
        };
        if let Some(decoded) = frame::decode_batches(&header, &Bytes::from(payload)) {
            let commands: u64 = decoded.iter().map(|batch| batch.lengths.len() as u64).sum();
            prop_assert_eq!(commands, u64::from(count));
            prop_assert_eq!(decoded.len(), batches as usize);
        }
    }

    /// Guards F57: one number, anywhere in a payload that is right otherwise, is not what it should be.
    #[test]
    fn a_payload_with_one_absurd_number_is_refused_or_adds_up(
        batches in batches(), at in any::<prop::sample::Index>(),
        value in prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(i32::MAX as u32), any::<u32>(), 0..200u32],
    ) {
        let frame = Frame::encode(Epoch(4), Lsn(7), &batches.iter().collect::<Vec<_>>());
        let header = FrameHeader::decode(frame.bytes()).unwrap();
        let mut payload = frame.bytes()[frame::HEADER_BYTES..][..header.payload_bytes as usize].to_vec();
        if !payload.is_empty() {
            let at = at.index(payload.len() - 3);
            payload[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let bytes = payload.len();
        if let Some(decoded) = frame::decode_batches(&header, &Bytes::from(payload)) {
            let taken = decoded.iter().map(|batch| frame::batch_bytes(batch.lengths.len(), batch.bytes.len()));
            prop_assert_eq!(taken.sum::<usize>(), bytes);
            prop_assert_eq!(decoded.len(), header.batches as usize);
            prop_assert_eq!(decoded.last().map_or(Lsn(7), Batch::end), header.end());
            for batch in decoded {
                prop_assert_eq!(batch.commands().map(<[u8]>::len).sum::<usize>(), batch.bytes.len());
            }
        }
    }

    /// Guards F12, F20: a version is read only where a hash says that it was written, and then before anything else.
    #[test]
    fn a_newer_version_is_newer_in_a_header_and_nothing_in_a_frame(
        version in 2..=u32::MAX, at in 12usize..224, other in any::<u8>(), batches in batches(),
    ) {
        let header = SegmentHeader {
            opened: Opened::Roll,
            directory: DirectoryId([9; 16]),
            shard: ShardId(2),
            segment: SegmentSeq(5),
            epoch: Epoch(3),
            incarnation: Incarnation(4),
            follows: Tail { segment: SegmentSeq(4), offset: 640, end: Lsn(77), hash: [6; 32] },
            salt: SALT,
        };
        let (mut bytes, _) = header.encode();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        prop_assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Invalid);
        bytes[at] = other;
        let hash = blake3::hash(&bytes[..224]);
        bytes[224..].copy_from_slice(hash.as_bytes());
        prop_assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Newer(version));
        let mut frame = Frame::encode(Epoch(4), Lsn(7), &batches.iter().collect::<Vec<_>>());
        frame.seal(&SALT, Lsn(5), &[9; 32]);
        let mut bytes = frame.bytes().to_vec();
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        prop_assert!(FrameHeader::decode(&bytes).is_none());
    }

    #[test]
    fn garbage_is_no_frame_no_header_and_no_line(garbage in bytes(600), at in 0usize..600) {
        prop_assert!(frame::verify(&garbage, &SALT).is_none());
        let state = SegmentHeader::decode(&garbage);
        prop_assert!(matches!(state, HeaderState::Invalid | HeaderState::Unused), "{:?}", state);
        prop_assert!(line::read(&garbage, at.min(garbage.len()), &[]).is_err());
        let _ = line::find(&garbage, at);
    }

    #[test]
    fn snapshots_round_trip(entries in entries()) {
        let (disk, bytes, expect) = written(&entries);
        prop_assert_eq!(bytes.len() as u64, expect.bytes);
        let mut found = Vec::new();
        let summary = snapshot::read(&disk, &snapshot_path(), &expect, &mut |_, key, value| {
            found.push(match value {
                Value::Here(value) => (key.to_vec(), Ok(value.to_vec())),
                Value::Cold(location) => (key.to_vec(), Err(location)),
            });
            Ok(())
        });
        prop_assert_eq!(summary.unwrap().header, snapshot_header());
        prop_assert_eq!(found, entries);
    }

    /// Guards F11, F12: bytes anywhere in the file are not what they were, and its length may be another one, also in
    /// the manifest.
    #[test]
    fn a_changed_snapshot_is_refused(
        entries in entries(), at in any::<prop::sample::Index>(), change in bytes(40),
        keep in any::<prop::sample::Index>(), is_cut in any::<bool>(),
    ) {
        let (disk, good, expect) = written(&entries);
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + change.len()).min(good.len()), change.iter().copied());
        if is_cut {
            bytes.truncate(keep.index(good.len()));
        }
        prop_assume!(bytes != good);
        disk.put(snapshot_path(), &bytes);
        let length = Expected { bytes: bytes.len() as u64, ..expect };
        for expect in [expect, length] {
            let result = snapshot::verify(&disk, &snapshot_path(), &expect);
            prop_assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "{:?}", result);
        }
    }

    /// Guards F57: payloads that verify and do not add up.
    #[test]
    fn a_verified_block_of_garbage_is_refused_or_adds_up(
        payload in bytes(300), number in any::<u64>(), count in any::<u32>(),
    ) {
        let block = sealed(&payload, number, count);
        let header = BlockHeader::decode(&block, &SALT).unwrap();
        prop_assert_eq!((header.number, header.entries), (number, count));
        prop_assert_eq!(header.payload_bytes as usize, payload.len());
        prop_assert!(block::verify(&block, &payload, &SALT));
        let entries: Vec<_> = block::entries(&payload).collect();
        let refused = entries.iter().position(Option::is_none);
        prop_assert!(refused.is_none_or(|at| at + 1 == entries.len()), "nothing follows what does not add up");
        if refused.is_none() {
            let mut again = Vec::new();
            entries.iter().flatten().for_each(|entry| block::push(&mut again, entry.key, entry.value));
            prop_assert_eq!(again, payload);
        }
    }

    /// Guards F57: one number, anywhere in a payload that is right otherwise, is not what it should be.
    #[test]
    fn a_block_with_one_absurd_number_is_refused_or_adds_up(
        entries in entries(), at in any::<prop::sample::Index>(),
        number in prop_oneof![Just(0), Just(1), Just(u32::MAX), Just(i32::MAX as u32), any::<u32>(), 0..200u32],
    ) {
        let mut payload = Vec::new();
        entries.iter().for_each(|(key, entry)| block::push(&mut payload, key, value(entry)));
        if !payload.is_empty() {
            let at = at.index(payload.len() - 3);
            payload[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let entries: Option<Vec<_>> = block::entries(&payload).collect();
        if let Some(entries) = entries {
            let taken = entries.iter().map(|entry| block::ENTRY_HEADER_BYTES + entry.key.len() + entry.value.bytes());
            prop_assert_eq!(taken.sum::<usize>(), payload.len());
        }
    }

    #[test]
    fn a_newer_version_of_a_snapshot_is_newer(version in 3..=u32::MAX, at in 12usize..224, other in any::<u8>()) {
        let (mut bytes, _) = snapshot_header().encode();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        prop_assert_eq!(SnapshotHeader::decode(&bytes), Err(NoHeader::Invalid));
        bytes[at] = other;
        let hash = blake3::hash(&bytes[..224]);
        bytes[224..].copy_from_slice(hash.as_bytes());
        prop_assert_eq!(SnapshotHeader::decode(&bytes), Err(NoHeader::Newer(version)));
    }

    #[test]
    fn garbage_is_no_part_of_a_snapshot(garbage in bytes(600), salt in any::<[u8; 32]>()) {
        prop_assert_eq!(SnapshotHeader::decode(&garbage), Err(NoHeader::Invalid));
        prop_assert_eq!(BlockHeader::decode(&garbage, &salt), None);
        prop_assert!(!block::verify(&garbage, &garbage, &salt));
        let content = Content::new(&salt, &[1; 32]);
        prop_assert_eq!(Footer::decode(&garbage, &content), None);
        // Nor behind the right magic.
        for (magic, bytes) in [(&b"MSBK"[..], block::HEADER_BYTES), (b"MAINSNPF", FOOTER_BYTES)] {
            let mut part = [magic, &garbage].concat();
            part.resize(bytes, 0);
            prop_assert_eq!(BlockHeader::decode(&part, &salt), None);
            prop_assert_eq!(Footer::decode(&part, &content), None);
        }
    }
}
