//! The manifest keeper under every order of requests, failures and crashes.
//!
//! In scope: two lives that register files and begin, and a preparer, all asking at once; appends that succeed, or fail
//! with their edit on the disk, cut short or lost; changes of generation that succeed, fail, or are left open; a crash
//! before and after every effect, after which the directory is opened again and more is asked.
//! Not modelled: bytes (`storage::manifest_log` has its own tests) and several shards.

mod disk;
mod steps;
mod world;

use crate::dfs::explore;
use world::{Mutant, World};

/// Guards F5, F22, F23, F26: memory, disk and answers agree, now and after a crash.
#[test]
fn memory_is_the_last_durable_state() {
    let start = |preparers, crashes, failures| World::new(Mutant::None, preparers, crashes, failures);
    assert!(explore("manifest, two lives", start(0, 1, 2)) > 10_000);
    assert!(explore("manifest, two crashes", start(0, 2, 1)) > 10_000);
    assert!(explore("manifest, two lives and a preparer", start(1, 0, 2)) > 10_000);
}

/// Guards F5.
#[test]
#[should_panic(expected = "failed, and a crash may bring it back")]
fn mutant_an_answer_before_the_edit_is_shut_out_is_noticed() {
    explore("manifest, early answer", World::new(Mutant::AnswersBeforeShutOut, 1, 1, 2));
}

/// Guards F4, F5.
#[test]
#[should_panic(expected = "failed, and a crash may bring it back")]
fn mutant_an_ignored_failure_is_noticed() {
    explore("manifest, ignored failure", World::new(Mutant::IgnoresFailure, 1, 1, 2));
}

/// Guards F23.
#[test]
#[should_panic(expected = "deletes a file that the manifest names")]
fn mutant_an_early_delete_is_noticed() {
    explore("manifest, early delete", World::new(Mutant::DeletesFirst, 1, 1, 2));
}

/// Guards F22.
#[test]
#[should_panic(expected = "readers see what is not durable")]
fn mutant_an_early_publish_is_noticed() {
    explore("manifest, early publish", World::new(Mutant::PublishesFirst, 1, 1, 2));
}
