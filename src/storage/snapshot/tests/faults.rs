//! Writing and reading on a disk that fails or loses power at every call.

use super::*;
use crate::storage::disk::sim::{Fault, FaultKind};

const SEEDS: std::ops::Range<u64> = 0..12;

/// Long enough for a sync in the middle.
fn entries() -> Entries {
    [three_blocks(), three_blocks(), small()].concat()
}

/// What a run without faults wrote, and how many calls it made.
fn plain_run() -> (Expected, u64) {
    let disk = disk();
    let written = write(&disk, &layout(), &entries()).unwrap();
    (expected(&written), disk.calls())
}

fn is_whole(disk: &SimDisk, expect: &Expected, what: &str) {
    read_back(disk, &path(), expect, &entries()).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// Whatever fails: an error, and no file of its name; or no error, and a whole one that no crash takes back.
#[test]
fn an_error_at_every_call_leaves_nothing_that_could_be_taken_for_a_snapshot() {
    let (expect, calls) = plain_run();
    let mut finished = 0;
    for kind in [FaultKind::ErrorOnce, FaultKind::ErrorForEver, FaultKind::ErrorAfterEffect, FaultKind::NoSpace] {
        for at in 1..=calls {
            let what = format!("{kind:?} at call {at}");
            let disk = disk();
            disk.fail(Fault { at, kind });
            let result = write(&disk, &layout(), &entries());
            let call = disk.trace()[at as usize - 1].operation;
            disk.disarm();
            disk.free_space();
            if let Ok(written) = result {
                // The cache is dropped when nothing can go wrong any more, and a full disk still renames.
                let harmless = [Operation::Sync, Operation::Rename, Operation::SyncDir];
                let is_harmless = kind == FaultKind::NoSpace && harmless.contains(&call);
                assert!(call == Operation::DropCache || is_harmless, "{what}: {call:?}");
                assert_eq!(expected(&written), expect, "{what}");
                SEEDS.for_each(|seed| is_whole(&disk.crash(seed), &expect, &what));
                finished += 1;
                continue;
            }
            // Where the directory fails for good nothing can be removed, and a file that was made in spite of an
            // error is not known to be one's own.
            let stays = kind == FaultKind::ErrorForEver && matches!(call, Operation::Rename | Operation::SyncDir);
            let is_made = kind == FaultKind::ErrorAfterEffect && call == Operation::Create;
            assert_eq!(disk.files().is_empty(), !stays && !is_made, "{what}: {:?}", disk.files().keys());
            for seed in SEEDS {
                let after = disk.crash(seed);
                if after.read(path()).is_some() {
                    is_whole(&after, &expect, &what);
                }
            }
        }
    }
    assert!(finished > 4, "{finished} runs ended well");
}

/// Its name stands for all of it, at every moment; and when it was finished it is there.
#[test]
fn a_crash_at_every_call_leaves_no_file_or_a_whole_one() {
    let (expect, calls) = plain_run();
    let (mut whole, mut none) = (0, 0);
    for at in 1..=calls {
        let disk = disk();
        disk.fail(Fault { at, kind: FaultKind::Crash });
        let is_finished = write(&disk, &layout(), &entries()).is_ok();
        for seed in SEEDS {
            let after = disk.crash(seed);
            if is_finished || after.read(path()).is_some() {
                is_whole(&after, &expect, &format!("crash at call {at}, seed {seed}"));
                whole += 1;
            } else {
                none += 1;
            }
        }
    }
    assert!(whole > 0 && none > 0, "{whole} whole, {none} none");
}

/// A suite that passes without syncs shows nothing.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let (expect, _) = plain_run();
    let lost = |lie: fn(&SimDisk)| {
        let disk = disk();
        lie(&disk);
        write(&disk, &layout(), &entries()).unwrap();
        SEEDS.filter(|seed| verify(&disk.crash(*seed), &path(), &expect).is_err()).count()
    };
    assert!(lost(|disk| disk.lie_about_sync(true)) > 0);
    assert!(lost(|disk| disk.lie_about_sync_dir(true)) > 0);
    assert_eq!(lost(|_| ()), 0);
}

/// What only the cache has is not believed: a sync has failed, and somebody takes the file for whole.
#[test]
fn pages_that_a_failed_sync_has_left_are_not_read() {
    let (expect, calls) = plain_run();
    let good = disk();
    write(&good, &layout(), &entries()).unwrap();
    let bytes = good.read(path()).unwrap();
    assert_eq!(good.calls(), calls);
    let disk = disk();
    let file = disk.create(&path()).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    disk.fail_in(1, FaultKind::ErrorOnce);
    file.sync().unwrap_err();
    assert_eq!(disk.read(path()).unwrap(), bytes, "the cache has it all");
    let result = verify(&disk, &path(), &expect);
    assert!(matches!(result, Err(SnapshotError::Damaged { .. })), "{result:?}");
}

#[test]
fn an_error_at_every_call_of_reading_is_an_error() {
    let good = disk();
    let expect = expected(&write(&good, &layout(), &entries()).unwrap());
    good.set_call_count(0);
    is_whole(&good, &expect, "no fault");
    let trace = good.trace();
    for (call, at) in trace.iter().zip(1..) {
        good.set_call_count(0);
        good.fail(Fault { at, kind: FaultKind::ErrorOnce });
        let result = read_back(&good, &path(), &expect, &entries());
        let is_last = at as usize == trace.len() && call.operation == Operation::DropCache;
        assert!(if is_last { result.is_ok() } else { matches!(result, Err(SnapshotError::Disk(_))) }, "{call:?}");
    }
    good.set_call_count(0);
    peek_header(&good, &path()).unwrap();
    for at in 1..=good.calls() {
        good.set_call_count(0);
        good.fail(Fault { at, kind: FaultKind::ErrorOnce });
        peek_header(&good, &path()).unwrap_err();
    }
}
