//! Explorers: every order of events, failures and crashes, fed to the protocol cores.
//!
//! A core is a pure state machine, so a model of its surroundings (a disk, a shard, a clock) can be stepped through all
//! that may happen, and every state checked. Order is the only thing explored here: what two threads do to shared
//! memory without a message between them is for `loom/`.
//!
//! Each core has a *mutant*: the same model with one step reversed or left out, which the explorer must catch.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![expect(clippy::print_stdout, reason = "the numbers of states are evidence, kept in the test's output")]
#![expect(clippy::expect_used, reason = "this is a test")]

mod commit;
mod cut;
mod dfs;
mod headroom;
mod manifest;
mod restart;
mod rollback;
mod shutdown;
mod snapshot;
mod spill;
