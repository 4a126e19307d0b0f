//! Copies of the disk, and the ways to look at files and to damage them.

use std::io::ErrorKind;
use std::path::Path;

use super::super::super::Disk;
use super::super::{FaultKind, SimDisk};
use super::support::{crashes, disk, disk_with_file, letters, only, pieces};

#[test]
fn the_same_seed_crashes_the_same_way() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bbbbbb"), 100).unwrap();
    disk.create(Path::new("d/g")).unwrap();
    assert!((0..50).all(|seed| disk.crash(seed).files() == disk.crash(seed).files()));
}

#[test]
fn a_crashed_disk_is_healthy_and_on_its_own() {
    let (disk, file) = disk_with_file(b"abc");
    disk.fail_in(9, FaultKind::ErrorOnce);
    disk.fail_when(|_| Some(FaultKind::NoSpace));
    file.sync().unwrap();
    disk.cut_power();
    let crashed = disk.crash(1);
    assert_eq!(crashed.calls(), 0);
    assert!(crashed.trace().is_empty());
    let other = crashed.open_for_write(Path::new("d/f")).unwrap();
    (0..20).for_each(|at| other.write_all_at(b"12345", at).unwrap());
    assert_eq!(disk.read("d/f").unwrap(), b"abc");
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let (disk, file) = disk_with_file(&pieces("aa"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    disk.create(Path::new("d/g")).unwrap();
    disk.fail_in(2, FaultKind::Crash);
    let killed = disk.after_kill();
    assert_eq!(killed.files(), disk.files());
    let left = crashes(&killed, "d/f");
    assert!(left.contains(&Some(pieces("aa"))) && left.contains(&Some(pieces("ba"))));
    assert!(crashes(&killed, "d/g").contains(&None));
    let file = killed.open_for_write(Path::new("d/f")).unwrap();
    file.sync().unwrap();
    assert_eq!(crashes(&killed, "d/f"), only(&pieces("ba")), "the next process can sync it");
    assert!(crashes(&disk, "d/f").len() > 1, "and that is another disk");
}

#[test]
fn pages_of_a_failed_sync_stay_lost_after_a_kill() {
    let (disk, file) = disk_with_file(&pieces("a"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorOnce);
    file.sync().unwrap_err();
    let killed = disk.after_kill();
    let file = killed.open_for_write(Path::new("d/f")).unwrap();
    assert_eq!(killed.read("d/f").unwrap(), pieces("b"));
    file.sync().unwrap();
    assert_eq!(crashes(&killed, "d/f"), only(&pieces("a")));
    file.drop_cache().unwrap();
    assert_eq!(killed.read("d/f").unwrap(), pieces("a"));
}

#[test]
fn a_removed_file_whose_name_may_come_back_survives_a_kill() {
    let (disk, file) = disk_with_file(b"abc");
    disk.remove(Path::new("d/f")).unwrap();
    drop(file);
    assert_eq!(crashes(&disk.after_kill(), "d/f"), [None, Some(b"abc".to_vec())].into());
}

#[test]
fn a_file_that_only_a_pending_change_knows_survives_a_kill() {
    let disk = disk();
    let file = disk.create(Path::new("d/f")).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    file.sync().unwrap();
    disk.remove(Path::new("d/f")).unwrap();
    assert_eq!(crashes(&disk.after_kill(), "d/f"), [None, Some(b"abc".to_vec())].into());
}

#[test]
fn after_a_power_cut_there_is_no_cache_to_be_found() {
    let (disk, file) = disk_with_file(&pieces("aaaa"));
    file.write_all_at(&pieces("bbbb"), 0).unwrap();
    disk.cut_power();
    let first = disk.after_kill().files();
    assert_eq!(first, disk.after_kill().files());
    assert_eq!(disk.after_kill().crash(7).files(), first, "all of it is durable");
}

#[test]
fn damage_is_on_the_disk_and_in_the_cache() {
    let (disk, file) = disk_with_file(&pieces("aaa"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    let calls = disk.calls();
    disk.overwrite("d/f", 512, &pieces("x")).unwrap();
    assert_eq!(letters(&disk.read("d/f").unwrap()), "bxa");
    assert!((0..50).all(|seed| {
        let crashed = disk.crash(seed);
        crashed.read("d/f").unwrap()[512..] == pieces("xa")[..]
    }));
    assert_eq!(disk.overwrite("d/no", 0, b"x").unwrap_err().kind(), ErrorKind::NotFound);
    let beyond = disk.overwrite("d/f", 1535, b"xx").unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::InvalidInput);
    assert_eq!(disk.calls(), calls);
}

#[test]
fn damage_leaves_no_earlier_state_behind() {
    let (disk, file) = disk_with_file(&pieces("a"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    file.write_all_at(&pieces("c"), 0).unwrap();
    disk.overwrite("d/f", 0, &pieces("x")).unwrap();
    assert_eq!(crashes(&disk, "d/f"), only(&pieces("x")));
}

#[test]
fn put_and_erase_are_durable_at_once() {
    let disk = SimDisk::new(1);
    disk.put("x/y/f", b"abc");
    disk.put("x/y/f", b"def");
    disk.put("x/g", b"g");
    assert_eq!(crashes(&disk, "x/y/f"), only(b"def"));
    disk.erase("x/y/f").unwrap();
    assert_eq!(crashes(&disk, "x/y/f"), [None].into());
    assert_eq!(disk.erase("x/y/f").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.files(), [("x/g".into(), b"g".to_vec())].into());
    assert_eq!(disk.calls(), 0);
    disk.remove(Path::new("x/g")).unwrap();
    disk.put("x/g", b"again");
    assert_eq!(crashes(&disk, "x/g"), only(b"again"));
}

#[test]
fn the_file_system_is_what_a_test_says() {
    let disk = disk();
    assert_eq!(disk.refused_file_system(Path::new("d")).unwrap(), None);
    disk.pretend_file_system("nfs");
    assert_eq!(disk.refused_file_system(Path::new("d")).unwrap(), Some("nfs"));
    assert_eq!(disk.crash(1).refused_file_system(Path::new("d")).unwrap(), Some("nfs"));
}
