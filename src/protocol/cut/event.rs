//! The vocabulary of cuts: what is wanted, what happens, what is to be done, and why nothing came of it.

use crate::model::{
    Declined, Edit, EditOutcome, Point, Position, ShardId, SnapshotRecord, SnapshotSeq, Time, VersionId,
};
use crate::protocol::hold::CutId;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A version.
    Mark,
    /// A version, and at its points snapshots of all shards.
    Rewrite,
}

/// What a deadline is for. Once that is over, it says nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The syncs before the hold.
    Prepare,
    /// From the first request to hold to the last release.
    Hold,
    /// The syncs behind the boundaries.
    Sync,
    /// The snapshots.
    Write,
}

/// Why there is no version, or none that is known of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// This shard is unhealthy, has died, or could not write.
    Shard(ShardId),
    /// This shard did not hold long enough.
    Lapsed(ShardId),
    /// It took too long.
    Deadline,
    /// The manifest does not take it.
    Declined(Declined),
    /// The manifest could not be written. There is no version.
    NotCommitted,
    /// Nobody knows whether the next open will find the version.
    Indeterminate,
    /// Somebody wanted no version any more.
    Cancelled,
}

/// What happens to the coordinator. An answer names the cut that it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants a version.
    Requested {
        /// With snapshots, or without.
        kind: Kind,
        /// Its number.
        version: VersionId,
    },
    /// The shard has synced what it had.
    Prepared {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
        /// Is it healthy?
        ok: bool,
    },
    /// The shard holds its lane.
    Held {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
        /// Everything that it has applied lies below.
        end: Position,
        /// By the wall clock. The version's is that of the last: nothing that it holds was submitted later.
        time: Time,
    },
    /// The shard goes on. If nobody has told it to: it does not hold for this cut and never will.
    Released {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
        /// Has it held all the time?
        held: bool,
    },
    /// Everything below the boundary is durable.
    Point {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
        /// The boundary.
        point: Point,
    },
    /// The shard's writer has ended before it could say where the boundary lies.
    NoPoint {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
    },
    /// A snapshot is whole and durable. This or the next answers every [`Effect::Snapshot`], also a cancelled one.
    Written {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
        /// The file's number.
        snapshot: SnapshotSeq,
        /// What it holds.
        record: SnapshotRecord,
    },
    /// There is no snapshot, and no file of it.
    SnapshotFailed {
        /// Which cut.
        cut: CutId,
        /// Which shard.
        shard: ShardId,
    },
    /// The commit has ended, as each does.
    Committed {
        /// Which cut.
        cut: CutId,
        /// How.
        outcome: EditOutcome,
    },
    /// A life of this shard is over.
    Died(ShardId),
    /// A deadline has come.
    Deadline {
        /// Which cut.
        cut: CutId,
        /// Whose deadline.
        stage: Stage,
    },
    /// Nobody wants what runs.
    Cancel,
}

/// What the coordinator's shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Report [`Event::Deadline`].
    Arm {
        /// Which cut.
        cut: CutId,
        /// Whose deadline.
        stage: Stage,
        /// After so long.
        after_ms: u64,
    },
    /// Have the shard sync and say how it is, without holding.
    Prepare(CutId, ShardId),
    /// Have the shard hold.
    Hold(CutId, ShardId),
    /// Have the shard go on.
    Release(CutId, ShardId),
    /// Write the state at the shard's boundary to a file.
    Snapshot(CutId, ShardId),
    /// Nobody wants that file any more; its end is reported all the same.
    CancelSnapshot(CutId, ShardId),
    /// Delete a file that was written and that no commit has named or will.
    Remove(CutId, ShardId, SnapshotSeq),
    /// Commit all of these or none; report [`Event::Committed`].
    Commit(CutId, Vec<Edit>),
    /// Tell whoever asked.
    Done(Result<VersionId, Failed>),
    /// Tell whoever asks now that something runs.
    Busy,
}
