//! When the log is synced, and what an answer therefore means.

use std::time::Duration;

/// When a shard's log is synced to the disk, which decides what a receipt promises.
///
/// Under `Interval` and `Never` a command that was answered can still be lost in a running process: its sync fails and
/// the log cannot move to another file. [`ShardStats::lost`](crate::ShardStats::lost) names such commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Sync before every answer; one sync covers everything that queued up meanwhile. Receipts are
    /// [`Durability::Durable`]. The default.
    #[default]
    Always,
    /// Answer after the write and begin to sync at most this much later, also when idle, and earlier if 1 MiB has come
    /// together. Receipts are [`Durability::Accepted`]. From 1 ms to 1 hour, in whole milliseconds. When the sync ends
    /// is up to the disk.
    Interval(Duration),
    /// Answer after the write and leave syncing to rolls (a full log file), to
    /// [`Runtime::durable`](crate::Runtime::durable) and to an orderly shutdown; and to the limit on memory, where a
    /// shard has less than a log file of it for what is not synced, see [`Memory`](crate::Memory). Receipts are
    /// [`Durability::Written`].
    Never,
}

impl SyncPolicy {
    /// What a receipt under this policy promises.
    #[must_use]
    pub const fn durability(self) -> Durability {
        match self {
            Self::Always => Durability::Durable,
            Self::Interval(_) => Durability::Accepted,
            Self::Never => Durability::Written,
        }
    }
}

/// How safe a command is, ordered from the weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// In the operating system's hands: survives `kill -9`, not a power cut.
    Written,
    /// As [`Durability::Written`], and synced within the policy's interval.
    Accepted,
    /// Synced: survives a power cut.
    Durable,
}
