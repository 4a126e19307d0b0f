//! Group commit under every order of batches, spares, failures, edits and ticks, for each policy.
//!
//! In scope: a shard that uses its grant to the full; spares that come late or not at all; every open, write, sync
//! and rewrite failing; every edit failing, declined or left open; time that passes early; wishes for a sync; a
//! finish and a revoke at any moment. A model of the files says what a crash would leave. Not modelled: bytes and
//! recovery (`tests/crash_*`), and the callers, whom the tenure keeps (`loom/commit.rs`).

mod files;
mod shell;
mod steps;

use std::time::Duration;

use mainstay::model::SyncPolicy;

use crate::dfs::{explore, wander};
use shell::{Mutant, Plan, Writer};

const POLICIES: [SyncPolicy; 3] =
    [SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(20)), SyncPolicy::Never];

fn plan(policy: SyncPolicy, batches: &[u64]) -> Plan {
    Plan {
        policy,
        mutant: Mutant::None,
        eager: false,
        batches: batches.to_vec(),
        failures: 0,
        bad_edits: 0,
        missing_spares: 0,
        sync_wishes: 0,
        cuts: 0,
        revokes: 0,
        hurries: 0,
    }
}

fn explore_all(name: &str, plan_of: impl Fn(SyncPolicy) -> Plan) {
    for policy in POLICIES {
        explore(&format!("commit, {name}, {policy:?}"), Writer::new(plan_of(policy)));
    }
}

/// Guards F7, F9: nothing goes wrong, everything is complete, positions are dense, files roll.
#[test]
fn everything_is_complete_in_the_end() {
    explore_all("no failures", |policy| Plan { missing_spares: 1, sync_wishes: 1, ..plan(policy, &[2, 1, 0, 2]) });
    explore_all("time passes early", |policy| Plan { hurries: 2, ..plan(policy, &[2, 1, 2]) });
}

/// Guards F38: whatever comes in between, the log's synced end lies at a cut when its coordinator is told.
#[test]
fn cuts_lie_between_frames() {
    explore_all("cuts", |policy| Plan { cuts: 2, ..plan(policy, &[2, 1]) });
    explore_all("cut and failure", |policy| Plan { cuts: 1, failures: 1, ..plan(policy, &[1, 1]) });
}

/// Guards F1, F4, F11: after a failed write or sync the frames move, once, to a fresh file.
#[test]
fn frames_move_after_a_failure() {
    explore_all("one failure", |policy| Plan { failures: 1, ..plan(policy, &[2, 1, 2]) });
    explore_all("failure and full disk", |policy| Plan { failures: 1, missing_spares: 2, ..plan(policy, &[2, 1]) });
    explore_all("two failures", |policy| Plan { failures: 2, eager: true, ..plan(policy, &[2, 1]) });
}

/// Guards F5: whatever an edit comes to, nobody is told more than is certain.
#[test]
fn edits_may_fail() {
    explore_all("failure and edit", |policy| Plan {
        failures: 1,
        bad_edits: 2,
        missing_spares: 1,
        ..plan(policy, &[2, 1])
    });
}

/// Guards F36: a revoked writer does nothing more.
#[test]
fn a_revoke_ends_it() {
    explore_all("revoke", |policy| Plan { failures: 1, revokes: 1, ..plan(policy, &[1, 2]) });
}

/// Guards F4, F5, F7: long lives with many failures.
#[test]
fn long_lives() {
    for policy in POLICIES {
        let batches: Vec<u64> = (0..60).map(|at| at * 7 % 3).collect();
        let long = Plan {
            failures: 12,
            bad_edits: 1,
            missing_spares: 8,
            sync_wishes: 5,
            cuts: 5,
            hurries: 20,
            ..plan(policy, &batches)
        };
        wander(&format!("commit, long, {policy:?}"), &Writer::new(long), 7, 40, 2_000);
    }
}

fn mutant(mutant: Mutant) -> Plan {
    Plan { mutant, failures: 1, bad_edits: 1, ..plan(SyncPolicy::Always, &[2, 1, 2, 2]) }
}

/// Guards F1.
#[test]
#[should_panic(expected = "durable, and it is not")]
fn mutant_no_sync_is_noticed() {
    explore("commit, no sync", Writer::new(mutant(Mutant::SkipsSync)));
}

/// Guards F4.
#[test]
#[should_panic(expected = "writes to a file that has failed")]
fn mutant_a_second_sync_is_noticed() {
    explore("commit, second sync", Writer::new(mutant(Mutant::RetriesSync)));
}

/// Guards F37: what was handed over has a place.
#[test]
#[should_panic(expected = "there is no place")]
fn mutant_an_ignored_grant_is_noticed() {
    explore("commit, ignored grant", Writer::new(mutant(Mutant::IgnoresGrant)));
}

/// Guards F5.
#[test]
#[should_panic(expected = "writes to a file that has failed")]
fn mutant_a_believed_edit_is_noticed() {
    explore("commit, believed edit", Writer::new(mutant(Mutant::BelievesEdits)));
}
