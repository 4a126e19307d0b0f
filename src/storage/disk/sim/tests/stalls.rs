//! Calls that hang until they are released.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use super::super::super::Disk;
use super::super::{FaultKind, Operation, SimDisk};
use super::support::{crashes, disk_with_file, letters, only, pieces};

#[test]
fn a_stalled_sync_has_its_effect_when_released_and_holds_up_nobody_else() {
    let (disk, file) = disk_with_file(&pieces("a"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    let stall = disk.stall(|call| call.operation == Operation::Sync);
    assert_eq!(stall.waiting(), 0);
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync());
        stall.wait_until_stalled();
        assert_eq!(stall.waiting(), 1);
        disk.create(Path::new("d/g")).unwrap();
        assert!(crashes(&disk, "d/f").contains(&Some(pieces("a"))), "nothing durable yet");
        assert!(!sync.is_finished());
        stall.release();
        sync.join().unwrap().unwrap();
    });
    assert_eq!(crashes(&disk, "d/f"), only(&pieces("b")));
    assert_eq!(stall.waiting(), 0);
    stall.wait_until_stalled();
    file.sync().unwrap();
}

#[test]
fn a_write_during_a_stalled_sync_is_covered_or_not() {
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        disk.put("f", &pieces("aa"));
        let file = disk.open_for_write(Path::new("f")).unwrap();
        file.write_all_at(&pieces("b"), 0).unwrap();
        let stall = disk.stall(|call| call.operation == Operation::Sync);
        thread::scope(|scope| {
            let sync = scope.spawn(|| file.sync());
            stall.wait_until_stalled();
            file.write_all_at(&pieces("c"), 512).unwrap();
            stall.release();
            sync.join().unwrap().unwrap();
        });
        let all = crashes(&disk, "f");
        let left = all.into_iter().flatten().map(|bytes| letters(&bytes));
        let left: BTreeSet<String> = left.filter(|letters| !letters.contains('?')).collect();
        assert!(left.iter().all(|letters| letters.starts_with('b')), "{left:?}");
        seen.insert(left);
    }
    let sets = [vec!["bc"], vec!["ba", "bc"]];
    let expected = sets.map(|left| left.into_iter().map(String::from).collect());
    assert_eq!(seen, expected.into());
}

#[test]
fn a_power_cut_during_a_stall_is_what_the_released_call_finds() {
    let (disk, file) = disk_with_file(&pieces("a"));
    file.write_all_at(&pieces("b"), 0).unwrap();
    let stall = disk.stall(|call| call.operation.is_mutation());
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync());
        let write = scope.spawn(|| file.write_all_at(&pieces("c"), 0));
        while stall.waiting() < 2 {
            thread::yield_now();
        }
        disk.cut_power();
        drop(stall);
        assert_eq!(sync.join().unwrap().unwrap_err().to_string(), "power cut");
        assert_eq!(write.join().unwrap().unwrap_err().to_string(), "power cut");
    });
    let left = crashes(&disk, "d/f");
    assert!(left.contains(&Some(pieces("a"))) && left.contains(&Some(pieces("b"))));
    assert!(!left.contains(&Some(pieces("c"))));
}

#[test]
fn a_stalled_call_keeps_its_number_and_its_fault() {
    let (disk, file) = disk_with_file(b"abc");
    disk.set_call_count(0);
    disk.fail_in(1, FaultKind::ErrorOnce);
    let stall = disk.stall(|call| call.number == 1);
    thread::scope(|scope| {
        let sync = scope.spawn(|| file.sync());
        stall.wait_until_stalled();
        file.size().unwrap();
        assert_eq!(disk.calls(), 2);
        stall.release();
        sync.join().unwrap().unwrap_err();
    });
    assert_eq!(disk.trace()[0].operation, Operation::Sync);
}
