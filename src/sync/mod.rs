//! Shared memory: the only place in the crate that names `std::sync` or `loom`.
//!
//! Everything that two threads touch without a message between them is built here, from the shim below,
//! so that `loom/` can explore every interleaving of it. Not here: channels (ractor mailboxes)
//! and the reader side of `arc_swap`, which loom cannot see.

pub mod claim;
pub mod counters;
pub mod doorbell;
pub mod lane;
pub mod mutants;
pub mod published;
pub mod room;
mod shim;
pub mod spill_gate;
pub mod takeable;
pub mod tenure;
pub mod timeline;
pub mod watch;
pub mod watermark;

#[cfg(not(loom))]
pub use shim::Weak;
pub use shim::{Arc, Mutex, MutexGuard, atomic};
