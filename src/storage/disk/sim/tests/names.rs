//! Creates, renames, removes, directories and locks.

use std::io::ErrorKind;
use std::path::Path;

use super::super::super::{Disk, DiskFile};
use super::super::{FaultKind, SimDisk};
use super::support::{crashes, disk, name_crashes, only, set};

fn make(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(Path::new(path)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    file
}

fn sync(disk: &SimDisk) {
    disk.sync_dir(Path::new("d")).unwrap();
}

#[test]
fn a_created_name_is_kept_or_lost_until_the_directory_is_synced() {
    let disk = disk();
    make(&disk, "d/f", b"data");
    assert_eq!(crashes(&disk, "d/f"), [None, Some(b"data".to_vec())].into());
    sync(&disk);
    assert_eq!(crashes(&disk, "d/f"), only(b"data"));
}

#[test]
fn names_are_kept_or_lost_one_by_one() {
    let disk = disk();
    make(&disk, "d/a", b"");
    make(&disk, "d/b", b"");
    assert_eq!(name_crashes(&disk), set(&[&[], &["d/a"], &["d/b"], &["d/a", "d/b"]]));
}

#[test]
fn a_removed_name_may_come_back_until_the_directory_is_synced() {
    let disk = disk();
    disk.put("d/f", b"data");
    disk.remove(Path::new("d/f")).unwrap();
    assert_eq!(disk.open(Path::new("d/f")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(crashes(&disk, "d/f"), [None, Some(b"data".to_vec())].into());
    sync(&disk);
    assert_eq!(crashes(&disk, "d/f"), [None].into());
}

#[test]
fn a_rename_is_atomic_for_the_new_name() {
    let disk = disk();
    disk.put("d/current", b"old");
    disk.put("d/tmp", b"new");
    disk.rename(Path::new("d/tmp"), Path::new("d/current")).unwrap();
    assert_eq!(disk.read("d/current").unwrap(), b"new");
    let seen: std::collections::BTreeSet<_> = (0..400)
        .map(|seed| disk.crash(seed))
        .map(|crashed| (crashed.read("d/current").unwrap(), crashed.read("d/tmp")))
        .collect();
    let expected =
        [(b"new".to_vec(), None), (b"new".to_vec(), Some(b"new".to_vec())), (b"old".to_vec(), Some(b"new".to_vec()))];
    assert_eq!(seen, expected.into());
    sync(&disk);
    assert_eq!(crashes(&disk, "d/current"), only(b"new"));
    assert_eq!(crashes(&disk, "d/tmp"), [None].into());
}

#[test]
fn two_names_of_one_file_are_one_file() {
    let disk = disk();
    disk.put("d/tmp", b"new");
    disk.rename(Path::new("d/tmp"), Path::new("d/current")).unwrap();
    let both = |crashed: &SimDisk| crashed.files().len() == 2;
    let crashed = (0..400).map(|seed| disk.crash(seed)).find(both).unwrap();
    crashed.rename(Path::new("d/tmp"), Path::new("d/current")).unwrap();
    assert!(both(&crashed), "as POSIX has it");
    let file = crashed.open_for_write(Path::new("d/tmp")).unwrap();
    file.write_all_at(b"BAD", 0).unwrap();
    assert_eq!(crashed.read("d/current").unwrap(), b"BAD");
}

#[test]
fn a_synced_file_in_a_lost_directory_is_lost() {
    let disk = disk();
    disk.create_dir(Path::new("d/sub")).unwrap();
    make(&disk, "d/sub/f", b"data");
    disk.sync_dir(Path::new("d/sub")).unwrap();
    assert_eq!(crashes(&disk, "d/sub/f"), [None, Some(b"data".to_vec())].into());
    sync(&disk);
    assert_eq!(crashes(&disk, "d/sub/f"), only(b"data"));
}

#[test]
fn a_sync_of_one_directory_says_nothing_about_another() {
    let disk = disk();
    disk.create_dir(Path::new("e")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    make(&disk, "d/f", b"");
    make(&disk, "e/f", b"");
    sync(&disk);
    assert_eq!(name_crashes(&disk), set(&[&["d/f"], &["d/f", "e/f"]]));
}

#[test]
fn after_a_failed_sync_dir_nothing_is_durable_and_the_next_one_counts() {
    let disk = disk();
    make(&disk, "d/f", b"data");
    disk.fail_in(1, FaultKind::ErrorOnce);
    disk.sync_dir(Path::new("d")).unwrap_err();
    assert_eq!(crashes(&disk, "d/f"), [None, Some(b"data".to_vec())].into());
    sync(&disk);
    assert_eq!(crashes(&disk, "d/f"), only(b"data"));
}

#[test]
fn an_open_file_survives_its_name() {
    let disk = disk();
    let file = make(&disk, "d/f", b"data");
    sync(&disk);
    disk.remove(Path::new("d/f")).unwrap();
    sync(&disk);
    make(&disk, "d/f", b"other");
    file.write_all_at(b"more", 4).unwrap();
    file.sync().unwrap();
    assert_eq!(file.size().unwrap(), 8);
    assert_eq!(disk.read("d/f").unwrap(), b"other");
}

#[test]
fn errors_are_those_of_a_file_system() {
    let disk = disk();
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    disk.put("d/f", b"data");
    let path = Path::new;
    assert_eq!(kind(disk.create(path("no/f")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(disk.create(path("d/f/x")).map(drop)), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.create(path("d/f")).map(drop)), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.create_dir(path("d/f"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.create_dir(path("no/d"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.list(path("no")).map(drop)), ErrorKind::NotFound);
    assert_eq!(kind(disk.list(path("d/f")).map(drop)), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.sync_dir(path("no"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove(path("d/no"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(path("d/no"), path("d/f"))), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename(path("d/f"), path("f"))), ErrorKind::InvalidInput);
    assert_eq!(kind(disk.open(path("d")).map(drop)), ErrorKind::IsADirectory);
    disk.create_dir(path("./d/")).unwrap();
}

#[test]
fn a_list_has_the_direct_children_only() {
    let disk = disk();
    ["d/a", "d/b/c", "d/b/e", "d.x/f", "g"].iter().for_each(|path| disk.put(path, b""));
    disk.create_dir(Path::new("/abs")).unwrap();
    let sorted = |dir: &str| {
        let mut names = disk.list(Path::new(dir)).unwrap();
        names.sort();
        names
    };
    assert_eq!(sorted("d"), ["a", "b"]);
    assert_eq!(sorted("d/b/"), ["c", "e"]);
    assert_eq!(sorted(""), ["d", "d.x", "g"]);
    assert_eq!(sorted("/"), ["abs"]);
    assert!(sorted("/abs").is_empty());
}

#[test]
fn a_lock_is_exclusive_until_it_is_dropped() {
    let disk = disk();
    let held = disk.lock(Path::new("d/LOCK")).unwrap();
    let again = |disk: &SimDisk| disk.lock(Path::new("d/LOCK")).map(drop);
    assert_eq!(again(&disk.clone()).unwrap_err().kind(), ErrorKind::WouldBlock);
    sync(&disk);
    again(&disk.crash(1)).unwrap();
    again(&disk.after_kill()).unwrap();
    assert_eq!(again(&disk).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(held);
    again(&disk).unwrap();
}
