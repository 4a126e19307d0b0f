//! Counting calls, and each way for one to fail.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::super::super::Disk;
use super::super::{Call, Fault, FaultKind, Operation, SimDisk};
use super::support::{crashes, disk, disk_with_file, letters, name_crashes, only, pieces, set};

const EIO: Option<i32> = Some(5);

#[test]
fn every_call_is_counted_and_traced() {
    let (disk, file) = disk_with_file(b"abc");
    disk.set_call_count(0);
    file.read_at(&mut [0; 3], 0).unwrap();
    disk.rename(Path::new("d/f"), Path::new("d/g")).unwrap();
    disk.open(Path::new("d/missing")).unwrap_err();
    file.sync().unwrap();
    let traced = |call: &Call| (call.number, call.operation, call.path.clone());
    let expected = [
        (1, Operation::Read, "d/f".into()),
        (2, Operation::Rename, "d/f".into()),
        (3, Operation::Open, "d/missing".into()),
        (4, Operation::Sync, "d/f".into()),
    ];
    assert_eq!(disk.trace().iter().map(traced).collect::<Vec<_>>(), expected);
    assert_eq!(disk.trace()[1].renamed_to.as_deref(), Some(Path::new("d/g")));
    assert_eq!(disk.calls(), 4);
}

#[test]
fn reads_can_be_left_uncounted() {
    let (disk, file) = disk_with_file(b"abc");
    disk.set_call_count(0);
    disk.count_only_mutations(true);
    disk.fail_in(1, FaultKind::ErrorOnce);
    file.read_at(&mut [0; 3], 0).unwrap();
    assert_eq!(disk.calls(), 0);
    file.sync().unwrap_err();
    assert_eq!(disk.calls(), 1);
    assert!(disk.trace().iter().all(|call| call.operation.is_mutation()));
}

#[test]
fn an_error_hits_the_numbered_call_and_no_other() {
    let disk = disk();
    disk.set_call_count(10);
    disk.fail(Fault { at: 12, kind: FaultKind::ErrorOnce });
    disk.create(Path::new("d/a")).unwrap();
    assert_eq!(disk.create(Path::new("d/b")).unwrap_err().raw_os_error(), EIO);
    assert_eq!(disk.read("d/b"), None);
    disk.create(Path::new("d/b")).unwrap();
}

#[test]
fn a_failed_write_leaves_any_part_of_itself_in_the_cache() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        disk.put("f", &pieces("aaa"));
        let file = disk.open_for_write(Path::new("f")).unwrap();
        disk.fail_in(1, FaultKind::ErrorOnce);
        assert_eq!(file.write_all_at(&pieces("bbb"), 0).unwrap_err().raw_os_error(), EIO);
        seen.insert(letters(&disk.read("f").unwrap()));
    }
    let expected = ["aaa", "bbb", "baa", "aba", "b?a"];
    assert!(expected.iter().all(|letters| seen.contains(*letters)), "{seen:?}");
}

#[test]
fn a_file_that_fails_for_good_fails_under_every_name_and_handle() {
    let (disk, file) = disk_with_file(b"abc");
    disk.put("d/other", b"");
    disk.fail_in(1, FaultKind::ErrorForEver);
    file.sync().unwrap_err();
    disk.rename(Path::new("d/f"), Path::new("d/g")).unwrap();
    let again = disk.open_for_write(Path::new("d/g")).unwrap();
    again.write_all_at(b"x", 0).unwrap_err();
    again.sync().unwrap_err();
    assert_eq!(again.read_at(&mut [0; 3], 0).unwrap(), 3, "reads go on");
    let killed = disk.after_kill().open_for_write(Path::new("d/g")).unwrap();
    killed.sync().unwrap_err();
    let other = disk.open_for_write(Path::new("d/other")).unwrap();
    other.write_all_at(b"x", 0).unwrap();
    other.sync().unwrap();
}

#[test]
fn what_failed_for_good_is_mended_and_its_pages_are_not() {
    let (disk, file) = disk_with_file(b"abc");
    file.write_all_at(b"x", 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorForEver);
    file.sync().unwrap_err();
    disk.fail_in(1, FaultKind::ErrorForEver);
    file.drop_cache().unwrap_err();
    disk.disarm();
    file.read_at(&mut [0; 3], 0).unwrap_err();
    let killed = disk.after_kill();
    killed.mend();
    disk.sync_dir(Path::new("d")).unwrap();
    file.sync().unwrap_err();
    let file = killed.open_for_write(Path::new("d/f")).unwrap();
    file.sync().unwrap();
    assert_eq!(killed.read("d/f").unwrap(), b"xbc");
    file.drop_cache().unwrap();
    assert_eq!(killed.read("d/f").unwrap(), b"abc");
}

#[test]
fn a_directory_that_fails_for_good_takes_no_change() {
    let (disk, file) = disk_with_file(b"abc");
    disk.fail_in(1, FaultKind::ErrorForEver);
    disk.sync_dir(Path::new("d")).unwrap_err();
    disk.create(Path::new("d/g")).unwrap_err();
    disk.remove(Path::new("d/f")).unwrap_err();
    file.sync().unwrap();
    disk.list(Path::new("d")).unwrap();
    disk.create(Path::new("g")).unwrap();
}

#[test]
fn an_error_after_the_effect_has_the_effect() {
    let (disk, file) = disk_with_file(b"abc");
    file.write_all_at(b"x", 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorAfterEffect);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), EIO);
    assert_eq!(crashes(&disk, "d/f"), only(b"xbc"));
    disk.fail_in(1, FaultKind::ErrorAfterEffect);
    assert_eq!(disk.create(Path::new("d/g")).unwrap_err().raw_os_error(), EIO);
    assert_eq!(disk.read("d/g").unwrap(), b"");
}

#[test]
fn a_full_disk_refuses_what_allocates_until_there_is_space() {
    let (disk, file) = disk_with_file(&pieces("aa"));
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    disk.fail_in(1, FaultKind::NoSpace);
    file.sync().unwrap();
    assert_eq!(kind(disk.create(Path::new("d/g")).map(drop)), ErrorKind::StorageFull);
    assert_eq!(kind(disk.create_dir(Path::new("d/g"))), ErrorKind::StorageFull);
    assert_eq!(kind(disk.lock(Path::new("d/LOCK")).map(drop)), ErrorKind::StorageFull);
    assert_eq!(kind(file.write_all_at(&pieces("bb"), 512)), ErrorKind::StorageFull);
    assert_eq!(file.size().unwrap(), 1024, "not extended");
    file.write_all_at(&pieces("cc"), 0).unwrap();
    file.sync().unwrap();
    disk.rename(Path::new("d/f"), Path::new("d/h")).unwrap();
    disk.free_space();
    file.write_all_at(&pieces("dd"), 512).unwrap();
    disk.create(Path::new("d/g")).unwrap();
    assert_eq!(letters(&disk.read("d/h").unwrap()), "cdd");
}

#[test]
fn a_power_cut_freezes_everything() {
    let (disk, file) = disk_with_file(&pieces("aa"));
    disk.fail_in(2, FaultKind::Crash);
    file.write_all_at(&pieces("b"), 0).unwrap();
    let cut = |result: io::Result<()>| {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, "power cut"));
    };
    cut(file.sync());
    assert!(disk.is_power_cut());
    let left = crashes(&disk, "d/f");
    assert!(left.contains(&Some(pieces("aa"))) && left.contains(&Some(pieces("ba"))));
    let calls = disk.calls();
    cut(file.sync());
    cut(file.write_all_at(&pieces("cccc"), 0));
    cut(file.read_at(&mut [0], 0).map(drop));
    cut(file.drop_cache());
    cut(disk.clone().remove(Path::new("d/f")));
    cut(disk.sync_dir(Path::new("d")));
    cut(disk.create(Path::new("d/g")).map(drop));
    cut(disk.list(Path::new("d")).map(drop));
    assert_eq!(crashes(&disk, "d/f"), left, "nothing has changed");
    assert_eq!(disk.calls(), calls);
    disk.crash(1).create(Path::new("d/g")).unwrap();
}

#[test]
fn the_call_that_is_cut_short_takes_any_part_of_its_effect() {
    let (disk, file) = disk_with_file(&pieces("aa"));
    disk.fail_in(1, FaultKind::Crash);
    file.write_all_at(&pieces("bb"), 0).unwrap_err();
    let left = crashes(&disk, "d/f");
    assert!(["aa", "ab", "ba", "bb"].iter().all(|letters| left.contains(&Some(pieces(letters)))));

    let (disk, _file) = disk_with_file(b"");
    disk.fail_in(1, FaultKind::Crash);
    disk.rename(Path::new("d/f"), Path::new("d/g")).unwrap_err();
    assert_eq!(name_crashes(&disk), set(&[&["d/f"], &["d/g"], &["d/f", "d/g"]]));

    let disk = super::support::disk();
    disk.create(Path::new("d/f")).unwrap();
    disk.fail_in(1, FaultKind::Crash);
    disk.sync_dir(Path::new("d")).unwrap_err();
    assert_eq!(name_crashes(&disk), set(&[&[], &["d/f"]]));
}

#[test]
fn a_predicate_picks_its_call() {
    let (disk, file) = disk_with_file(b"abc");
    disk.put("d/wal-1", b"");
    let wal = disk.open_for_write(Path::new("d/wal-1")).unwrap();
    let mut fired = false;
    disk.fail_when(move |call| {
        let hit = !fired && call.operation == Operation::Sync && call.path.to_string_lossy().contains("wal-");
        fired |= hit;
        hit.then_some(FaultKind::ErrorOnce)
    });
    file.sync().unwrap();
    wal.write_all_at(b"x", 0).unwrap();
    wal.sync().unwrap_err();
    wal.sync().unwrap();
    disk.fail_when(|_| Some(FaultKind::ErrorOnce));
    wal.sync().unwrap_err();
    disk.disarm();
    wal.sync().unwrap();
}

#[test]
fn a_lying_disk_makes_nothing_durable() {
    let (disk, file) = disk_with_file(&pieces("a"));
    disk.lie_about_sync(true);
    file.write_all_at(&pieces("b"), 0).unwrap();
    file.sync().unwrap();
    let left = crashes(&disk, "d/f");
    assert!(left.contains(&Some(pieces("a"))) && left.contains(&Some(pieces("b"))));
    disk.lie_about_sync(false);
    file.sync().unwrap();
    assert_eq!(crashes(&disk, "d/f"), only(&pieces("b")), "what was not synced is still dirty");

    disk.lie_about_sync_dir(true);
    disk.create(Path::new("d/g")).unwrap();
    disk.sync_dir(Path::new("d")).unwrap();
    assert_eq!(name_crashes(&disk), set(&[&["d/f"], &["d/f", "d/g"]]));
    disk.lie_about_sync_dir(false);
    disk.sync_dir(Path::new("d")).unwrap();
    assert_eq!(name_crashes(&disk), set(&[&["d/f", "d/g"]]));
}
