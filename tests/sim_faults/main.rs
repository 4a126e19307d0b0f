//! Single faults, looked at closely: what callers are told, what the files go through, and what a reopening finds.
//!
//! The sweep (`tests/crash_sweep`) tries a fault at every call and asks whether the promises hold; here each fault has
//! its own expectations. Everything runs on the simulated disk.

#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "this is a test")]

#[path = "../support/book.rs"]
mod book;
#[path = "../support/complete.rs"]
mod complete;
#[path = "../support/ledger.rs"]
mod ledger;
#[path = "../support/random.rs"]
mod random;

mod cuts;
mod deaths;
mod ends;
mod going_back;
mod kills;
mod manifest;
mod marks;
mod moves;
mod points;
mod policies;
mod scene;
mod shutdowns;
mod snapshots;
mod space;
mod spares;
mod stalls;
