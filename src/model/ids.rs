//! Newtypes for every id, number and position, so that no two bare `u64` ever stand side by side.
//!
//! Invariant: an exclusive end is called `end` or `next`; everything else names the thing itself.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$attribute:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number! {
    /// One partition of the keys, from 0.
    ShardId(u32), "shard "
}

number! {
    /// Number of a command in its shard's log: dense, from 1.
    Lsn(u64), "lsn "
}

number! {
    /// Timeline of a shard's log. It goes up whenever a writer begins, so an lsn that a crash took back is never
    /// reissued under the same epoch.
    Epoch(u64), "epoch "
}

number! {
    /// One life of a shard's actors within the life of the directory. Messages and edits of an older one are dropped.
    Incarnation(u64), "incarnation "
}

number! {
    /// Number of a log file of a shard, from 1, never reused.
    SegmentSeq(u64), "segment "
}

number! {
    /// Number of a snapshot file of a shard, from 1, never reused.
    SnapshotSeq(u64), "snapshot "
}

number! {
    /// Number of a cold file of a shard, from 1, never reused.
    ColdSeq(u64), "cold file "
}

number! {
    /// Name of a version: a cut across all shards. From 1, never reused.
    VersionId(u64), "version "
}

number! {
    /// Microseconds since the Unix epoch, as logged with a batch. Within a shard it never goes back.
    Time(u64), "time "
}

impl Lsn {
    /// The first command of a log.
    pub const FIRST: Self = Self(1);

    /// The lsn `count` commands further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many commands lie in `earlier..self`; zero if there are none.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Epoch {
    /// The timeline that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Incarnation {
    /// The life that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl SegmentSeq {
    /// The file after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl SnapshotSeq {
    /// The file after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl ColdSeq {
    /// The file after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl VersionId {
    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Time {
    /// Milliseconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }
}

/// (epoch, lsn): names one command of a shard for ever. Ordered by epoch first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The timeline in which the command was accepted.
    pub epoch: Epoch,
    /// Its number in the shard's log.
    pub lsn: Lsn,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch.0, self.lsn.0)
    }
}

/// Random name of a data directory, in every file of it, so that a file of another directory is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryId(pub [u8; 16]);

impl fmt::Debug for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
