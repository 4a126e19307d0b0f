//! States that outgrow their memory: every key is readable at every moment, and has what was last written.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../support/complete.rs"]
mod complete;
#[cfg(target_os = "linux")]
#[path = "../support/descriptors.rs"]
mod descriptors;
#[path = "../support/random.rs"]
mod dice;
#[path = "../support/mod.rs"]
mod support;

mod backups;
mod book;
#[cfg(target_os = "linux")]
mod closing;
mod crashes;
mod damage;
mod disk;
mod full;
mod going_back;
mod going_back_crashes;
mod kills;
mod large;
mod looking;
mod numbers;
mod outgrown;
mod popular;
mod random;
mod rereading;
mod returning;
mod rows;
mod snapshots;
mod state;
mod unreachable;
mod waiting;
