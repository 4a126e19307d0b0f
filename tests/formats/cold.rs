//! Cold files: what was written comes back or is an error, and garbage is no part of one.

use std::path::Path;

use mainstay::model::{ColdSeq, DirectoryId, ShardId};
use mainstay::sim::SimDisk;
use mainstay::storage::cold::footer as cold_footer;
use mainstay::storage::cold::page::{self, PageHeader};
use mainstay::storage::cold::{self, ColdError, ColdFile, ColdHeader, ColdId, ColdWriter, Found, Written};
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use proptest::prelude::*;

use super::bytes;

const COLD: ColdId = ColdId { directory: DirectoryId([9; 16]), shard: ShardId(0), file: ColdSeq(5) };

type Values = Vec<(Vec<u8>, Vec<u8>)>;

/// Keys, and values up to 100 KB, most of them short: a length and a byte to fill it with.
fn cold_values() -> impl Strategy<Value = Values> {
    let length = prop_oneof![8 => 0..200usize, 4 => 0..5_000usize, 1 => 0..100_000usize];
    let value = (bytes(40), length, any::<u8>()).prop_map(|(key, length, fill)| (key, vec![fill; length]));
    proptest::collection::vec(value, 0..60)
}

/// Writes a cold file on a disk of its own.
fn cold_written(values: &[(Vec<u8>, Vec<u8>)]) -> (SimDisk, Layout, Written) {
    let (disk, layout) = (SimDisk::new(1), Layout::new(Path::new("/")));
    disk.create_dir(&layout.shard(COLD.shard)).unwrap();
    let mut writer = ColdWriter::create(&disk, &layout, COLD, 2).unwrap();
    values.iter().for_each(|(key, value)| writer.push(key, value).unwrap());
    let written = writer.finish().unwrap();
    (disk, layout, written)
}

/// What a scan finds: the values, and how many reports of damage.
fn cold_scan(disk: &SimDisk, layout: &Layout) -> (bool, Values, usize) {
    let (mut values, mut damaged) = (Vec::new(), 0);
    let scanned = cold::scan(disk, layout, COLD, &mut |found| {
        match found {
            Found::Value(found) => values.push((found.key.to_vec(), found.value.to_vec())),
            Found::Damaged(ColdError::Damaged { .. }) => damaged += 1,
            Found::Damaged(other) => panic!("{other}"),
        }
        Ok::<_, ColdError>(())
    });
    (scanned.unwrap().is_whole, values, damaged)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn cold_files_round_trip(values in cold_values()) {
        let (disk, layout, written) = cold_written(&values);
        let file = ColdFile::open(&disk, &layout, COLD).unwrap();
        prop_assert_eq!(written.locations().count(), values.len());
        for (location, (key, value)) in written.locations().zip(&values) {
            let page = file.page(location).unwrap();
            prop_assert_eq!(page.value(location.slot, key).unwrap(), value);
            prop_assert_eq!(page.schema(), 2);
        }
        let payload: usize = values.iter().map(|(key, value)| 8 + key.len() + value.len()).sum();
        prop_assert_eq!(written.payload_bytes, payload as u64);
        prop_assert_eq!(cold_scan(&disk, &layout), (true, values, 0));
    }

    /// Guards F11, F12: bytes anywhere are not what they were, and the length may be another one. A value is what was
    /// written, or an error, whether it is looked for or found; and those of untouched pages are there.
    #[test]
    fn a_changed_cold_file_loses_what_was_changed_only(
        values in cold_values(), at in any::<prop::sample::Index>(), change in bytes(2_000),
        keep in any::<prop::sample::Index>(), is_cut in any::<bool>(),
    ) {
        let (disk, layout, written) = cold_written(&values);
        let path = layout.cold(COLD.shard, COLD.file);
        let good = disk.read(&path).unwrap();
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + change.len()).min(good.len()), change.iter().copied());
        if is_cut {
            bytes.truncate(keep.index(good.len()));
        }
        prop_assume!(bytes != good);
        disk.put(&path, &bytes);
        let file = ColdFile::open(&disk, &layout, COLD).unwrap();
        let mut whole = Vec::new();
        for (location, (key, value)) in written.locations().zip(&values) {
            let range = location.offset() as usize..(location.offset() + location.bytes()) as usize;
            match file.page(location) {
                Ok(page) => {
                    prop_assert_eq!(page.value(location.slot, key).unwrap(), value);
                    prop_assert_eq!(bytes.get(range.clone()), good.get(range));
                    whole.push((key.clone(), value.clone()));
                }
                Err(ColdError::Damaged { .. }) => prop_assert_ne!(bytes.get(range.clone()), good.get(range)),
                Err(other) => panic!("{other}"),
            }
        }
        let (is_whole, found, damaged) = cold_scan(&disk, &layout);
        prop_assert_eq!((is_whole, found), (false, whole));
        prop_assert!(damaged > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn garbage_is_no_part_of_a_cold_file(garbage in bytes(3_000), at in any::<prop::sample::Index>()) {
        let key = COLD.hash_key();
        prop_assert_eq!(ColdHeader::decode(&garbage), Err(cold::NoHeader::Invalid));
        prop_assert_eq!(PageHeader::decode(&garbage, &key), None);
        let content = cold_footer::Content::new(&key, &[1; 32]);
        prop_assert_eq!(cold_footer::Footer::decode(&garbage, &content), None);
        // As a file, also behind the right magics.
        let (disk, layout, _) = cold_written(&[]);
        let path = layout.cold(COLD.shard, COLD.file);
        let mut bytes = garbage;
        for magic in [&b""[..], b"MAINCLD1", b"MCPG", b"MAINCLDF"] {
            let sector = at.index(bytes.len() / 512 + 1) * 512;
            bytes.splice(sector..(sector + magic.len()).min(bytes.len()), magic.iter().copied());
            disk.put(&path, &bytes);
            let (is_whole, found, damaged) = cold_scan(&disk, &layout);
            prop_assert!(!is_whole && found.is_empty() && damaged > 0);
            let file = ColdFile::open(&disk, &layout, COLD).unwrap();
            let location = mainstay::model::Location { file: COLD.file, sector: 1, sectors: 2, slot: 0 };
            prop_assert!(file.page(location).is_err());
        }
    }

    /// Guards F57: pages that verify and do not add up.
    #[test]
    fn a_verified_page_of_garbage_is_refused_or_adds_up(
        payload in bytes(300), count in any::<u16>(), sector in any::<u32>(), schema in any::<u32>(),
        lengths in proptest::collection::vec(0..20u32, 0..8),
    ) {
        let key = COLD.hash_key();
        let headed: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).chain(payload.clone()).collect();
        for payload in [payload, headed] {
            let mut bytes = [vec![0; page::HEADER_BYTES], payload.clone()].concat();
            let hash = page::seal(&mut bytes, &key, sector, count, schema);
            let header = PageHeader::decode(&bytes, &key).unwrap();
            let used = payload.len() as u32;
            let sectors = (bytes.len() / 512) as u16;
            prop_assert_eq!(header, PageHeader { slots: count, sectors, sector, used, schema, hash });
            prop_assert!(page::verify(&bytes, &header, &key));
            prop_assert_eq!(header.payload(&bytes), &payload[..]);
            let slots: Vec<_> = page::slots(&payload).collect();
            let refused = slots.iter().position(Option::is_none);
            prop_assert!(refused.is_none_or(|at| at + 1 == slots.len()), "nothing follows what does not add up");
            let is_counted = !slots.is_empty() && slots.len() == usize::from(count);
            prop_assert_eq!(header.adds_up(&payload), refused.is_none() && is_counted);
            if refused.is_none() {
                let mut again = Vec::new();
                slots.iter().flatten().for_each(|slot| page::push(&mut again, slot.key, slot.value));
                prop_assert_eq!(again, payload);
            }
        }
    }

    #[test]
    fn a_newer_version_of_a_cold_file_is_newer(version in 2..=u32::MAX, at in 12usize..480, other in any::<u8>()) {
        let (mut bytes, _) = ColdHeader { schema: 2, id: COLD }.encode();
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        prop_assert_eq!(ColdHeader::decode(&bytes), Err(cold::NoHeader::Invalid));
        bytes[at] = other;
        let hash = blake3::hash(&bytes[..480]);
        bytes[480..].copy_from_slice(hash.as_bytes());
        prop_assert_eq!(ColdHeader::decode(&bytes), Err(cold::NoHeader::Newer(version)));
    }
}
