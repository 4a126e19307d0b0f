//! When snapshots are taken, and what they may cost.

use std::time::Duration;

use super::millis;
use crate::protocol::snapshot::Plan;

/// When a shard's snapshot is taken by itself, and what one may cost.
///
/// A snapshot is a file with the state of one shard at one position; the log in front of it is then dropped, unless a
/// version needs it. It is streamed from an immutable root on a thread of its own: the shard takes no part in it. Any
/// one of the triggers is enough; [`Runtime::snapshot`](crate::Runtime::snapshot) asks none of them. They are looked
/// at once a second.
///
/// ```
/// use mainstay::{Options, SnapshotOptions};
///
/// let snapshots = SnapshotOptions { bytes_per_second: 50 << 20, ..SnapshotOptions::default() };
/// let options = Options { snapshots, ..Options::new("/var/lib/app") };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// Take one when the shard's log has grown by so many bytes since the last one was begun. Default 64 MiB; 0: never
    /// for this reason.
    pub log_bytes: u64,
    /// But not before it has grown by so many percent of the last snapshot's length, or a large state would be written
    /// over and over for a few changes. Default 100; 0: whatever its length.
    pub growth_percent: u32,
    /// Take one after so many commands. Default 0: never for this reason.
    pub commands: u64,
    /// Take one after so long, if there were `interval_commands`. Default zero: never for this reason.
    pub interval: Duration,
    /// See `interval`. Default 1.
    pub interval_commands: u64,
    /// A running snapshot writes at most so many bytes a second. Default 0: as fast as the disk takes them.
    pub bytes_per_second: u64,
    /// So many shards write theirs at the same time, those of a rewrite included; the others wait for their turn. Each
    /// is a thread that competes with the shards for processors, and for the disk with the logs. Default 0: a quarter
    /// of the processors, at least one.
    pub at_once: u32,
    /// One that takes longer, once its turn has come, is given up; its file is removed. At least 1 ms; default 1 hour.
    pub deadline: Duration,
    /// One that keeps more memory alive than this, in bytes as accounted, is given up: entries that were overwritten or
    /// removed since it began, and that it has not written yet. What is spilled does not count. Default 0: the shard's
    /// share of a sixteenth of [`Options::memory`](crate::Options::memory), or no limit if that has none. Any other
    /// number is taken as it is, and changes no other part of the memory.
    pub overlap_bytes: u64,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            log_bytes: 64 * 1024 * 1024,
            growth_percent: 100,
            commands: 0,
            interval: Duration::ZERO,
            interval_commands: 1,
            bytes_per_second: 0,
            at_once: 0,
            deadline: Duration::from_secs(3600),
            overlap_bytes: 0,
        }
    }
}

impl SnapshotOptions {
    /// How many are written at the same time.
    pub(crate) fn turns(&self) -> usize {
        match self.at_once {
            0 => std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(4)),
            turns => turns as usize,
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan {
            log_bytes: self.log_bytes,
            growth_percent: u64::from(self.growth_percent),
            commands: self.commands,
            interval_ms: millis(self.interval),
            interval_commands: self.interval_commands,
            deadline_ms: millis(self.deadline),
        }
    }
}
