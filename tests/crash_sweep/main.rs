//! A fault at every disk call of small workloads, then a crash or a kill, then a comparison with a model.
//!
//! For each workload and policy a dry run counts the mutating calls of the disk. Then, for every call and every kind of
//! fault, the workload runs on a disk on which that call goes wrong; whatever was answered is written down outside of
//! the disk; another batch follows; the disk crashes or its process is killed; the directory is opened without faults
//! and held against the book ([`book`]), twice, written to, crashed and held against the book again. Workloads that
//! recover something are run with a fault at their reads, opens and listings too.
//!
//! Threads make the numbers of the calls vary a little from run to run: what is checked holds for any of them. A
//! point is named by its workload, policy, call, fault and seed.

#![cfg(not(loom))]
#![expect(clippy::print_stdout, reason = "points and seeds are evidence, kept in the test's output")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "../support/book.rs"]
mod book;
#[path = "../support/complete.rs"]
mod complete;
#[path = "../support/ledger.rs"]
mod ledger;

mod ending;
mod mutants;
mod point;
mod stage;
mod sweep;
mod workload;

use mainstay::SyncPolicy;
use mainstay::sim::FaultKind;
use mainstay::storage::disk::Disk;
use sweep::Sweep;
use workload::Workload;

/// Guards F5, F6, F20, F22, F28: making the first manifest and the first segment, with a fault at every call.
#[test]
fn the_first_open_of_an_empty_directory() {
    Sweep::of(Workload::FirstOpen).run();
}

/// Guards F6, F10, F11, F12, F13, F25: rolls through tiny segments.
#[test]
fn rolls_through_tiny_segments() {
    Sweep::of(Workload::Rolls).run();
}

/// Guards F10, F14, F18, F22: an unclean end, recovery, another life.
#[test]
fn reopening_after_an_unclean_end() {
    Sweep::of(Workload::Reopen).run();
}

/// Guards F4, F5, F11, F24: frames move to another file, and something else goes wrong meanwhile.
#[test]
fn a_move_after_a_failed_sync() {
    Sweep::of(Workload::Move).run();
}

/// Guards F4, F5, F14: the move fails too, the log is sealed and the pair begins a new life.
#[test]
fn a_seal_and_a_restart_after_a_writer_failure() {
    Sweep::of(Workload::Restart).run();
}

/// Guards F1, F7, F21: an orderly end, and a fault in the middle of it.
#[test]
fn an_orderly_shutdown() {
    Sweep::of(Workload::Shutdown).run();
}

/// Guards F6, F18, F23, F30, F38, F41: snapshots are written, adopted, old files dropped, a fault at every call.
#[test]
fn snapshots_and_reclaim() {
    // Every call with each kind of fault takes two minutes; it was run as a whole when this was written.
    Sweep::some_of(Workload::Snapshots, 3).run();
}

/// Guards F16, F18, F41: a directory that is opened from a snapshot, and gets another one.
#[test]
fn opening_from_a_snapshot() {
    // Its calls are those of a reopening, which `Reopen` tries as a whole, and those of one snapshot more, of which
    // `Snapshots` has three. Every call with each kind of fault was run as a whole until this was written.
    Sweep::cuts_of(Workload::FromSnapshot, 3).run();
}

/// Guards F12, F20: a snapshot that cannot be read is no reason to forget it.
#[test]
fn reads_of_a_snapshot() {
    Sweep::of_reads(Workload::FromSnapshot, 1).run();
}

/// A snapshot that is dropped next cannot be read for good, which is nothing to whoever opens the directory, and what
/// is checked of it is whether it is whole.
#[test]
fn what_cannot_be_read_is_checked_all_the_same() {
    let damage = |whole: bool| {
        let disk = Sweep::of(Workload::FromSnapshot).base(SyncPolicy::Always).0;
        let files = ending::files(&disk);
        let snapshot = files.keys().find(|path| path.extension().is_some_and(|name| name == "snap")).unwrap();
        if !whole {
            disk.overwrite(snapshot, 300, b"damaged").unwrap();
        }
        disk.fail_in(2, FaultKind::ErrorForEver);
        let file = disk.open(snapshot).unwrap();
        file.drop_cache().unwrap_err();
        file.read_at(&mut [0], 0).unwrap_err();
        ending::at_rest(&disk, &files)
    };
    assert_eq!(damage(true), [""; 0]);
    assert!(damage(false).iter().any(|wrong| wrong.contains("damaged")), "{:?}", damage(false));
}

/// Guards F6, F23, F30, F33, F36, F41, F66: cuts and rewrites of two shards, old versions retired, a fault at every
/// call; whatever comes of it, each version that is listed can be gone back to.
#[test]
fn versions_and_rewrites() {
    // All of them take minutes. The numbers of the calls vary from run to run, and so does what is left out.
    Sweep::some_of(Workload::Rewrites, 11).run();
}

/// Guards F14, F64, F65, F66: two shards go back to a version; whatever fails, both have, or neither has.
#[test]
fn a_rollback_of_two_shards() {
    Sweep::cuts_of(Workload::Rollback, 13).run();
}

/// Guards F9, F33: a fault of one shard's files or of the manifest leaves both shards' promises true.
#[test]
fn two_shards() {
    // Each shard's calls are those of `FirstOpen`, `Reopen` and `Rolls`, tried as a whole. Every call is cut.
    Sweep::cuts_of(Workload::TwoShards, 3).run();
}

/// Guards F5, F12, F20, F28: an error or a power cut while a directory is looked at, made or not.
#[test]
fn reads_of_the_first_open() {
    Sweep::of_reads(Workload::FirstOpen, 1).run();
}

/// Guards F10, F12, F13, F14, F20, F28: the log of a life that ended in a power cut cannot be read at some place.
#[test]
fn reads_of_a_recovery_after_a_power_cut() {
    Sweep::of_reads(Workload::Recover, 1).run();
}

/// Guards F10, F14, F20: the same for a log whose process went on, and for one that was closed in good order.
#[test]
fn reads_of_a_reopening() {
    Sweep::of_reads(Workload::Reopen, 2).run();
}

/// Guards F4, F12, F20: a restart within the process reads the log, and cannot.
#[test]
fn reads_of_a_restart() {
    Sweep::of_reads(Workload::Restart, 2).run();
}

/// Guards F13, F20: what one shard cannot read is nothing to the other.
#[test]
fn reads_of_two_shards() {
    Sweep::of_reads(Workload::TwoShards, 2).run();
}

/// Guards F12, F65: what a rollback cannot read it has not touched.
#[test]
fn reads_of_a_rollback() {
    Sweep::of_reads(Workload::Rollback, 5).run();
}
