//! Snapshots, the log behind them, and versions, on the real disk and the simulated one.

#![cfg(not(loom))]
#![allow(clippy::panic, reason = "the machine panics when it is asked to")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

#[path = "../support/complete.rs"]
mod complete;
#[cfg(target_os = "linux")]
#[path = "../support/descriptors.rs"]
mod descriptors;
#[path = "../support/gate.rs"]
mod gate;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;

mod backup;
mod backup_digest;
mod backup_faults;
#[cfg(unix)]
mod composed;
mod damage;
mod digest;
mod disk;
mod evidence;
mod giving_up;
mod hanging;
mod holds;
#[cfg(unix)]
mod kills;
mod many;
mod overlap;
mod overtaking;
mod reclaim;
mod rollback;
mod rollback_faults;
mod transfers;
mod versions;
