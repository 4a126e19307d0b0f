//! The format byte by byte, what is read back, and everything that must be refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod damage;
mod faults;
mod scan;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::block::{self, BlockHeader};
use super::footer::{Content, FOOTER_BYTES, Footer};
use super::*;
use crate::model::{ColdSeq, Location, SnapshotRecord};
use crate::storage::codec::CodecError;
use crate::storage::disk::sim::{Operation, SimDisk};
use crate::storage::disk::{Disk, StandardDisk};
use crate::storage::error::{DiskError, SnapshotError};
use crate::storage::layout::Layout;

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

const DIR: &str = "/data";
const DIGEST: Option<[u8; 32]> = Some([4; 32]);

fn header() -> SnapshotHeader {
    SnapshotHeader {
        schema: 3,
        directory: DirectoryId([9; 16]),
        shard: ShardId(2),
        snapshot: SnapshotSeq(5),
        end: Position { epoch: Epoch(7), lsn: Lsn(77) },
        time: Time(0x0102),
        salt: [8; 32],
    }
}

fn layout() -> Layout {
    Layout::new(Path::new(DIR))
}

fn path() -> PathBuf {
    layout().snapshot(ShardId(2), SnapshotSeq(5))
}

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    for dir in [DIR.into(), layout().shard(ShardId(2))] {
        disk.create_dir(&dir).unwrap();
        disk.sync_dir(dir.parent().unwrap()).unwrap();
    }
    disk.set_call_count(0);
    disk
}

fn write(disk: &dyn Disk, layout: &Layout, entries: &Entries) -> Result<Written, DiskError> {
    let mut writer = SnapshotWriter::create(disk, layout, header())?;
    entries.iter().try_for_each(|(key, value)| writer.entry(key, Value::Here(value)))?;
    writer.finish(DIGEST)
}

fn expected(written: &Written) -> Expected {
    let Written { bytes, entries, hash, .. } = *written;
    let record = SnapshotRecord { end: header().end, bytes, entries, hash, digest: None, cold: Vec::new() };
    Expected::recorded(header().directory, header().shard, header().snapshot, &record)
}

/// Reads, and checks that what was visited is always a prefix of what was written, and all of it in the end.
fn read_back(disk: &dyn Disk, path: &Path, expect: &Expected, entries: &Entries) -> Result<Summary, SnapshotError> {
    let mut next = 0;
    let summary = read(disk, path, expect, &mut |schema, key, value| {
        assert_eq!((schema, key, value), (3, &entries[next].0[..], Value::Here(&entries[next].1)));
        next += 1;
        Ok(())
    })?;
    assert_eq!((next, summary.entries, summary.digest), (entries.len(), entries.len() as u64, DIGEST));
    Ok(summary)
}

/// Three entries in one block.
fn small() -> Entries {
    [("ab", "one"), ("", "x"), ("c", "")].map(|(key, value)| (key.into(), value.into())).into()
}

/// Three blocks, the last of them not full.
fn three_blocks() -> Entries {
    (0..700u32).map(|number| (number.to_le_bytes().to_vec(), vec![number as u8; 1000])).collect()
}

#[test]
fn golden_bytes_of_the_header() {
    let (bytes, hash) = header().encode();
    let mut expected = Vec::from(*b"MAINSNP1\x02\0\0\0\x03\0\0\0");
    expected.extend_from_slice(&[9; 16]);
    expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0]);
    for number in [5u64, 7, 77, 0x0102] {
        expected.extend_from_slice(&number.to_le_bytes());
    }
    expected.extend_from_slice(&[8; 32]);
    expected.resize(224, 0);
    expected.extend_from_slice(blake3::hash(&expected).as_bytes());
    assert_eq!((&bytes[..], &bytes[224..]), (&expected[..], &hash[..]));
    assert_eq!(SnapshotHeader::decode(&bytes), Ok((header(), hash)));
}

/// A file of [`small`] entries, and its hash.
fn golden(version: u8) -> (Vec<u8>, [u8; 32]) {
    let mut expected = header().encode().0.to_vec();
    expected[8] = version;
    let header_hash = *blake3::hash(&expected[..224]).as_bytes();
    expected[224..].copy_from_slice(&header_hash);
    let keyed = |parts: &[&[u8]]| *blake3::keyed_hash(&[8; 32], &parts.concat()).as_bytes();

    let payload = b"\x02\0\0\0\x03\0\0\0abone\0\0\0\0\x01\0\0\0x\x01\0\0\0\0\0\0\0c";
    let mut block = Vec::from(*b"MSBK\x1f\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    block.extend_from_slice(&keyed(&[&block])[..8]);
    let block_hash = keyed(&[&block, payload]);
    expected.extend_from_slice(&block);
    expected.extend_from_slice(&block_hash);
    expected.extend_from_slice(payload);

    let mut footer = Vec::from(*b"MAINSNPF\x01\0\0\0\0\0\0\0");
    for number in [1u64, 3, 31, 256 + 64 + 31 + 128] {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.extend_from_slice(&[4; 32]);
    footer.resize(96, 0);
    let hash = keyed(&[&header_hash, &block_hash, &footer]);
    expected.extend_from_slice(&footer);
    expected.extend_from_slice(&hash);
    (expected, hash)
}

#[test]
fn golden_bytes_of_a_file() {
    let disk = disk();
    let written = write(&disk, &layout(), &small()).unwrap();
    let (expected, hash) = golden(2);
    assert_eq!(disk.read(path()).unwrap(), expected);
    assert_eq!((written.bytes, written.entries, written.hash), (479, 3, hash));
    assert_eq!(
        blake3::Hash::from_bytes(hash).to_hex().as_str(),
        "0378a5b561ba72bc343c38709d863cd0d371a8373bbf1962e44ed444c550d664"
    );
}

#[test]
fn golden_bytes_of_an_entry_without_its_value() {
    let mut payload = Vec::new();
    let location = Location { file: ColdSeq(0x0102), sector: 3, sectors: 8, slot: 5 };
    block::push(&mut payload, b"ab", Value::Cold(location));
    let golden = b"\x02\0\0\0\xff\xff\xff\xffab\x02\x01\0\0\0\0\0\0\x03\0\0\0\x08\0\x05\0";
    assert_eq!(payload, golden);
    let entries: Vec<_> = block::entries(&payload).collect();
    assert_eq!(entries, [Some(block::Entry { at: 0, key: b"ab", value: Value::Cold(location) })]);
}

/// What the code before wrote, whose entries all have their values.
#[test]
fn a_file_of_version_1_is_read() {
    let (bytes, hash) = golden(1);
    let disk = disk();
    disk.put(path(), &bytes);
    let written = Written { bytes: 479, entries: 3, hash, cold: Vec::new(), syncing: Duration::ZERO };
    read_back(&disk, &path(), &expected(&written), &small()).unwrap();
}

#[test]
fn round_trip() {
    let large = (b"large".to_vec(), (0..5_000_000u32).map(|at| at as u8).collect());
    let around_it = [three_blocks(), vec![large], small()].concat();
    let many = (0..100_000u32).map(|number| (number.to_be_bytes().to_vec(), vec![])).collect();
    for (blocks, entries) in
        [(0, vec![]), (1, vec![(vec![], vec![])]), (1, small()), (3, three_blocks()), (4, around_it), (5, many)]
    {
        let disk = disk();
        let written = write(&disk, &layout(), &entries).unwrap();
        let summary = read_back(&disk, &path(), &expected(&written), &entries).unwrap();
        assert_eq!((summary.header, summary.blocks, summary.bytes), (header(), blocks, written.bytes));
        assert_eq!(verify(&disk, &path(), &expected(&written)).unwrap(), summary);
        assert_eq!(peek_header(&disk, &path()).unwrap(), header());
        assert_eq!(disk.files().len(), 1, "nothing else is left");
    }
}

#[test]
fn a_real_file_round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    StandardDisk.create_dir(&layout.shard(ShardId(2))).unwrap();
    let written = write(&StandardDisk, &layout, &three_blocks()).unwrap();
    let path = layout.snapshot(ShardId(2), SnapshotSeq(5));
    read_back(&StandardDisk, &path, &expected(&written), &three_blocks()).unwrap();
}

/// What one sync has to write is bounded, also in the middle of a large entry.
#[test]
fn the_file_is_synced_as_it_grows() {
    let disk = disk();
    let entries = [vec![(b"large".to_vec(), vec![1; 3_500_000])], three_blocks(), three_blocks()].concat();
    let mut writer = SnapshotWriter::create(&disk, &layout(), header()).unwrap();
    let mut before = writer.bytes();
    assert_eq!(before, 256);
    for (key, value) in &entries {
        writer.entry(key, Value::Here(value)).unwrap();
        assert!(writer.bytes() >= before);
        before = writer.bytes();
    }
    let written = writer.finish(None).unwrap();
    let trace = disk.trace();
    let syncs = trace.iter().filter(|call| call.operation == Operation::Sync).count() as u64;
    assert!(syncs > written.bytes / (2 * SYNC_BYTES as u64), "{syncs} syncs of {} bytes", written.bytes);
    let names: Vec<_> = trace.iter().rev().take(4).rev().map(|call| call.operation).collect();
    assert_eq!(names, [Operation::Sync, Operation::Rename, Operation::SyncDir, Operation::DropCache]);
}

#[test]
fn an_entity_that_cannot_be_decoded_is_named() {
    let disk = disk();
    let written = write(&disk, &layout(), &small()).unwrap();
    let result = read(&disk, &path(), &expected(&written), &mut |_, key, _| {
        if key.is_empty() { Err(CodecError::new("no")) } else { Ok(()) }
    });
    assert!(!result.as_ref().unwrap_err().is_damage());
    match result {
        Err(SnapshotError::Entity { path: named, offset, reason }) => {
            assert_eq!((named, offset, reason.as_str()), (path(), 256 + 64 + 13, "no"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_failed_or_is_too_long_is_never_finished() {
    let disk = disk();
    let mut writer = SnapshotWriter::create(&disk, &layout(), header()).unwrap();
    let trace = disk.trace();
    // Not a byte of it is looked at.
    let long = vec![0; block::ENTRY_BYTES_MAX];
    writer.entry(b"k", Value::Here(&long)).unwrap_err();
    writer.entry(b"k", Value::Here(b"v")).unwrap_err();
    assert_eq!(disk.trace(), trace);
    writer.finish(None).unwrap_err();
    assert!(disk.files().is_empty());
}

#[test]
fn what_is_not_finished_leaves_nothing_and_what_is_left_over_stays() {
    let disk = disk();
    let mut writer = SnapshotWriter::create(&disk, &layout(), header()).unwrap();
    writer.entry(b"k", Value::Here(b"v")).unwrap();
    drop(writer);
    assert!(disk.files().is_empty());
    let temporary = layout().snapshot_temporary(ShardId(2), SnapshotSeq(5));
    disk.put(&temporary, b"left over");
    let error = SnapshotWriter::create(&disk, &layout(), header()).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(disk.read(&temporary).as_deref(), Some(&b"left over"[..]));
}

#[test]
fn an_absent_file_is_missing() {
    let disk = disk();
    let expect =
        expected(&Written { bytes: 384, entries: 0, hash: [0; 32], cold: Vec::new(), syncing: Duration::ZERO });
    let missing = |error: SnapshotError| {
        error.is_damage() && matches!(error, SnapshotError::Missing { path: named } if named == path())
    };
    assert!(missing(verify(&disk, &path(), &expect).unwrap_err()));
    assert!(missing(peek_header(&disk, &path()).unwrap_err()));
}
