//! Snapshots, the log behind them, and versions, on the real disk and the simulated one.

#![cfg(not(loom))]
#![allow(clippy::panic, reason = "the machine panics when it is asked to")]
#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "../support/mod.rs"]
mod support;

mod backup;
mod digest;
mod overlap;
mod reclaim;
mod rollback;
mod versions;
