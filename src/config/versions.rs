//! How long versions are kept, and how long making one may hold the shards up.

use std::time::Duration;

use super::millis;
use crate::protocol::cut::{Limits, Retention};

/// How versions are made and how long they are kept.
///
/// A version is a cut across all shards that [`Runtime::mark`](crate::Runtime::mark) or
/// [`Runtime::rewrite`](crate::Runtime::rewrite) has recorded. What it needs (a snapshot below it, and the log from
/// there) stays on the disk until it is retired: by hand, or because it is beyond one of these bounds.
///
/// ```
/// use std::time::Duration;
/// use mainstay::{Options, VersionOptions};
///
/// let versions = VersionOptions { keep: 24, keep_for: Duration::from_secs(86_400), ..VersionOptions::default() };
/// let options = Options { versions, ..Options::new("/var/lib/app") };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionOptions {
    /// So many versions are kept; with each new one the oldest beyond them are retired. At least 1; default 8.
    pub keep: u32,
    /// Versions older than this are retired too, but for the newest. Looked at with every new version and once a
    /// second. Default zero: whatever their age.
    pub keep_for: Duration,
    /// A shard holds its lane for at most so long, whatever happens to whoever makes the version: at least 1 ms;
    /// default 100 ms. A cut usually takes far less.
    pub hold_max: Duration,
    /// How long the syncs of a cut may take, before it and behind it, and how long a rollback waits for the present
    /// state to make room when that gets no further: at least 1 ms; default 10 s.
    pub sync_deadline: Duration,
    /// How long all snapshots of a rewrite may take together, and how long a rollback may take to read its version: at
    /// least 1 ms; default 1 hour.
    pub write_deadline: Duration,
    /// A rewrite is begun by itself when the logs have grown by so many bytes since the last one. Default 0: never.
    pub rewrite_bytes: u64,
    /// But not before they have grown by so many percent of what the last one has written. Default 100.
    pub rewrite_percent: u32,
}

impl Default for VersionOptions {
    fn default() -> Self {
        Self {
            keep: 8,
            keep_for: Duration::ZERO,
            hold_max: Duration::from_millis(100),
            sync_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(3600),
            rewrite_bytes: 0,
            rewrite_percent: 100,
        }
    }
}

impl VersionOptions {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            sync_ms: millis(self.sync_deadline),
            hold_ms: millis(self.hold_max),
            write_ms: millis(self.write_deadline),
        }
    }

    pub(crate) fn retention(&self) -> Retention {
        Retention {
            keep: u64::from(self.keep),
            keep_for_us: u64::try_from(self.keep_for.as_micros()).unwrap_or(u64::MAX),
            rewrite_bytes: self.rewrite_bytes,
            rewrite_percent: u64::from(self.rewrite_percent),
        }
    }
}
