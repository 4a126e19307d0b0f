//! Shared by the tests: a disk with a directory `d`, and looking at many crashes of it.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::super::{Disk, DiskFile};
use super::super::SimDisk;

pub const SEEDS: u64 = 400;

/// A disk with the durable empty directory `d`.
pub fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir(Path::new("d")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk
}

/// The same with a durable file `d/f`, opened for writing.
pub fn disk_with_file(bytes: &[u8]) -> (SimDisk, Box<dyn DiskFile>) {
    let disk = disk();
    disk.put("d/f", bytes);
    let file = disk.open_for_write(Path::new("d/f")).unwrap();
    (disk, file)
}

/// Everything that crashes with different seeds leave of a file.
pub fn crashes(disk: &SimDisk, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| disk.crash(seed).read(path)).collect()
}

/// Which names crashes with different seeds leave.
pub fn name_crashes(disk: &SimDisk) -> BTreeSet<Vec<String>> {
    let names = |disk: &SimDisk| disk.files().into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
    (0..SEEDS).map(|seed| names(&disk.crash(seed))).collect()
}

/// `only(x)` is what [`crashes`] gives when nothing is left to chance.
pub fn only(bytes: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    [Some(bytes.to_vec())].into()
}

pub fn set(names: &[&[&str]]) -> BTreeSet<Vec<String>> {
    names.iter().map(|list| list.iter().map(|name| String::from(*name)).collect()).collect()
}

/// One letter a piece.
pub fn pieces(letters: &str) -> Vec<u8> {
    letters.bytes().flat_map(|letter| [letter; 512]).collect()
}

/// The letter of each piece, or `?` for a mixed one.
pub fn letters(bytes: &[u8]) -> String {
    let letter = |piece: &[u8]| {
        let first = piece[0];
        if piece.iter().all(|byte| *byte == first) { char::from(first) } else { '?' }
    };
    bytes.chunks(512).map(letter).collect()
}
