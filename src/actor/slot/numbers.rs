//! Numbers about a shard, for statistics: they decide nothing.

use std::time::{Duration, Instant};

use crate::model::{Position, Time};
use crate::sync::counters::Counter;

/// What is known of a shard's snapshots, for statistics.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotsTaken {
    /// Since when one is.
    pub(crate) running: Option<Instant>,
    pub(crate) taken: u64,
    pub(crate) failed: u64,
    pub(crate) last_failed: bool,
    pub(crate) last: Option<SnapshotStats>,
}

impl SnapshotsTaken {
    /// One is part of the data now.
    pub(crate) fn adopted(&mut self, stats: Option<SnapshotStats>) {
        self.taken += 1;
        self.last = stats;
    }
}

/// Numbers about one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotStats {
    /// It holds everything below.
    pub end: Position,
    /// When it was whole, by the wall clock.
    pub time: Time,
    /// Its length.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How long its thread took, from the first entry to the last sync, pauses for the rate included.
    pub duration: Duration,
    /// How much of that were syncs of the file, one a MiB, and making its name durable.
    pub syncing: Duration,
}

/// Numbers for statistics.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames: Counter,
    pub(crate) wal_bytes: Counter,
    pub(crate) syncs: Counter,
    pub(crate) moves: Counter,
    pub(crate) restarts: Counter,
    pub(crate) entries: Counter,
    pub(crate) memory_bytes: Counter,
    pub(crate) keys_bytes: Counter,
    /// Entries whose entity is not in memory, and values of cold files that the working state refers to.
    pub(crate) cold_entries: Counter,
    pub(crate) cold_live: Counter,
    pub(crate) spills: Counter,
    /// Values that came back to memory.
    pub(crate) returns: Counter,
    pub(crate) compactions: Counter,
    /// Of both.
    pub(crate) spill_failures: Counter,
    /// Of frames that the log's writer keeps.
    pub(crate) kept_bytes: Counter,
    /// Written by the running snapshot.
    pub(crate) snapshot_bytes: Counter,
    /// How long a turn of the shard's actor took, at most.
    pub(crate) longest_turn_us: Counter,
    /// How long the lane was held for a cut.
    pub(crate) last_hold_us: Counter,
    pub(crate) longest_hold_us: Counter,
}
