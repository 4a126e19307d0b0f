//! Cuts and rewrites: a coordinator and its shards under every order of messages, lapses, deaths and failures.
//!
//! In scope: a client whose commands follow each other over the shards; holds that end by themselves at any moment;
//! deaths of shards, whose mailbox goes with them, and of the coordinator after each effect, with a new one that hears
//! the old one's messages; messages that come twice, the second time at any later moment; snapshots and commits that
//! fail; deadlines and cancels. Messages keep their order from one sender to one receiver, and only there: a writer
//! may be heard before its shard.
//! Not modelled: what a lane does while it is held (`loom/hold.rs`), bytes, and the manifest's own rules (`manifest`).
//! Bounded: at most three shards and as many faults as each test says.

mod shard;
mod shell;
mod steps;
mod world;

use mainstay::protocol::cut::Kind;

use crate::dfs::{explore, wander};
use world::{Left, Mutant, World};

const ONE: Left =
    Left { requests: 1, writes: 2, deaths: 0, crashes: 0, duplicates: 0, failures: 0, aborts: 0, lapses: 0 };

fn marks(left: Left) -> World {
    World::new(Mutant::None, Kind::Mark, 2, left)
}

fn rewrites(left: Left) -> World {
    World::new(Mutant::None, Kind::Rewrite, 2, left)
}

/// Guards F33, F34, F42: whatever happens to whom, everybody is released and told, and versions are cuts.
#[test]
fn versions_are_cuts() {
    assert!(explore("cut, two shards", marks(Left { lapses: 2, ..ONE })) > 1_000);
    let left = Left { writes: 0, aborts: 1, ..ONE };
    assert!(explore("cut, an abort and a failure", marks(Left { failures: 1, lapses: 1, ..left })) > 1_000);
    assert!(explore("cut, an abort and a death", marks(Left { deaths: 1, ..left })) > 1_000);
}

/// Guards F34.
#[test]
fn a_shard_may_die_at_any_moment() {
    assert!(explore("cut, a death", marks(Left { deaths: 1, ..ONE })) > 1_000);
}

#[test]
fn three_shards_are_cut_as_two() {
    let three = World::new(Mutant::None, Kind::Mark, 3, Left { writes: 0, lapses: 1, ..ONE });
    assert!(explore("cut, three shards", three) > 1_000);
}

/// Guards F35: what comes twice, or late, counts once.
#[test]
fn messages_of_the_past_change_nothing() {
    let left = Left { duplicates: 1, ..ONE };
    assert!(explore("cut, a message comes twice", marks(left)) > 1_000);
    let left = Left { requests: 2, writes: 0, duplicates: 1, ..ONE };
    assert!(explore("cut, a message of another cut", marks(left)) > 1_000);
    let left = Left { duplicates: 0, aborts: 1, ..left };
    assert!(explore("cut, a message of an aborted cut", marks(left)) > 1_000);
}

/// Guards F33: shards are free again without their coordinator, and the next one is not confused.
#[test]
fn a_coordinator_may_die_at_any_moment() {
    let left = Left { requests: 2, writes: 1, crashes: 1, ..ONE };
    assert!(explore("cut, a crash", marks(left)) > 1_000);
    assert!(explore("rewrite, a crash", rewrites(Left { writes: 0, ..left })) > 1_000);
}

/// Guards F36, F41: all shards or none, and nothing is deleted that may be named.
#[test]
fn a_rewrite_is_adopted_whole_or_not_at_all() {
    let left = Left { writes: 1, ..ONE };
    assert!(explore("rewrite, failures", rewrites(Left { failures: 2, aborts: 1, ..left })) > 1_000);
    assert!(explore("rewrite, a death", rewrites(Left { deaths: 1, failures: 1, ..left })) > 1_000);
    let left = Left { duplicates: 1, failures: 1, aborts: 1, writes: 0, ..left };
    assert!(explore("rewrite, a message comes twice", rewrites(left)) > 1_000);
}

/// Longer lives with everything at once.
#[test]
fn everything_at_once() {
    let left =
        Left { requests: 6, writes: 20, deaths: 3, crashes: 2, duplicates: 4, failures: 3, aborts: 3, lapses: 3 };
    for kind in [Kind::Mark, Kind::Rewrite] {
        let start = World::new(Mutant::None, kind, 3, left);
        wander("cut and rewrite", &start, 1, 500, 2_000);
    }
}

fn mutant(name: &str, mutant: Mutant, kind: Kind, left: Left) {
    explore(name, World::new(mutant, kind, 2, left));
}

#[test]
#[should_panic(expected = "a version with a lapsed hold")]
fn mutant_a_hold_that_is_believed_is_noticed() {
    mutant("cut, believed", Mutant::BelievesEveryHold, Kind::Mark, Left { lapses: 1, ..ONE });
}

/// Guards F38.
#[test]
#[should_panic(expected = "a command without one that was acknowledged before")]
fn mutant_a_release_before_all_hold_is_noticed() {
    mutant("cut, one by one", Mutant::ReleasesOneByOne, Kind::Mark, ONE);
}

/// Guards F1.
#[test]
#[should_panic(expected = "a version that is not durable")]
fn mutant_a_commit_before_the_sync_is_noticed() {
    mutant("cut, before the sync", Mutant::AnswersBeforeTheSync, Kind::Mark, ONE);
}

/// Guards F35.
#[test]
#[should_panic(expected = "released for a version before all have held")]
fn mutant_a_countdown_is_noticed() {
    mutant("cut, countdown", Mutant::Counts, Kind::Mark, Left { duplicates: 1, ..ONE });
}

/// Guards F33.
#[test]
#[should_panic(expected = "asked to hold, and never released")]
fn mutant_a_forgotten_shard_is_noticed() {
    mutant("cut, forgotten", Mutant::ForgetsWhoHasNotAnswered, Kind::Mark, Left { aborts: 1, ..ONE });
}

/// Guards F41.
#[test]
#[should_panic(expected = "removed, and it may be adopted")]
fn mutant_a_file_that_may_be_needed_is_noticed() {
    let left = Left { writes: 0, failures: 1, ..ONE };
    mutant("rewrite, removed", Mutant::RemovesWhatMayBeAdopted, Kind::Rewrite, left);
}

#[test]
#[should_panic(expected = "left behind")]
fn mutant_a_late_file_is_noticed() {
    let left = Left { writes: 0, aborts: 1, ..ONE };
    mutant("rewrite, late file", Mutant::ForgetsLateFiles, Kind::Rewrite, left);
}
