//! The vocabulary of changes: edits, why they are declined, how they end, and what they leave to be deleted.

use serde::{Deserialize, Serialize};

use super::{SnapshotRecord, VersionRecord};
use crate::model::{ColdSeq, Epoch, Incarnation, Position, SegmentSeq, ShardId, SnapshotSeq, Tail, VersionId};

/// One change. The order of variants is persisted: append only, never renumber.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// A zero-filled file exists and may be used by this incarnation.
    Register {
        /// Whose log.
        shard: ShardId,
        /// Who made it.
        incarnation: Incarnation,
        /// Its number.
        segment: SegmentSeq,
        /// Its size.
        bytes: u64,
    },
    /// A writer's life starts: ends the epoch before at what was recovered and synced, and opens the next one in a
    /// fresh file. Spares of older incarnations are dropped.
    Begin {
        /// Whose log.
        shard: ShardId,
        /// The epoch and incarnation this was computed from.
        expects: (Epoch, Incarnation),
        /// End of everything before; none if nothing was ever written.
        sealed: Option<Tail>,
        /// The new incarnation.
        incarnation: Incarnation,
        /// The new epoch's file.
        segment: SegmentSeq,
    },
    /// After a failed write or sync: `from` ends at its durable position and `to`, which holds the rest, follows it.
    Move {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// The durable end of the failed file.
        from: Tail,
        /// The file that goes on.
        to: SegmentSeq,
    },
    /// The epoch ends here: what was not durable is certainly not executed.
    Seal {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// Its durable end.
        tail: Tail,
    },
    /// Orderly shutdown: the log is durable up to here.
    Close {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// Its end.
        tail: Tail,
    },
    /// A command that cannot be decoded or applied is left out of every replay.
    Skip {
        /// Whose log.
        shard: ShardId,
        /// The command.
        position: Position,
    },
    /// A snapshot is whole and durable, and the log is synced up to its position.
    Adopt {
        /// Whose state.
        shard: ShardId,
        /// Its number.
        snapshot: SnapshotSeq,
        /// What it holds.
        record: SnapshotRecord,
    },
    /// A snapshot is not to be relied on any more: it was found damaged.
    Discard {
        /// Whose state.
        shard: ShardId,
        /// Its number.
        snapshot: SnapshotSeq,
    },
    /// Snapshots and log files that no retained version and no recovery needs are dropped.
    Prune {
        /// Whose.
        shard: ShardId,
        /// The log goes on from here: the files up to this one's are dropped. None: only snapshots are.
        base: Option<Tail>,
    },
    /// A version is recorded: what it needs stays until it is retired.
    Mark {
        /// Its number.
        version: VersionId,
        /// Where it lies.
        record: VersionRecord,
    },
    /// A version is given up.
    Retire {
        /// Its number.
        version: VersionId,
    },
    /// Every shard goes back to this version. What came later is abandoned: commands, snapshots, versions.
    Rollback {
        /// Its number.
        version: VersionId,
        /// The timeline that was present when the version's files were read; declined in any other.
        timeline: u64,
    },
    /// A version is given up because others have taken its place.
    Outdate {
        /// Its number.
        version: VersionId,
        /// The newest one when that was found; declined beside any other.
        newest: VersionId,
    },
    /// A cold file is whole and durable: entities may be replaced by their places in it.
    Chill {
        /// Whose values.
        shard: ShardId,
        /// Who has made it.
        incarnation: Incarnation,
        /// Its number.
        file: ColdSeq,
        /// Its length in bytes.
        bytes: u64,
        /// How many values it has.
        values: u64,
    },
    /// The working state does not refer to these cold files, and never will again. They stay as long as a snapshot
    /// does.
    Release {
        /// Whose values.
        shard: ShardId,
        /// Whose working state; declined once another life has begun.
        incarnation: Incarnation,
        /// Their numbers. What is not there is no error.
        files: Vec<ColdSeq>,
    },
    /// As [`Edit::Rollback`], with the cold files that the version's states have values in since they were read.
    RollbackSpilled {
        /// Its number.
        version: VersionId,
        /// The timeline that was present when the version's files were read; declined in any other.
        timeline: u64,
        /// Whole and durable.
        cold: Vec<SpilledFile>,
    },
    /// A life that is about to begin was made from files by which it refers to these: whatever lives before it have
    /// released, they stay until it does so itself.
    Claim {
        /// Whose values.
        shard: ShardId,
        /// The life; declined once it, or a later one, has begun.
        incarnation: Incarnation,
        /// Their numbers; declined if one is gone.
        files: Vec<ColdSeq>,
    },
}

/// A cold file that comes with a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpilledFile {
    /// Whose values.
    pub shard: ShardId,
    /// Its number.
    pub file: ColdSeq,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many values it has.
    pub values: u64,
}

/// Why an edit changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// The directory has no such shard.
    #[error("there is no such shard")]
    UnknownShard,
    /// A newer incarnation has begun, or the expectation does not hold.
    #[error("the edit comes from an older incarnation")]
    Stale,
    /// The segment is not registered.
    #[error("the segment is not registered")]
    UnknownSegment,
    /// The segment number was used before, or the segment is already part of the log.
    #[error("the segment is already in use")]
    SegmentInUse,
    /// The epoch is over.
    #[error("the epoch has ended")]
    Ended,
    /// The new end lies before something that is known to be in the log.
    #[error("the edit would cut off what is known to be durable")]
    Backwards,
    /// The number of the snapshot, version or cold file was used before.
    #[error("the number is already in use")]
    NumberInUse,
    /// There is no such snapshot, version or cold file.
    #[error("there is no such snapshot, version or cold file")]
    Unknown,
    /// What the version needs has been dropped already.
    #[error("what the version needs is gone")]
    Unreachable,
    /// A retained version or the next recovery needs what the edit would drop.
    #[error("what the edit would drop is needed")]
    Needed,
}

/// How a requested edit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditOutcome {
    /// It is durable.
    Committed,
    /// It is certainly not in the manifest, and this is why.
    Declined(Declined),
    /// It is certainly not in the manifest: it could not be written.
    Failed,
    /// Nobody knows whether a later open will find it.
    Indeterminate,
}

/// What applying an edit has made unreferenced: files to delete once the edit is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files that the manifest no longer names.
    pub dropped: Vec<DataFile>,
}

/// A file that the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataFile {
    /// A log file.
    Segment(ShardId, SegmentSeq),
    /// A snapshot.
    Snapshot(ShardId, SnapshotSeq),
    /// A cold file.
    Cold(ShardId, ColdSeq),
}
