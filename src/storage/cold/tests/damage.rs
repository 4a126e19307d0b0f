//! Files that are not what was written: what lies in a damaged place is lost, all else is read.

use super::*;
use crate::storage::cold::footer::{Content, Footer};
use crate::storage::cold::page;

/// A file taken apart.
struct Parts {
    values: Values,
    written: Written,
    bytes: Vec<u8>,
}

impl Parts {
    fn of(values: Values) -> Self {
        let disk = disk();
        let written = write(&disk, &layout(), &values).unwrap();
        Self { values, written, bytes: disk.read(path()).unwrap() }
    }

    /// Pages by their sector.
    fn pages(&self) -> BTreeMap<u64, std::ops::Range<usize>> {
        let range = |at: Location| at.offset() as usize..(at.offset() + at.bytes()) as usize;
        self.written.locations().map(|location| (location.sector.into(), range(location))).collect()
    }

    /// Exactly the values of whole pages are there, each by itself and in a scan; returns what the scan reports.
    fn holds(&self, disk: &SimDisk, is_whole: impl Fn(Location) -> bool, what: &str) -> Vec<(u64, &'static str)> {
        let file = ColdFile::open(disk, &layout(), ID).unwrap();
        let mut expected = Vec::new();
        for (location, (key, value)) in self.written.locations().zip(&self.values) {
            let page = file.page(location);
            if is_whole(location) {
                assert_eq!(page.unwrap().value(location.slot, key).unwrap(), value, "{what}: {location}");
                expected.push((location, key.clone(), value.clone()));
            } else {
                let sector = u64::from(location.sector);
                let is_named = |error: &ColdError| {
                    matches!(error,
                    ColdError::Damaged { path: named, sector: at, .. } if *named == path() && *at == sector)
                };
                assert!(page.as_ref().is_err_and(is_named), "{what}: {location}: {page:?}");
            }
        }
        let (_, (found, damaged)) = seen(disk, &layout()).unwrap();
        assert_eq!(found, expected, "{what}");
        damaged
    }
}

/// Guards F11, F12: no damaged bit goes unnoticed, and it costs the values of its page and no others.
#[test]
fn every_byte_that_changes_is_seen_and_costs_its_page_only() {
    let parts = Parts::of(mixed());
    let (pages, last) = (parts.pages(), parts.bytes.len() as u64 / 512 - 1);
    assert_eq!(pages.len(), 4);
    let begins: Vec<_> = pages.keys().chain(&[0, last]).map(|sector| *sector as usize * 512).collect();
    let disk = disk();
    disk.put(path(), &parts.bytes);
    for at in 0..parts.bytes.len() {
        // Every bit where lengths and hashes are, one elsewhere.
        let is_head = begins.iter().any(|begin| (*begin..*begin + 96).contains(&at));
        for bit in (0..8).filter(|bit| is_head || at % 8 == *bit) {
            disk.overwrite(path(), at as u64, &[parts.bytes[at] ^ 1 << bit]).unwrap();
            let hit = pages.iter().find(|(_, range)| range.contains(&at)).map(|(sector, _)| *sector);
            let what = format!("byte {at} bit {bit}");
            let damaged = parts.holds(&disk, |location| Some(location.sector.into()) != hit, &what);
            let expected = hit.unwrap_or(if at < 512 { 0 } else { last });
            // Behind a page whose slots are damaged nothing else is reported, and so it is behind one that is lost.
            assert_eq!(damaged.iter().map(|(sector, _)| *sector).collect::<Vec<_>>(), [expected], "{what}");
        }
        disk.overwrite(path(), at as u64, &parts.bytes[at..=at]).unwrap();
    }
    assert_eq!(parts.holds(&disk, |_| true, "repaired"), []);
}

#[test]
fn every_cut_is_seen_and_costs_what_is_cut_off() {
    let parts = Parts::of(mixed());
    let disk = disk();
    for length in 0..parts.bytes.len() {
        let what = format!("{length} bytes");
        let is_whole = |location: Location| location.offset() + location.bytes() <= length as u64;
        disk.put(path(), &parts.bytes[..length]);
        let damaged = parts.holds(&disk, is_whole, &what);
        assert!(!damaged.is_empty(), "{what}");
        // Zeroes at the end of a page may be zeroes of its own.
        let mut zeroes = parts.bytes[..length].to_vec();
        zeroes.resize(parts.bytes.len(), 0);
        let is_same = |location: Location| {
            let range = location.offset() as usize..(location.offset() + location.bytes()) as usize;
            zeroes[range.clone()] == parts.bytes[range]
        };
        disk.put(path(), &zeroes);
        let damaged = parts.holds(&disk, is_same, &what);
        assert_eq!(damaged.is_empty(), zeroes == parts.bytes, "{what}");
    }
    for more in [&[0][..], &[1], &[0; 512], &parts.bytes[512..1024], &parts.bytes] {
        disk.put(path(), &[&parts.bytes, more].concat());
        assert!(!parts.holds(&disk, |_| true, "appended").is_empty());
    }
}

/// Guards F12: what verifies in its place is nothing in another one.
#[test]
fn a_page_in_another_place_or_file_does_not_verify() {
    let values: Values = (0..12).map(|number| sized(number, 1000)).collect();
    let parts = Parts::of(values);
    let pages: Vec<_> = parts.pages().into_iter().collect();
    assert_eq!(pages.len(), 4);
    let disk = disk();
    for (to, place) in &pages {
        for (from, page) in pages.iter().filter(|(from, _)| from != to) {
            let mut bytes = parts.bytes.clone();
            let page = parts.bytes[page.clone()].to_vec();
            bytes[place.clone()].copy_from_slice(&page);
            disk.put(path(), &bytes);
            let damaged = parts.holds(&disk, |at| u64::from(at.sector) != *to, &format!("{from} to {to}"));
            assert_eq!(damaged, [(*to, "this is no page")]);
        }
    }
    let of = |shard, file, directory| ColdId {
        directory: DirectoryId([directory; 16]),
        shard: ShardId(shard),
        file: ColdSeq(file),
    };
    // The same values, and so the same places, in another file; its pages, and all of it under this name.
    for other in [of(2, 6, 9), of(1, 5, 9), of(2, 5, 8)] {
        disk.create_dir(&layout().shard(other.shard)).unwrap();
        let (named, mut bytes) = (layout().cold(other.shard, other.file), parts.bytes.clone());
        let _ = disk.erase(&named);
        let mut writer = ColdWriter::create(&disk, &layout(), other, SCHEMA).unwrap();
        parts.values.iter().for_each(|(key, value)| writer.push(key, value).unwrap());
        writer.finish().unwrap();
        let others = disk.read(&named).unwrap();
        assert_eq!(others.len(), bytes.len());
        let (second, place) = &pages[1];
        bytes[place.clone()].copy_from_slice(&others[place.clone()]);
        disk.put(path(), &bytes);
        parts.holds(&disk, |at| u64::from(at.sector) != *second, &format!("{other:?}"));
        disk.put(path(), &others);
        let file = ColdFile::open(&disk, &layout(), ID).unwrap();
        assert!(parts.written.locations().all(|location| file.page(location).is_err()));
        let result = seen(&disk, &layout());
        assert!(matches!(result, Err(ColdError::Foreign { .. })), "{result:?}");
    }
}

/// However much is gone in a row, it is one report, and what lies behind it is found.
#[test]
fn what_lies_behind_a_hole_is_found() {
    let parts = Parts::of(many());
    let pages: Vec<_> = parts.pages().into_iter().collect();
    let (from, to) = (&pages[3], &pages[200]);
    let hole = from.1.start + 100..to.1.start + 1;
    let disk = disk();
    for fill in [0, 0xff] {
        let mut bytes = parts.bytes.clone();
        bytes[hole.clone()].fill(fill);
        disk.put(path(), &bytes);
        let is_whole = |at: Location| !(from.0..=to.0).contains(&u64::from(at.sector));
        // The first one has its header still.
        assert_eq!(
            parts.holds(&disk, is_whole, "a hole"),
            [(from.0, "a page does not verify"), (pages[4].0, "this is no page")]
        );
    }
}

/// Guards F20: a version is believed where a hash says that it was written.
#[test]
fn a_newer_version_is_named_and_damage_of_the_header_costs_no_value() {
    let parts = Parts::of(small());
    let disk = disk();
    let mut bytes = parts.bytes.clone();
    bytes[8] = 2;
    disk.put(path(), &bytes);
    assert_eq!(parts.holds(&disk, |_| true, "a version"), [(0, "its header does not verify")]);
    let hash = blake3::hash(&bytes[..480]);
    bytes[480..512].copy_from_slice(hash.as_bytes());
    disk.put(path(), &bytes);
    let result = seen(&disk, &layout());
    let newer =
        matches!(&result, Err(error @ ColdError::NewerFormat { found: 2, supported: 1, .. }) if !error.is_damage());
    assert!(newer, "{result:?}");
}

/// A file with one page that a faulty writer might have made: all hashes are right.
fn faulty(payload: &[u8], slots: u16, counts: (u64, u64)) -> SimDisk {
    let (header, header_hash) = ColdHeader { schema: SCHEMA, id: ID }.encode();
    let hash_key = ID.hash_key();
    let mut page = vec![0; HEADER_BYTES];
    page.extend_from_slice(payload);
    let hash = page::seal(&mut page, &hash_key, 1, slots, SCHEMA);
    let mut content = Content::new(&hash_key, &header_hash);
    content.add(&hash);
    let file_bytes = (1024 + page.len()) as u64;
    let footer = Footer { pages: counts.0, values: counts.1, payload_bytes: payload.len() as u64, file_bytes };
    let disk = disk();
    disk.put(path(), &[&header[..], &page, &footer.encode(&content)].concat());
    disk
}

/// Guards F57: all hashes are right, and the slots do not add up.
#[test]
fn verified_pages_that_do_not_add_up_are_refused() {
    let mut good = Vec::new();
    small().iter().for_each(|(key, value)| page::push(&mut good, key, value));
    let damaged = |disk: &SimDisk| seen(disk, &layout()).unwrap().1.1;
    assert_eq!(damaged(&faulty(&good, 3, (1, 3))), []);
    for (pages, values) in [(0, 3), (2, 3), (1, 2), (1, 4)] {
        assert_eq!(damaged(&faulty(&good, 3, (pages, values))), [(2, "a verified footer does not add up")]);
    }
    let wrong = (1, "a verified page does not add up");
    let mut absurd = good.clone();
    let last = absurd.len() - 5;
    absurd[last..last + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    for (payload, slots) in [(&good[..], 0), (&good, 2), (&good, 4), (&good[..30], 3), (&absurd, 3), (&[], 0), (&[], 1)]
    {
        let disk = faulty(payload, slots, (1, slots.into()));
        assert_eq!(damaged(&disk), [wrong]);
        let file = ColdFile::open(&disk, &layout(), ID).unwrap();
        let page = file.page(Location { file: ID.file, sector: 1, sectors: 1, slot: 0 }).unwrap();
        for slot in 0..5 {
            let _ = page.value(slot, b"ab");
        }
        assert!(page.value(3, b"").is_err());
    }
}

/// Guards F57: a length makes room for itself only if its tag verifies, and then only for what the file has.
#[test]
fn absurd_lengths_make_no_room() {
    let parts = Parts::of(small());
    let hash_key = ID.hash_key();
    for (sectors, used) in [(u16::MAX, 31), (u16::MAX, PAGE_BYTES_MAX as u32 - 64), (1, u32::MAX), (0, 0)] {
        let mut bytes = parts.bytes.clone();
        bytes[512 + 6..][..2].copy_from_slice(&sectors.to_le_bytes());
        bytes[512 + 12..][..4].copy_from_slice(&used.to_le_bytes());
        let tag = blake3::keyed_hash(&hash_key, &bytes[512..][..24]);
        bytes[512 + 24..][..8].copy_from_slice(&tag.as_bytes()[..8]);
        let is_header = usize::from(sectors) * 512 == used as usize + 64;
        assert_eq!(PageHeader::decode(&bytes[512..], &hash_key).is_some(), is_header);
        let disk = disk();
        disk.put(path(), &bytes);
        assert_eq!(parts.holds(&disk, |_| false, "absurd"), [(1, "this is no page")]);
    }
}
