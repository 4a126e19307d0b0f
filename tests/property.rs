//! Random commands, ends and reopenings against a plain map: after every reopening the log is a prefix of what was
//! applied, no shorter than what was promised, and state and digest are those of a plain map at that prefix.
//!
//! Every command of `mainstay::kv`, under every policy. Lives end in good order, by the last handle going, by a kill or
//! by a power cut of the simulated disk, also with commands in flight, and after an orderly end the power may be cut.
//! What is applied is recorded outside of the disk with its logged time, which is all that the plain map goes by: so
//! expiry is compared to the millisecond though the clock is the real one, and a replay must see the same times.
//!
//! The seed is printed; `PROPERTY_SEED` draws the same cases, `PROPERTY_CASES` as many as one likes. When the writer's
//! thread syncs is up to the scheduler: what is checked holds for any moment.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "property/book.rs"]
mod book;
#[path = "property/commands.rs"]
mod commands;
#[path = "property/plain.rs"]
mod plain;
#[path = "property/recorder.rs"]
mod recorder;
#[path = "property/run.rs"]
mod run;

use std::cell::RefCell;

use mainstay::sim::SimDisk;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use book::Tally;
use run::Run;

const CASES: u32 = 150;

/// What must have happened at least once, or the cases show less than they should.
const HAPPENS: [&str; 30] = [
    "Set",
    "SetMany",
    "Delete",
    "Take",
    "Increment",
    "Append",
    "CompareAndSet",
    "Expire",
    "Persist",
    "Clear",
    "Sweep",
    "stored",
    "replaced",
    "not stored",
    "removed",
    "taken",
    "number",
    "length",
    "rescheduled",
    "unchanged",
    "not an integer",
    "overflow",
    "met what had expired",
    "shutdown",
    "shutdown, then power cut",
    "drop",
    "kill",
    "power cut",
    "lost",
    "cut in the middle",
];

/// Draws cases and runs them, on disks that tell the truth about syncs or not.
fn run(runner: &mut TestRunner, lie: bool) -> (Result<(), String>, Tally) {
    let tally = RefCell::new(Tally::new());
    let outcome = runner.run(&commands::cases(), |(sync, shards, steps)| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = tokio.block_on(async {
            let sim = SimDisk::new(steps.len() as u64);
            let run = Run::new(sim.clone(), sync, shards).await;
            sim.lie_about_sync(lie);
            run.through(steps).await
        });
        let mut tally = tally.borrow_mut();
        found.into_iter().for_each(|(name, count)| *tally.entry(name).or_default() += count);
        Ok(())
    });
    (outcome.map_err(|failure| failure.to_string()), tally.into_inner())
}

/// Guards F1, F8, F12, F13, F14, F18, F38: replay gives what was applied, once, in order and at the same times; nothing
/// promised is missing, nothing is invented, and what a power cut takes it takes from the end.
#[test]
fn every_reopen_finds_a_prefix_and_its_state() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number("PROPERTY_SEED").unwrap_or(clock);
    let cases = number("PROPERTY_CASES").map_or(CASES, |cases| cases as u32);
    println!("PROPERTY_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (outcome, tally) = run(&mut runner, false);
    println!("{cases} cases: {tally:?}");
    if let Err(failure) = outcome {
        panic!("PROPERTY_SEED={seed}: {failure}");
    }
    let missing: Vec<_> = HAPPENS.iter().filter(|name| tally.get(*name).is_none_or(|count| *count == 0)).collect();
    assert!(cases < CASES || missing.is_empty(), "never happened: {missing:?}");
}

/// Guards the test above: were nothing ever synced, it would notice.
#[test]
fn a_disk_that_never_syncs_is_noticed() {
    let config = Config { cases: CASES, max_shrink_iters: 0, failure_persistence: None, ..Default::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let (outcome, _) = run(&mut runner, true);
    assert!(outcome.is_err());
}
