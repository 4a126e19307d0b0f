//! The format byte by byte, what is read back, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod damage;
mod faults;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::page::{HEADER_BYTES, PAGE_BYTES, PAGE_BYTES_MAX, PageHeader, SLOT_HEADER_BYTES};
use super::*;
use crate::model::{Manifest, Routing};
use crate::storage::disk::sim::{Operation, SimDisk};
use crate::storage::disk::{Disk, StandardDisk};
use crate::storage::error::DiskError;
use crate::storage::layout::Layout;
use crate::storage::recovery;

type Values = Vec<(Vec<u8>, Vec<u8>)>;

const DIR: &str = "/data";
const SCHEMA: u32 = 3;
const ID: ColdId = ColdId { directory: DirectoryId([9; 16]), shard: ShardId(2), file: ColdSeq(5) };

fn layout() -> Layout {
    Layout::new(Path::new(DIR))
}

fn path() -> PathBuf {
    layout().cold(ID.shard, ID.file)
}

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    for dir in [DIR.into(), layout().shard(ID.shard)] {
        disk.create_dir(&dir).unwrap();
        disk.sync_dir(dir.parent().unwrap()).unwrap();
    }
    disk.set_call_count(0);
    disk
}

fn write(disk: &dyn Disk, layout: &Layout, values: &Values) -> Result<Written, DiskError> {
    let mut writer = ColdWriter::create(disk, layout, ID, SCHEMA)?;
    values.iter().try_for_each(|(key, value)| writer.push(key, value))?;
    writer.finish()
}

/// What a scan finds: the values with their places, and the sectors at which something is damaged.
type Seen = (Vec<(Location, Vec<u8>, Vec<u8>)>, Vec<(u64, &'static str)>);

fn seen(disk: &dyn Disk, layout: &Layout) -> Result<(Scanned, Seen), ColdError> {
    let (mut values, mut damaged) = (Vec::new(), Vec::new());
    let scanned = scan(disk, layout, ID, &mut |found| {
        match found {
            Found::Value(Value { location, schema, key, value }) => {
                assert_eq!(schema, SCHEMA);
                values.push((location, key.to_vec(), value.to_vec()));
            }
            Found::Damaged(ColdError::Damaged { sector, reason, .. }) => damaged.push((sector, reason)),
            Found::Damaged(other) => panic!("{other}"),
        }
        Ok::<_, ColdError>(())
    })?;
    assert_eq!(scanned.is_whole, damaged.is_empty());
    assert_eq!(scanned.values, values.len() as u64);
    Ok((scanned, (values, damaged)))
}

/// Every value is there, one by one and in a scan.
fn is_whole(disk: &dyn Disk, layout: &Layout, written: &Written, values: &Values) -> Result<(), ColdError> {
    let file = ColdFile::open(disk, layout, ID)?;
    assert_eq!((written.file, written.values), (ID.file, values.len() as u64));
    assert_eq!(written.locations().count(), values.len());
    for (location, (key, value)) in written.locations().zip(values) {
        let page = file.page(location)?;
        assert_eq!((page.schema(), page.bytes() as u64), (SCHEMA, location.bytes()));
        assert_eq!(page.value(location.slot, key)?, value);
    }
    let (scanned, (found, damaged)) = seen(disk, layout)?;
    assert_eq!(damaged, []);
    let expected =
        written.locations().zip(values).map(|(location, (key, value))| (location, key.clone(), value.clone()));
    assert_eq!(found, expected.collect::<Vec<_>>());
    let header = Some(ColdHeader { schema: SCHEMA, id: ID });
    let Written { bytes, values, pages, payload_bytes, .. } = *written;
    assert_eq!(scanned, Scanned { header, bytes, pages, values, payload_bytes, is_whole: true });
    Ok(())
}

/// Three values in one page.
fn small() -> Values {
    [("ab", "one"), ("", "x"), ("c", "")].map(|(key, value)| (key.into(), value.into())).into()
}

fn sized(key: u32, bytes: usize) -> (Vec<u8>, Vec<u8>) {
    (key.to_le_bytes().to_vec(), vec![(key as u8).wrapping_add(1); bytes])
}

/// Pages of several lengths: some values, one that has a page of its own, some more.
fn mixed() -> Values {
    [small(), vec![sized(1, 400), sized(2, 5000), sized(3, 10), sized(4, 0), sized(5, 3000), sized(6, 3000)]].concat()
}

/// More than two syncs' worth.
fn many() -> Values {
    (0..2500).map(|number| sized(number, 1000)).collect()
}

#[test]
fn golden_bytes_of_the_header() {
    let (bytes, hash) = ColdHeader { schema: SCHEMA, id: ID }.encode();
    let mut expected = Vec::from(*b"MAINCLD1\x01\0\0\0\x03\0\0\0");
    expected.extend_from_slice(&[9; 16]);
    expected.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    expected.resize(480, 0);
    expected.extend_from_slice(blake3::hash(&expected).as_bytes());
    assert_eq!((&bytes[..], &bytes[480..]), (&expected[..], &hash[..]));
    assert_eq!(ColdHeader::decode(&bytes), Ok((ColdHeader { schema: SCHEMA, id: ID }, hash)));
}

#[test]
fn golden_bytes_of_a_file() {
    let disk = disk();
    let written = write(&disk, &layout(), &small()).unwrap();
    let (header, header_hash) = ColdHeader { schema: SCHEMA, id: ID }.encode();
    let named = [&[9; 16][..], &[2, 0, 0, 0], &[5, 0, 0, 0, 0, 0, 0, 0]].concat();
    let hash_key = blake3::derive_key("mainstay cold file 1", &named);
    let keyed = |parts: &[&[u8]]| *blake3::keyed_hash(&hash_key, &parts.concat()).as_bytes();

    let mut payload = b"\x02\0\0\0\x03\0\0\0abone\0\0\0\0\x01\0\0\0x\x01\0\0\0\0\0\0\0c".to_vec();
    payload.resize(512 - 64, 0);
    let mut page = Vec::from(*b"MCPG\x03\0\x01\0\x01\0\0\0\x1f\0\0\0\x03\0\0\0\0\0\0\0");
    page.extend_from_slice(&keyed(&[&page])[..8]);
    let page_hash = keyed(&[&page, &payload]);

    let mut footer = Vec::from(*b"MAINCLDF");
    for number in [1u64, 3, 31, 3 * 512] {
        footer.extend_from_slice(&number.to_le_bytes());
    }
    footer.resize(480, 0);
    let hash = keyed(&[&header_hash, &page_hash, &footer]);
    let expected = [&header[..], &page, &page_hash, &payload, &footer, &hash].concat();
    assert_eq!(disk.read(path()).unwrap(), expected);
    assert_eq!((written.bytes, written.values, written.pages, written.payload_bytes), (1536, 3, 1, 31));
    let at = |slot| Location { file: ColdSeq(5), sector: 1, sectors: 1, slot };
    assert_eq!(written.locations().collect::<Vec<_>>(), [at(0), at(1), at(2)]);
    let name = blake3::hash(&expected).to_hex();
    assert_eq!(name.as_str(), "9654cd76b3a2f55ce067fdf7fd18a6afa894103eb586fe7c0cebd1b509cbff71");
}

#[test]
fn round_trip() {
    let large = vec![sized(0, 5_000_000)];
    let around_it = [small(), large, many(), small()].concat();
    let tiny = (0..20_000u32).map(|number| (number.to_be_bytes().to_vec(), vec![])).collect();
    for (pages, values) in
        [(0, vec![]), (1, vec![(vec![], vec![])]), (1, small()), (4, mixed()), (836, around_it), (60, tiny)]
    {
        let disk = disk();
        let written = write(&disk, &layout(), &values).unwrap();
        is_whole(&disk, &layout(), &written, &values).unwrap();
        assert_eq!(written.pages, pages);
        assert_eq!(disk.files().len(), 1, "nothing else is left");
    }
}

#[test]
fn a_real_file_round_trips() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    StandardDisk.create_dir(&layout.shard(ID.shard)).unwrap();
    let written = write(&StandardDisk, &layout, &mixed()).unwrap();
    is_whole(&StandardDisk, &layout, &written, &mixed()).unwrap();
    // What is open is read on when its name is gone.
    let file = ColdFile::open(&StandardDisk, &layout, ID).unwrap();
    StandardDisk.remove(&layout.cold(ID.shard, ID.file)).unwrap();
    for (location, (key, value)) in written.locations().zip(mixed()) {
        assert_eq!(file.page(location).unwrap().value(location.slot, &key).unwrap(), value);
    }
}

/// As many in one page as go into 4 KiB, and one byte more is a page more.
#[test]
fn pages_are_as_full_as_they_can_be_and_as_long_as_they_must_be() {
    let room = PAGE_BYTES - HEADER_BYTES;
    let one = |bytes: usize| sized(7, bytes - SLOT_HEADER_BYTES - 4);
    for (values, sectors) in [
        (vec![one(room)], vec![8]),
        (vec![one(room + 1)], vec![9]),
        (vec![one(room / 2), one(room / 2)], vec![8, 8]),
        (vec![one(room / 2), one(room / 2 + 1)], vec![5, 5]),
        (vec![one(100), one(room), one(100)], vec![1, 8, 1]),
        (vec![one(100), one(room + 1), one(100)], vec![1, 9, 1]),
        (vec![one(448)], vec![1]),
        (vec![one(449)], vec![2]),
    ] {
        let disk = disk();
        let written = write(&disk, &layout(), &values).unwrap();
        is_whole(&disk, &layout(), &written, &values).unwrap();
        assert_eq!(written.locations().map(|location| location.sectors).collect::<Vec<_>>(), sectors);
        let pages: BTreeMap<_, _> = written.locations().map(|at| (at.sector, at.bytes())).collect();
        assert_eq!(written.bytes, 1024 + pages.values().sum::<u64>());
    }
}

#[test]
fn the_longest_value_fits_and_the_next_does_not() {
    let longest = vec![0; PAGE_BYTES_MAX - HEADER_BYTES - SLOT_HEADER_BYTES - 1];
    assert!(fits(b"k", &longest) && !fits(b"kk", &longest));
    let disk = disk();
    let values = vec![(b"k".to_vec(), longest)];
    let written = write(&disk, &layout(), &values).unwrap();
    is_whole(&disk, &layout(), &written, &values).unwrap();
    assert_eq!(written.locations().next().map(|location| location.sectors), Some(u16::MAX));
}

/// What one sync has to write is bounded, also in the middle of a long page.
#[test]
fn the_file_is_synced_as_it_grows_and_counts_when_it_is_durable() {
    let disk = disk();
    let values = [vec![sized(0, 3_500_000)], many()].concat();
    let mut writer = ColdWriter::create(&disk, &layout(), ID, SCHEMA).unwrap();
    let mut before = writer.bytes();
    assert_eq!(before, 512);
    for (key, value) in &values {
        writer.push(key, value).unwrap();
        assert!(writer.bytes() >= before);
        before = writer.bytes();
    }
    let written = writer.finish().unwrap();
    let trace = disk.trace();
    let calls = |operation| trace.iter().filter(|call| call.operation == operation).count() as u64;
    let (syncs, writes) = (calls(Operation::Sync), calls(Operation::Write));
    assert!(syncs > written.bytes / (2 * SYNC_BYTES as u64), "{syncs} syncs of {} bytes", written.bytes);
    assert!(writes < written.bytes / (128 * 1024), "{writes} writes of {} bytes", written.bytes);
    let last: Vec<_> = trace.iter().rev().take(3).rev().map(|call| call.operation).collect();
    assert_eq!(last, [Operation::Sync, Operation::SyncDir, Operation::DropCache]);
}

#[test]
fn a_page_is_one_read_and_opening_is_none() {
    let disk = disk();
    let written = write(&disk, &layout(), &mixed()).unwrap();
    disk.set_call_count(0);
    let file = ColdFile::open(&disk, &layout(), ID).unwrap();
    written.locations().for_each(|location| drop(file.page(location).unwrap()));
    let calls: Vec<_> = disk.trace().iter().map(|call| call.operation).collect();
    let expected = [vec![Operation::Open, Operation::Size], vec![Operation::Read; mixed().len()]].concat();
    assert_eq!(calls, expected);
}

/// Values that are copied from files of older code stay what they are.
#[test]
fn values_of_several_schemas_lie_in_pages_of_their_own() {
    let disk = disk();
    let mut writer = ColdWriter::create(&disk, &layout(), ID, SCHEMA).unwrap();
    let schemas = [1, 1, 3, 2, 3];
    for schema in schemas {
        writer.push_as(schema, b"k", &schema.to_le_bytes()).unwrap();
    }
    let written = writer.finish().unwrap();
    let file = ColdFile::open(&disk, &layout(), ID).unwrap();
    let mut sectors = Vec::new();
    for (schema, location) in schemas.into_iter().zip(written.locations()) {
        let page = file.page(location).unwrap();
        assert_eq!((page.schema(), page.value(location.slot, b"k").unwrap()), (schema, &schema.to_le_bytes()[..]));
        sectors.push(location.sector);
    }
    assert_eq!(sectors, [1, 1, 2, 3, 4]);
    let mut scanned = Vec::new();
    let visit = &mut |found: Found<'_>| match found {
        Found::Value(value) => {
            scanned.push(value.schema);
            Ok(())
        }
        Found::Damaged(error) => Err(error),
    };
    scan(&disk, &layout(), ID, visit).unwrap();
    assert_eq!(scanned, schemas);
}

#[test]
fn what_a_location_does_not_mean_is_refused() {
    let disk = disk();
    let written = write(&disk, &layout(), &mixed()).unwrap();
    let file = ColdFile::open(&disk, &layout(), ID).unwrap();
    let first = written.locations().next().unwrap();
    let page = file.page(first).unwrap();
    for (slot, key) in [(0, &b"a"[..]), (0, b""), (1, b"ab"), (3, b""), (4, b""), (u16::MAX, b"ab")] {
        let error = page.value(slot, key).unwrap_err();
        assert!(error.is_damage());
        assert!(
            matches!(&error, ColdError::Slot { path: at, sector: 1, slot: named, .. }
            if *at == path() && *named == slot),
            "{error}"
        );
    }
    assert!(matches!(file.page(Location { file: ColdSeq(6), ..first }), Err(ColdError::Foreign { .. })));
    let calls = disk.calls();
    for (sector, sectors) in [(1, u16::MAX), (u32::MAX, 1), (u32::MAX, u16::MAX)] {
        let result = file.page(Location { sector, sectors, ..first });
        assert!(matches!(result, Err(ColdError::Damaged { .. })), "{result:?}");
    }
    assert_eq!(disk.calls(), calls, "no room is made for what the file has not");
    for (sector, sectors) in [(0, 1), (1, 0), (1, 2), (2, 2), (2, 9), (4, 1)] {
        let result = file.page(Location { sector, sectors, ..first });
        let is_named =
            |error: &ColdError| matches!(error, ColdError::Damaged { sector: at, .. } if *at == sector.into());
        assert!(result.as_ref().is_err_and(is_named), "{sector} {sectors}: {result:?}");
    }
}

#[test]
fn what_has_failed_or_is_too_long_is_never_finished() {
    let disk = disk();
    let mut writer = ColdWriter::create(&disk, &layout(), ID, SCHEMA).unwrap();
    let trace = disk.trace();
    // Not a byte of it is looked at.
    let long = vec![0; PAGE_BYTES_MAX];
    let error = writer.push(b"k", &long).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::InvalidInput);
    writer.push(b"k", b"v").unwrap_err();
    assert_eq!(disk.trace(), trace);
    writer.finish().unwrap_err();
    assert!(disk.files().is_empty());
}

#[test]
fn what_is_not_finished_leaves_nothing_and_what_is_left_over_stays() {
    let disk = disk();
    let mut writer = ColdWriter::create(&disk, &layout(), ID, SCHEMA).unwrap();
    writer.push(b"k", b"v").unwrap();
    drop(writer);
    assert!(disk.files().is_empty());
    disk.put(path(), b"left over");
    let error = ColdWriter::create(&disk, &layout(), ID, SCHEMA).unwrap_err();
    assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(disk.read(path()).as_deref(), Some(&b"left over"[..]));
}

/// Whatever is in it: no manifest names it.
#[test]
fn the_sweep_takes_cold_files_and_nothing_that_only_looks_like_one() {
    let disk = disk();
    let manifest = Manifest::new(ID.directory, Routing { id: 1, key: [2; 16] }, 3);
    write(&disk, &layout(), &small()).unwrap();
    let other = layout().cold(ID.shard, ColdSeq(7));
    disk.put(&other, b"garbage");
    let foreign = layout().shard(ID.shard).join("cold-7.pages");
    disk.put(&foreign, b"somebody else's");
    let mut found = recovery::left_overs(&disk, &layout(), &manifest, ID.shard).unwrap();
    found.sort();
    assert_eq!(found, [path(), other]);
    assert_eq!(recovery::sweep(&disk, &layout(), &manifest, ID.shard).unwrap(), 2);
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), [foreign]);
}

#[test]
fn an_absent_file_is_missing() {
    let missing = |error: &ColdError| matches!(error, ColdError::Missing { path: named } if *named == path());
    assert!(ColdFile::open(&disk(), &layout(), ID).is_err_and(|error| missing(&error)));
    assert!(seen(&disk(), &layout()).is_err_and(|error| missing(&error)));
}

/// A state's values lie in many files, and each file has its own in order: no page is read twice on the way through.
#[test]
fn a_shelf_reads_each_page_once() {
    let (disk, layout, mut wanted) = (disk(), layout(), Vec::new());
    let mut pages = 0;
    for file in (1..=3).map(ColdSeq) {
        let mut writer = ColdWriter::create(&disk, &layout, ColdId { file, ..ID }, SCHEMA).unwrap();
        let keys: Vec<_> = (0..100).map(|number| format!("{number}/{file}").into_bytes()).collect();
        keys.iter().for_each(|key| writer.push(key, &[b'v'; 200]).unwrap());
        let written = writer.finish().unwrap();
        pages += written.pages;
        wanted.extend(written.locations().zip(keys).enumerate());
    }
    // From one file to the other and back, all the time.
    wanted.sort_by_key(|(place, _)| *place);
    disk.set_call_count(0);
    let mut shelf = Shelf::new(&disk, &layout, ID.directory, ID.shard);
    for (_, (location, key)) in &wanted {
        assert_eq!(shelf.value(key, *location).unwrap(), (SCHEMA, &[b'v'; 200][..]));
    }
    let reads = disk.trace().iter().filter(|call| call.operation == Operation::Read).count();
    assert_eq!(reads as u64, pages);
    assert!(pages < 3 * 100 / 5);
}
