//! A spiller under every order of commands, jobs, edits, hand-overs, snapshots, readers, failures and crashes.
//!
//! In scope: a few keys that are overwritten and deleted at any moment; spills and compactions that write a file, find
//! the disk full or nothing to write; edits that are committed, declined, fail, or of which nobody knows; what the
//! shard tells, heard late; snapshots that name files, adopted late and retired; readers of old roots; files whose
//! names go after the manifest's commit; a crash at any moment, after which the newest snapshot is loaded and the log
//! behind it replayed; a death of the shard, after which that is done beside what is on its way; a stop. After every
//! step everything that the working map, a reader's root or a retained snapshot has is compared with what was written.
//! Not modelled: bytes (`storage::cold` has its own tests), which values are picked, a value that comes back to memory
//! (for files an overwrite), and what two threads do to a root (`loom/spill.rs`). The manifest is a stand-in.

mod disk;
mod shard;
mod steps;
mod world;

use crate::dfs::{explore, wander};
use world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The shard refers to a file before the manifest has adopted it.
    HandsOverFirst,
    /// Whatever there is under the key by then is replaced.
    HandsOverByKey,
    /// A key that is not there any more gets its location.
    HandsOverTheDeleted,
    /// Files go when they could be dropped, not when they are.
    UnlinksFirst,
    /// What the working state has released is dropped, whatever snapshots name.
    PrunesAnything,
    /// Removes a file that the manifest may name.
    RemovesTheUncertain,
    /// Takes the first number that is free on the disk.
    ReusesNumbers,
    /// A life after a death leaves released what the one before has released.
    ClaimsNothing,
}

/// What there is, and how often what may happen.
#[derive(Clone, Copy, Debug)]
struct Left {
    keys: u8,
    /// All values lie in one file when it begins.
    is_cold: bool,
    /// Values that the shard keeps in memory.
    mark: usize,
    commands: u8,
    views: u8,
    snapshots: u8,
    retires: u8,
    failures: u8,
    crashes: u8,
    /// The shard dies, and the process does not.
    deaths: u8,
    stops: u8,
}

const HOT: Left = Left {
    keys: 2,
    is_cold: false,
    mark: 0,
    commands: 2,
    views: 0,
    snapshots: 0,
    retires: 0,
    failures: 0,
    crashes: 0,
    deaths: 0,
    stops: 0,
};
/// Enough keys for a file of which less than half is live.
const COLD: Left = Left { keys: 3, is_cold: true, ..HOT };

fn run(name: &str, left: Left, mutant: Mutant) -> usize {
    explore(&format!("spill, {name}"), World::new(mutant, left))
}

/// Guards F43, F45, F51: nothing is lost, nothing comes back, and no file goes that somebody needs.
#[test]
fn spill_beside_overwrites_deletes_and_readers() {
    assert!(run("two keys", Left { views: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a compaction", Left { views: 1, ..COLD }, Mutant::None) > 1_000);
}

/// Guards F45, F46: a full disk, a failed edit or one of which nobody knows costs no value.
#[test]
fn spill_beside_failures() {
    assert!(run("failures", Left { failures: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a stop", Left { failures: 1, stops: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a compaction fails", Left { failures: 1, ..COLD }, Mutant::None) > 1_000);
    assert!(run("failure and crash", Left { failures: 1, crashes: 1, commands: 1, ..HOT }, Mutant::None) > 1_000);
}

/// Guards F47, F48: the newest snapshot and the log behind it are all that a life needs.
#[test]
fn spill_beside_crashes() {
    assert!(run("a crash", Left { crashes: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a compaction and a crash", Left { crashes: 1, ..COLD }, Mutant::None) > 1_000);
}

/// Guards F43, F47: a shard that dies leaves edits and a snapshot on their way, and the next life is made meanwhile.
#[test]
fn spill_beside_deaths() {
    assert!(run("a death", Left { deaths: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a compaction and a death", Left { deaths: 1, ..COLD }, Mutant::None) > 1_000);
    let left = Left { mark: 3, deaths: 1, snapshots: 1, retires: 1, ..COLD };
    assert!(run("a compaction, a snapshot and a death", left, Mutant::None) > 1_000);
}

/// Guards F43: what a retained snapshot names stays, and one that names what is gone is not adopted.
#[test]
fn spill_beside_snapshots() {
    assert!(run("a snapshot", Left { snapshots: 1, retires: 1, commands: 1, ..HOT }, Mutant::None) > 1_000);
    assert!(run("a snapshot and a compaction", Left { snapshots: 1, retires: 1, ..COLD }, Mutant::None) > 1_000);
    let left = Left { commands: 1, snapshots: 1, retires: 1, crashes: 1, ..HOT };
    assert!(run("a snapshot and a crash", left, Mutant::None) > 1_000);
}

/// Guards F43, F45, F47, F51: longer lives with all of that in them, at random.
#[test]
fn spill_in_longer_lives() {
    let left = Left {
        commands: 9,
        views: 2,
        snapshots: 3,
        retires: 2,
        failures: 1,
        crashes: 2,
        deaths: 2,
        keys: 5,
        mark: 1,
        ..COLD
    };
    wander("spill, longer lives", &World::new(Mutant::None, left), 43, 1_500, 150);
}

/// Guards F45.
#[test]
#[should_panic(expected = "removes what the working map needs")]
fn mutant_a_spill_handed_over_before_the_commit_is_noticed() {
    run("early hand-over", Left { failures: 1, ..HOT }, Mutant::HandsOverFirst);
}

/// Guards F51.
#[test]
#[should_panic(expected = "the working map has lost something")]
fn mutant_a_spill_handed_over_by_key_is_noticed() {
    run("by key", HOT, Mutant::HandsOverByKey);
}

/// Guards F51.
#[test]
#[should_panic(expected = "the working map has lost something")]
fn mutant_a_spill_that_revives_the_deleted_is_noticed() {
    run("the deleted", HOT, Mutant::HandsOverTheDeleted);
}

/// Guards F23.
#[test]
#[should_panic(expected = "the manifest names what is not there")]
fn mutant_a_cold_file_unlinked_before_the_commit_is_noticed_by_spill() {
    run("early unlink", HOT, Mutant::UnlinksFirst);
}

/// Guards F43.
#[test]
#[should_panic(expected = "removes what a snapshot needs")]
fn mutant_a_prune_that_ignores_snapshots_is_noticed_by_spill() {
    run("prune", COLD, Mutant::PrunesAnything);
}

/// Guards F23.
#[test]
#[should_panic(expected = "removes what the manifest may name")]
fn mutant_a_removed_uncertain_spill_is_noticed() {
    run("uncertain", Left { failures: 1, ..HOT }, Mutant::RemovesTheUncertain);
}

/// Guards F47.
#[test]
#[should_panic(expected = "a number is used twice")]
fn mutant_a_spill_that_reuses_a_number_is_noticed() {
    run("numbers", Left { commands: 4, keys: 1, ..HOT }, Mutant::ReusesNumbers);
}

/// Guards F43.
#[test]
#[should_panic(expected = "removes what the working map needs")]
fn mutant_a_life_that_claims_nothing_is_noticed() {
    run("claims nothing", Left { mark: 3, deaths: 1, snapshots: 1, retires: 1, ..COLD }, Mutant::ClaimsNothing);
}
