//! How much the log can still take: granted by the WAL writer, used up by the shard.
//!
//! The writer grants a cumulative number of bytes, counted as if every batch were a frame of its own; the shard hands
//! over nothing beyond it. So a command is applied only when the place for it in a prepared segment is certain, and a
//! full disk is noticed before anything has happened. The grant may go back (a segment failed); what was already handed
//! over then waits in the writer.

use super::atomic::{AtomicBool, AtomicU64, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub struct Room {
    granted: AtomicU64,
    full: AtomicBool,
}

impl Room {
    /// Nothing granted yet.
    #[must_use]
    pub fn new() -> Self {
        Self { granted: AtomicU64::new(0), full: AtomicBool::new(false) }
    }

    /// The writer's side: `granted` bytes in all, and whether the disk refused the next spare.
    pub fn set(&self, granted: u64, full: bool) {
        self.full.store(full, Ordering::Release);
        self.granted.store(granted, Ordering::Release);
    }

    /// The shard's side: bytes granted in all since the writer began.
    pub fn granted(&self) -> u64 {
        self.granted.load(Ordering::Acquire)
    }

    /// The shard's side: was there no space for the next spare?
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}
