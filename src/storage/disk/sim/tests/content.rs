//! Writes, lengths, syncs that work and syncs that fail.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::super::Disk;
use super::super::content::Content;
use super::super::image::Image;
use super::super::random::Random;
use super::super::{FaultKind, SimDisk};
use super::support::{crashes, disk, disk_with_file, letters, only, pieces};

fn letter_crashes(disk: &SimDisk) -> BTreeSet<String> {
    crashes(disk, "d/f").iter().map(|bytes| letters(bytes.as_ref().unwrap())).collect()
}

#[test]
fn unsynced_data_may_vanish_and_may_survive() {
    let (disk, file) = disk_with_file(&pieces("aaa"));
    file.write_all_at(&pieces("b"), 512).unwrap();
    let seen = letter_crashes(&disk);
    assert!(seen.contains("aaa"));
    assert!(seen.contains("aba"));
    assert_eq!(disk.read("d/f").unwrap(), pieces("aba"), "the disk itself goes on");
}

#[test]
fn synced_data_always_survives() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bb"), 1000).unwrap();
    file.write_all_at(&pieces("cc"), 2000).unwrap();
    file.sync().unwrap();
    let durable = disk.read("d/f").unwrap();
    assert_eq!(durable.len(), 3024);
    assert_eq!(crashes(&disk, "d/f"), only(&durable));
    assert_eq!(disk.crash(1).crash(2).read("d/f").unwrap(), durable);
}

#[test]
fn each_piece_is_old_or_new_on_its_own() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bbbb"), 0).unwrap();
    let seen = letter_crashes(&disk);
    let whole = seen.iter().filter(|letters| !letters.contains('?')).count();
    assert_eq!(whole, 16, "all ways to keep some of four pieces: {seen:?}");
}

#[test]
fn at_most_one_piece_is_torn_and_at_any_byte() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bbbb"), 0).unwrap();
    let mut cuts = BTreeSet::new();
    for bytes in crashes(&disk, "d/f").into_iter().flatten() {
        assert_eq!(bytes.len(), 2048);
        let torn: Vec<&[u8]> = bytes.chunks(512).filter(|piece| letters(piece) == "?").collect();
        assert!(torn.len() <= 1);
        for piece in torn {
            let changes: Vec<usize> = (1..512).filter(|index| piece[*index] != piece[index - 1]).collect();
            assert_eq!(changes.len(), 1, "one cut");
            cuts.extend(changes);
        }
    }
    assert!(cuts.len() > 50 && cuts.iter().any(|cut| cut % 8 != 0));
}

#[test]
fn bytes_outside_the_range_never_change() {
    let (disk, file) = disk_with_file(&pieces("aaa"));
    file.write_all_at(&[b'b'; 700], 300).unwrap();
    for bytes in crashes(&disk, "d/f").into_iter().flatten() {
        assert!(bytes[..300].iter().chain(&bytes[1000..]).all(|byte| *byte == b'a'));
        assert!(bytes[300..1000].iter().all(|byte| matches!(byte, b'a' | b'b')));
    }
}

#[test]
fn the_length_is_durable_only_after_the_sync() {
    let (disk, file) = disk_with_file(&[b'a'; 100]);
    file.write_all_at(&[b'b'; 2900], 100).unwrap();
    let seen: Vec<Vec<u8>> = crashes(&disk, "d/f").into_iter().flatten().collect();
    for bytes in &seen {
        assert!(bytes.len() >= 100 && bytes.len() <= 3000);
        assert!(bytes[..100].iter().all(|byte| *byte == b'a'));
        assert!(bytes[100..].iter().all(|byte| matches!(byte, 0 | b'b')));
    }
    let lengths: BTreeSet<usize> = seen.iter().map(Vec::len).collect();
    assert!(lengths.contains(&100) && lengths.contains(&3000));
    assert!(lengths.iter().any(|length| length % 512 != 0 && *length > 512 && *length < 3000));
    assert!(seen.iter().any(|bytes| bytes.ends_with(&[0; 600])), "longer, and nothing written");
}

#[test]
fn states_between_two_writes_may_survive() {
    let (disk, file) = disk_with_file(&pieces("a"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    file.write_all_at(&pieces("c"), 0).unwrap();
    let seen = letter_crashes(&disk);
    assert!(["a", "b", "c"].iter().all(|letter| seen.contains(*letter)), "{seen:?}");
    file.sync().unwrap();
    assert_eq!(letter_crashes(&disk), [String::from("c")].into());
}

#[test]
fn a_failed_sync_leaves_clean_pages_that_the_disk_does_not_have() {
    let (disk, file) = disk_with_file(&pieces("aa"));
    file.write_all_at(&pieces("bbb"), 512).unwrap();
    disk.fail_in(1, FaultKind::ErrorOnce);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(letters(&disk.read("d/f").unwrap()), "abbb");
    file.sync().unwrap();
    assert_eq!(crashes(&disk, "d/f"), only(&pieces("aa")), "the later Ok means nothing");
    file.drop_cache().unwrap();
    assert_eq!(letters(&disk.read("d/f").unwrap()), "aa");
    assert_eq!(file.size().unwrap(), 1024);
}

#[test]
fn writing_again_after_a_failed_sync_makes_only_those_pieces_durable() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bbbb"), 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorOnce);
    file.sync().unwrap_err();
    file.write_all_at(&pieces("c"), 1024).unwrap();
    file.sync().unwrap();
    assert_eq!(letters(&disk.read("d/f").unwrap()), "bbcb");
    assert_eq!(letter_crashes(&disk), [String::from("aaca")].into());
}

#[test]
fn drop_cache_keeps_what_is_dirty() {
    let (disk, file) = disk_with_file(&pieces("aaa"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorOnce);
    file.sync().unwrap_err();
    file.write_all_at(&pieces("c"), 2048).unwrap();
    file.drop_cache().unwrap();
    assert_eq!(letters(&disk.read("d/f").unwrap()), "aaa\0c");
    file.sync().unwrap();
    assert_eq!(letter_crashes(&disk), [String::from("aaa\0c")].into());
}

#[test]
fn a_sync_covers_what_came_before_it_and_all_or_nothing_of_what_came_after() {
    let mut seen = BTreeSet::new();
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut content = Content::durable(Image::from_bytes(&pieces("aaa")));
        content.write(&pieces("bb"), 0, &mut random);
        let start = content.sync_start();
        content.write(&pieces("ccc"), 512, &mut random);
        content.sync(start, &mut random);
        seen.insert(letters(&content.on_disk().to_vec()));
        let start = content.sync_start();
        content.sync(start, &mut random);
        assert_eq!(letters(&content.on_disk().to_vec()), "bccc");
    }
    assert_eq!(seen, ["bba", "bccc"].map(String::from).into());
}

#[test]
fn a_large_zero_filled_file_is_cheap_to_write_sync_and_crash() {
    let disk = disk();
    let file = disk.create(Path::new("d/f")).unwrap();
    let zeroes = vec![0; 1 << 20];
    for part in 0..16 {
        file.write_all_at(&zeroes, part << 20).unwrap();
    }
    file.sync().unwrap();
    disk.sync_dir(Path::new("d")).unwrap();
    file.write_all_at(b"frame", 64).unwrap();
    for seed in 0..1000 {
        let crashed = disk.crash(seed);
        let file = crashed.open(Path::new("d/f")).unwrap();
        assert_eq!(file.size().unwrap(), 16 << 20);
    }
}

#[test]
fn reads_and_writes_are_those_of_a_file() {
    let (disk, file) = disk_with_file(b"");
    let mut model: Vec<u8> = Vec::new();
    let mut random = Random::new(3);
    for round in 0..500 {
        let offset = random.below_index(20_000);
        let bytes = vec![round as u8; random.below_index(6000)];
        file.write_all_at(&bytes, offset as u64).unwrap();
        if !bytes.is_empty() {
            model.resize(model.len().max(offset + bytes.len()), 0);
            model[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        if random.one_in(10) {
            file.sync().unwrap();
        }
        let from = random.below_index(22_000);
        let mut buffer = vec![0xee; random.below_index(9000)];
        let count = file.read_at(&mut buffer, from as u64).unwrap();
        let expected = model.get(from..).unwrap_or_default();
        assert_eq!(count, expected.len().min(buffer.len()));
        assert_eq!(buffer[..count], expected[..count]);
        file.drop_cache().unwrap();
    }
    assert_eq!(disk.read("d/f").unwrap(), model);
    file.sync().unwrap();
    assert_eq!(disk.crash(1).read("d/f").unwrap(), model);
}

#[test]
fn a_position_out_of_range_is_an_error() {
    let (disk, file) = disk_with_file(b"abc");
    assert!(file.write_all_at(b"x", u64::MAX).is_err());
    assert!(file.write_all_at(b"x", 1 << 40).is_err());
    assert_eq!(file.read_at(&mut [0; 4], u64::MAX).unwrap(), 0);
    assert!(disk.open(Path::new("d/f")).unwrap().write_all_at(b"x", 0).is_err(), "read only");
    assert_eq!(disk.read("d/f").unwrap(), b"abc");
}
