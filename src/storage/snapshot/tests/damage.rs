//! Files that are not what was written: every one is an error, and nothing wrong was visited before it.

use super::*;

/// A file on a disk of its own, taken apart.
struct Parts {
    entries: Entries,
    expect: Expected,
    header: Vec<u8>,
    blocks: Vec<Vec<u8>>,
    footer: Vec<u8>,
}

impl Parts {
    fn of(entries: Entries) -> Self {
        let disk = disk();
        let expect = expected(&write(&disk, &layout(), &entries).unwrap());
        let bytes = disk.read(path()).unwrap();
        let (header, mut rest) = bytes.split_at(HEADER_BYTES);
        let mut blocks = Vec::new();
        while rest.len() > FOOTER_BYTES {
            let length = BlockHeader::decode(rest, &[8; 32]).unwrap().payload_bytes as usize;
            let (block, after) = rest.split_at(block::HEADER_BYTES + length);
            blocks.push(block.to_vec());
            rest = after;
        }
        Self { entries, expect, header: header.to_vec(), blocks, footer: rest.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.header.clone(), self.blocks.concat(), self.footer.clone()].concat()
    }

    fn read(&self, bytes: &[u8], expect: &Expected) -> Result<Summary, SnapshotError> {
        let disk = disk();
        disk.put(path(), bytes);
        read_back(&disk, &path(), expect, &self.entries)
    }

    /// Must be damaged, whether the manifest says this length or the right one.
    fn is_damaged(&self, bytes: &[u8], what: &str) -> (u64, &'static str) {
        let length = Expected { bytes: bytes.len() as u64, ..self.expect };
        for expect in [&self.expect, &length] {
            let result = self.read(bytes, expect);
            assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "{what}: {result:?}");
        }
        match self.read(bytes, &length) {
            Err(SnapshotError::Damaged { path: named, offset, reason }) => {
                assert_eq!(named, path());
                assert!(offset <= bytes.len() as u64, "{what}");
                (offset, reason)
            }
            other => panic!("{what}: {other:?}"),
        }
    }

    /// Puts a block in place of the first, as a faulty writer might: all hashes are right.
    fn is_damaged_with(&self, mut block: Vec<u8>, entries: u32) -> (u64, &'static str) {
        let block_hash = block::seal(&mut block, &[8; 32], 0, entries);
        let mut content = Content::new(&[8; 32], &header().encode().1);
        content.add(&block_hash);
        let payload_bytes = (block.len() - block::HEADER_BYTES) as u64;
        let file_bytes = (HEADER_BYTES + block.len() + FOOTER_BYTES) as u64;
        let footer = Footer { blocks: 1, entries: entries.into(), payload_bytes, file_bytes, digest: DIGEST };
        let (footer, hash) = footer.encode(&content);
        let expect = Expected { hash, bytes: file_bytes, entries: entries.into(), ..self.expect };
        match self.read(&[&self.header, &block[..], &footer].concat(), &expect) {
            Err(SnapshotError::Damaged { offset, reason, .. }) => (offset, reason),
            other => panic!("{other:?}"),
        }
    }
}

/// Guards F11, F12: no damaged bit of a snapshot goes unnoticed.
#[test]
fn every_bit_flip_is_seen() {
    let parts = Parts::of(small());
    let good = parts.bytes();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let (offset, _) = parts.is_damaged(&bytes, &format!("byte {at} bit {bit}"));
            let begins = [0, HEADER_BYTES, HEADER_BYTES + parts.blocks[0].len()];
            let part = begins.iter().rfind(|begin| **begin <= at).unwrap();
            assert_eq!(offset, *part as u64, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn every_cut_and_everything_that_follows_is_seen() {
    let parts = Parts::of(small());
    let good = parts.bytes();
    for length in 0..good.len() {
        parts.is_damaged(&good[..length], &format!("{length} bytes"));
        let mut zeroes = good[..length].to_vec();
        zeroes.resize(good.len(), 0);
        if zeroes != good {
            parts.is_damaged(&zeroes, &format!("zeroes from byte {length} on"));
        }
    }
    for more in [&[0][..], &[1], &[0; 128], &parts.footer, &parts.blocks[0], &good] {
        parts.is_damaged(&[&good, more].concat(), "appended");
        parts.is_damaged(&[&good[..good.len() - FOOTER_BYTES], more, &parts.footer].concat(), "put in front");
    }
}

/// Guards F12: parts that verify by themselves are refused in another place and in another file.
#[test]
fn blocks_that_are_exchanged_doubled_or_left_out_are_seen() {
    let parts = Parts::of(three_blocks());
    assert_eq!(parts.blocks.len(), 3);
    let orders: [&[usize]; 10] = [
        &[1, 0, 2],
        &[0, 2, 1],
        &[2, 1, 0],
        &[0, 0, 1, 2],
        &[0, 1, 1, 2],
        &[0, 1, 2, 2],
        &[1, 2],
        &[0, 2],
        &[0, 1],
        &[],
    ];
    for order in orders {
        let blocks: Vec<_> = order.iter().map(|at| parts.blocks[*at].clone()).collect();
        let bytes = [parts.header.clone(), blocks.concat(), parts.footer.clone()].concat();
        parts.is_damaged(&bytes, &format!("{order:?}"));
    }
    // A block of another file under the same salt, in its right place.
    let mut others = three_blocks();
    others[699].1[0] ^= 1;
    let other = Parts::of(others);
    let mixed = [parts.header.clone(), parts.blocks[..2].concat(), other.blocks[2].clone(), parts.footer.clone()];
    let disk = disk();
    disk.put(path(), &mixed.concat());
    let result = verify(&disk, &path(), &parts.expect);
    assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "{result:?}");
}

#[test]
fn a_file_that_the_manifest_does_not_mean_is_foreign() {
    let parts = Parts::of(small());
    let (bytes, expect) = (parts.bytes(), parts.expect);
    let end = |epoch, lsn| Position { epoch: Epoch(epoch), lsn: Lsn(lsn) };
    parts.read(&bytes, &expect).unwrap();
    for other in [
        Expected { directory: DirectoryId([1; 16]), ..expect },
        Expected { shard: ShardId(1), ..expect },
        Expected { snapshot: SnapshotSeq(6), ..expect },
        Expected { end: end(6, 77), ..expect },
        Expected { end: end(7, 78), ..expect },
        Expected { hash: [0; 32], ..expect },
        Expected { entries: 4, ..expect },
    ] {
        let result = parts.read(&bytes, &other);
        assert!(matches!(result, Err(SnapshotError::Foreign { .. })), "{other:?}: {result:?}");
    }
    for bytes_expected in [0, 478, 480, u64::MAX] {
        let result = parts.read(&bytes, &Expected { bytes: bytes_expected, ..expect });
        assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "{result:?}");
    }
    // Whole, and of another writing of the same state: the salt differs.
    let disk = disk();
    let other = SnapshotHeader { salt: [7; 32], ..header() };
    let mut writer = SnapshotWriter::create(&disk, &layout(), other).unwrap();
    small().iter().for_each(|(key, value)| writer.entry(key, Value::Here(value)).unwrap());
    writer.finish(DIGEST).unwrap();
    let result = verify(&disk, &path(), &expect);
    assert!(matches!(result, Err(SnapshotError::Foreign { .. })), "{result:?}");
}

/// Guards F20: a version is believed where a hash says that it was written, and then before anything else.
#[test]
fn a_newer_version_is_named() {
    let parts = Parts::of(small());
    let mut bytes = parts.bytes();
    bytes[8] = 3;
    bytes[40] ^= 1;
    parts.is_damaged(&bytes, "a version without its hash");
    let hash = blake3::hash(&bytes[..224]);
    bytes[224..256].copy_from_slice(hash.as_bytes());
    let disk = disk();
    disk.put(path(), &bytes);
    for result in [verify(&disk, &path(), &parts.expect).map(drop), peek_header(&disk, &path()).map(drop)] {
        let newer = matches!(result, Err(SnapshotError::NewerFormat { found: 3, supported: 2, .. }));
        assert!(newer, "{result:?}");
    }
}

/// Guards F57: a length makes room for itself only if its tag verifies, and then only for what the file can have.
#[test]
fn absurd_lengths_make_no_room() {
    let parts = Parts::of(small());
    for length in [u32::MAX, 512 << 20, 32] {
        let mut bytes = parts.bytes();
        bytes[HEADER_BYTES + 4..][..4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(parts.is_damaged(&bytes, "no tag"), (256, "this is no block"));
        let tag = blake3::keyed_hash(&[8; 32], &bytes[HEADER_BYTES..][..24]);
        bytes[HEADER_BYTES + 24..][..8].copy_from_slice(&tag.as_bytes()[..8]);
        assert_eq!(parts.is_damaged(&bytes, "a tag"), (256, "a block is longer than there is room for"));
    }
}

/// Guards F57: all hashes are right, and the entries do not add up.
#[test]
fn verified_blocks_that_do_not_add_up_are_refused() {
    let parts = Parts::of(small());
    let good = &parts.blocks[0];
    let wrong = (256, "a verified block does not add up");
    for count in [0, 2, 4, u32::MAX] {
        assert_eq!(parts.is_damaged_with(good.clone(), count), wrong);
    }
    assert_eq!(parts.is_damaged_with(good[..block::HEADER_BYTES].to_vec(), 0), wrong);
    assert_eq!(parts.is_damaged_with(good[..good.len() - 1].to_vec(), 3), wrong);
    for length in [30u32, u32::MAX] {
        let mut block = good.clone();
        let last = block.len() - 5;
        block[last..last + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(parts.is_damaged_with(block, 3), wrong);
    }
}
