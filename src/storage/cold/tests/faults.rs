//! Writing and reading on a disk that fails or loses power at every call.

use super::*;
use crate::storage::disk::sim::{Fault, FaultKind};

const SEEDS: std::ops::Range<u64> = 0..12;

/// Long enough for syncs in the middle, with pages of all sorts.
fn values() -> Values {
    [many(), mixed()].concat()
}

/// What a run without faults wrote, and how many calls it made.
fn plain_run() -> (Written, u64) {
    let disk = disk();
    let written = write(&disk, &layout(), &values()).unwrap();
    (written, disk.calls())
}

fn holds(disk: &SimDisk, written: &Written, what: &str) {
    is_whole(disk, &layout(), written, &values()).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// Whatever fails: an error, and no file; or no error, and a whole one that no crash takes back.
#[test]
fn an_error_at_every_call_leaves_no_file() {
    let (expect, calls) = plain_run();
    let mut finished = 0;
    for kind in [FaultKind::ErrorOnce, FaultKind::ErrorForEver, FaultKind::ErrorAfterEffect, FaultKind::NoSpace] {
        for at in 1..=calls {
            let what = format!("{kind:?} at call {at}");
            let disk = disk();
            disk.fail(Fault { at, kind });
            let result = write(&disk, &layout(), &values());
            let call = disk.trace()[at as usize - 1].operation;
            disk.disarm();
            disk.free_space();
            if let Ok(written) = result {
                // The cache is dropped when nothing can go wrong any more, and a full disk still syncs.
                let harmless = [Operation::Sync, Operation::SyncDir];
                let is_harmless = kind == FaultKind::NoSpace && harmless.contains(&call);
                assert!(call == Operation::DropCache || is_harmless, "{what}: {call:?}");
                assert!(written.locations().eq(expect.locations()), "{what}");
                [0, 5].into_iter().for_each(|seed| holds(&disk.crash(seed), &expect, &what));
                finished += 1;
                continue;
            }
            // Where the directory fails for good nothing can be removed, and a file that was made in spite of an
            // error is not known to be one's own.
            let stays = kind == FaultKind::ErrorForEver && call == Operation::SyncDir;
            let is_made = kind == FaultKind::ErrorAfterEffect && call == Operation::Create;
            assert_eq!(disk.files().is_empty(), !stays && !is_made, "{what}: {:?}", disk.files().keys());
        }
    }
    assert!(finished > 4, "{finished} runs ended well");
}

/// Before it is finished a crash leaves a left-over at most, of this name; when it was finished it is there.
#[test]
fn a_crash_at_every_call_leaves_a_left_over_or_a_whole_file() {
    let (expect, calls) = plain_run();
    let (mut whole, mut left_over, mut none) = (0, 0, 0);
    for at in 1..=calls {
        let disk = disk();
        disk.fail(Fault { at, kind: FaultKind::Crash });
        let is_finished = write(&disk, &layout(), &values()).is_ok();
        for seed in SEEDS {
            let after = disk.crash(seed);
            let what = format!("crash at call {at}, seed {seed}");
            assert!(after.files().keys().all(|name| *name == path()), "{what}");
            if is_finished {
                holds(&after, &expect, &what);
                whole += 1;
            } else if after.read(path()).is_some() {
                // It can be looked at like any other.
                let _ = seen(&after, &layout());
                left_over += 1;
            } else {
                none += 1;
            }
        }
    }
    assert!(whole > 0 && left_over > 0 && none > 0, "{whole} whole, {left_over} left over, {none} none");
}

/// A suite that passes without syncs shows nothing.
#[test]
fn a_disk_that_lies_about_syncs_is_noticed() {
    let lost = |lie: fn(&SimDisk)| {
        let disk = disk();
        lie(&disk);
        write(&disk, &layout(), &values()).unwrap();
        let is_lost = |seed: &u64| seen(&disk.crash(*seed), &layout()).map_or(true, |(scanned, _)| !scanned.is_whole);
        SEEDS.filter(is_lost).count()
    };
    assert!(lost(|disk| disk.lie_about_sync(true)) > 0);
    assert!(lost(|disk| disk.lie_about_sync_dir(true)) > 0);
    assert_eq!(lost(|_| ()), 0);
}

#[test]
fn an_error_at_every_call_of_reading_is_an_error() {
    let disk = disk();
    let written = write(&disk, &layout(), &values()).unwrap();
    disk.set_call_count(0);
    seen(&disk, &layout()).unwrap();
    let trace = disk.trace();
    for (call, at) in trace.iter().zip(1..) {
        disk.set_call_count(0);
        disk.fail(Fault { at, kind: FaultKind::ErrorOnce });
        let result = seen(&disk, &layout());
        let is_last = at as usize == trace.len() && call.operation == Operation::DropCache;
        assert!(if is_last { result.is_ok() } else { matches!(result, Err(ColdError::Disk(_))) }, "{call:?}");
    }
    let location = written.locations().last().unwrap();
    let read = |disk: &SimDisk| ColdFile::open(disk, &layout(), ID)?.page(location);
    for at in 1..=3 {
        disk.set_call_count(0);
        disk.fail(Fault { at, kind: FaultKind::ErrorOnce });
        assert!(matches!(read(&disk), Err(error @ ColdError::Disk(_)) if !error.is_damage()));
    }
    // It was one call that failed, and not the file.
    holds(&disk, &written, "after the errors");
}

/// Its own error ends the scan, at once.
#[test]
fn an_error_of_the_visitor_ends_the_scan() {
    #[derive(Debug)]
    enum Wrong {
        Cold(ColdError),
        Enough,
    }
    impl From<ColdError> for Wrong {
        fn from(error: ColdError) -> Self {
            Self::Cold(error)
        }
    }
    let disk = disk();
    write(&disk, &layout(), &mixed()).unwrap();
    let mut visits = 0;
    let mut visit = |_: Found<'_>| {
        visits += 1;
        if visits == 5 { Err(Wrong::Enough) } else { Ok(()) }
    };
    assert!(matches!(scan(&disk, &layout(), ID, &mut visit), Err(Wrong::Enough)));
    assert_eq!(visits, 5);
    disk.erase(path()).unwrap();
    let result = scan(&disk, &layout(), ID, &mut |_| Err(Wrong::Enough));
    assert!(matches!(result, Err(Wrong::Cold(ColdError::Missing { .. }))));
}
