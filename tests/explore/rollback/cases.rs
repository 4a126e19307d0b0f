//! The runs: how much of what may happen, and the mutants that must be noticed.

use super::{Left, Mutant, Runtime};
use crate::dfs::explore;

const NOTHING: Left = Left { requests: 0, writes: 0, deaths: 0, coordinators: 0, views: 0, failures: 0 };

fn run(name: &str, shards: usize, left: Left, mutant: Mutant) -> usize {
    explore(&format!("rollback, {name}"), Runtime::new(shards, left, mutant))
}

/// Guards F14, F64: the coordinator may die at any moment, with its commit on the way or behind it.
#[test]
fn a_coordinator_that_dies_is_replaced() {
    let left = Left { requests: 1, writes: 2, coordinators: 1, ..NOTHING };
    assert!(run("coordinator dies", 2, left, Mutant::None) > 1_000);
}

/// Guards F14, F64: the commit of a coordinator that is gone comes while another rollback is under way.
#[test]
fn an_old_commit_comes_late() {
    let left = Left { requests: 2, coordinators: 1, ..NOTHING };
    assert!(run("old commit", 2, left, Mutant::None) > 1_000);
}

/// Guards F14, F34, F36, F64: shards die meanwhile, and read the manifest before or behind the commit.
#[test]
fn shards_may_die() {
    let left = Left { requests: 1, writes: 1, deaths: 1, ..NOTHING };
    assert!(run("a shard dies", 2, left, Mutant::None) > 1_000);
}

#[test]
fn shards_may_die_for_good() {
    let left = Left { requests: 1, deaths: 2, ..NOTHING };
    assert!(run("shards die", 2, left, Mutant::None) > 1_000);
}

#[test]
fn shard_and_coordinator_may_die() {
    let left = Left { requests: 1, deaths: 1, coordinators: 1, ..NOTHING };
    assert!(run("both die", 2, left, Mutant::None) > 1_000);
}

/// Guards F65: what cannot be read or committed changes nothing; where nobody knows, nobody goes on.
#[test]
fn loads_and_commits_may_fail() {
    let left = Left { requests: 1, writes: 1, coordinators: 1, failures: 1, ..NOTHING };
    assert!(run("failures", 2, left, Mutant::None) > 1_000);
}

/// Guards F64: no view is of two timelines.
#[test]
fn views_are_of_one_timeline() {
    let left = Left { requests: 1, writes: 1, views: 1, ..NOTHING };
    assert!(run("views", 2, left, Mutant::None) > 1_000);
    let left = Left { requests: 1, views: 1, ..NOTHING };
    assert!(run("views of three shards", 3, left, Mutant::None) > 1_000);
}

#[test]
#[should_panic(expected = "an old life answers after a new one")]
fn mutant_a_shard_that_goes_on_before_all_are_abandoned_is_noticed() {
    run("resumes first", 2, Left { requests: 1, writes: 2, ..NOTHING }, Mutant::ResumesFirst);
}

#[test]
#[should_panic(expected = "a shard is left behind")]
fn mutant_a_life_of_another_timeline_is_noticed() {
    run("begins anywhere", 2, Left { requests: 1, writes: 2, deaths: 1, ..NOTHING }, Mutant::BeginsAnywhere);
}

#[test]
#[should_panic(expected = "a life begins without what was answered")]
fn mutant_a_state_that_is_handed_over_too_late_is_noticed() {
    run("hands over twice", 2, Left { requests: 1, writes: 1, deaths: 1, ..NOTHING }, Mutant::HandsOverTwice);
}

#[test]
#[should_panic(expected = "a view of two timelines")]
fn mutant_a_view_that_does_not_look_is_noticed() {
    run("view mixes", 2, Left { requests: 1, views: 1, ..NOTHING }, Mutant::ViewMixes);
}

#[test]
#[should_panic(expected = "answered, and nobody knows which line counts")]
fn mutant_to_go_on_after_an_indeterminate_commit_is_noticed() {
    run("goes on", 2, Left { requests: 1, writes: 1, failures: 1, ..NOTHING }, Mutant::GoesOn);
}

#[test]
#[should_panic(expected = "a shard is left behind")]
fn mutant_a_coordinator_that_does_not_finish_is_noticed() {
    run("never finishes", 2, Left { requests: 1, coordinators: 1, ..NOTHING }, Mutant::NeverFinishes);
}

/// Guards F23.
#[test]
#[should_panic(expected = "a file that counts is gone")]
fn mutant_a_file_that_is_removed_before_the_commit_is_noticed() {
    run("sweeps at once", 2, Left { requests: 1, ..NOTHING }, Mutant::SweepsAtOnce);
}
