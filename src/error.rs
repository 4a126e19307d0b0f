//! Errors of the public operations, one enum each. What can be wrong with files is in `storage::error`, re-exported
//! here.

use std::path::PathBuf;

pub use crate::config::OptionsError;
pub use crate::model::{ColdFault, Unreadable};
use crate::model::{Position, ShardId, VersionId};
pub use crate::state::ReadError;
pub use crate::storage::backup::BackupError;
pub use crate::storage::codec::CodecError;
pub use crate::storage::cold::ColdError;
pub use crate::storage::error::{DiskError, LogError, ManifestError, SnapshotError};

/// A directory cannot be opened. No data that it held was changed: at most left-overs of a crash were removed, poison
/// was remembered, and damaged snapshots were given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option is out of range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Somebody else, perhaps in this process, has the directory open, or threads of a runtime that has ended have not
    /// yet. It was waited for as long as [`Options::lock_wait`](crate::Options::lock_wait) says.
    #[error("{} is in use: its lock is held by another runtime", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The limit on memory is too small for so many shards and commands of that length. Nothing was changed. Raise
    /// [`Options::memory`](crate::Options::memory), or lower
    /// [`Options::command_bytes_max`](crate::Options::command_bytes_max).
    #[error("a memory limit of {limit} bytes is too small: at least {needed} are needed")]
    Memory {
        /// The limit, in bytes.
        limit: u64,
        /// How many are needed: 8 times the longest command for each shard.
        needed: u64,
    },
    /// A call of the operating system failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The path is there, and not a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory is on a network file system, FUSE or 9p, whose syncs and locks mean too little.
    #[error("{} is on {kind}, a network file system", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Its kind.
        kind: &'static str,
    },
    /// The manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The directory was made with another number of shards.
    #[error("the directory has {found} shards, but {wanted} were asked for")]
    ShardCount {
        /// What it has.
        found: u32,
        /// What the options say.
        wanted: u32,
    },
    /// The directory maps keys to shards in a way that this code does not know.
    #[error("the directory uses routing {found}, which this code does not know")]
    UnknownRouting {
        /// The routing's id.
        found: u32,
    },
    /// The directory has no such version, or it was retired meanwhile.
    #[error("{version} is not there")]
    NoVersion {
        /// The version.
        version: VersionId,
    },
    /// A shard's part of a version cannot be read.
    #[error("{shard}: {error}")]
    Shard {
        /// The shard.
        shard: ShardId,
        /// Why not.
        #[source]
        error: LogError,
    },
    /// An actor could not be started: there is no tokio runtime, the process has no thread or file descriptor left, or
    /// the manifest could not remember poison or a damaged snapshot.
    #[error("an actor could not be started: {reason}")]
    Actor {
        /// What went wrong.
        reason: String,
    },
}

/// What became of a command that has no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It certainly has no effect, now and after any recovery. Submitting it again is safe; the reason says whether it
    /// makes sense.
    #[error("not executed: {0}")]
    NotExecuted(#[from] NotExecuted),
    /// It was accepted, and its outcome was not known in time. [`Runtime::outcome`](crate::Runtime::outcome) can tell
    /// later; submitting it again may apply it twice.
    #[error("unconfirmed: the outcome at {position} of {shard} is not known yet")]
    Unconfirmed {
        /// The shard.
        shard: ShardId,
        /// Its position, for ever.
        position: Position,
    },
}

/// Why a command was not executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotExecuted {
    /// The shard's lane is full. Only [`Runtime::try_submit`](crate::Runtime::try_submit) and
    /// [`RootMessage::Submit`](crate::RootMessage::Submit) say so; try again later.
    #[error("the shard has too many commands on their way")]
    Busy,
    /// The shard did not take it up within [`Options::submit_deadline`](crate::Options::submit_deadline), or could not
    /// go on with it for as long: it is overloaded, its disk fails or hangs, or it is being restarted. Try again later.
    #[error("the shard did not take it up in time")]
    DeadlineBeforeAccept,
    /// The runtime is stopping or has stopped. It takes no command any more.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// The shard took no writes: its disk failed, or its actors died too often. If
    /// [`ShardStats::refusal`](crate::ShardStats::refusal) says so too, it stays like that until the directory is
    /// opened again; otherwise its actors were just being replaced, and the next command may go through.
    #[error("the shard is fenced")]
    Fenced,
    /// The shard's log was refused when the directory was opened: [`Runtime::recovery`](crate::Runtime::recovery) says
    /// why.
    #[error("the shard's log was refused")]
    Refused,
    /// The encoded command is too long.
    #[error("it has {bytes} bytes encoded, and the limit is {limit}")]
    TooLarge {
        /// Its length, in bytes.
        bytes: usize,
        /// [`Options::command_bytes_max`](crate::Options::command_bytes_max).
        limit: u32,
    },
    /// It cannot be encoded, or not be decoded again: see [`StateMachine::Command`](crate::StateMachine::Command).
    #[error("it cannot be encoded and decoded: {0}")]
    NotEncodable(String),
    /// The state of the shard would outgrow its share of [`Options::memory`](crate::Options::memory), and nothing is
    /// [spilled](crate::Options::spill) that would help. Reads go on, and so do commands that free memory or take no
    /// more than they replace.
    ///
    /// - `keys_bytes` is close to `share_bytes`: keys alone fill the share. Delete some, or open the directory again
    ///   with a limit that leaves room for them.
    /// - It is much less: spilling is off, or the disk is full or fails
    ///   ([`ShardStats::spill_failures`](crate::ShardStats::spill_failures)), and then the shard goes on by itself.
    /// - `growth_bytes` alone is too much: the command is larger than the limit has room for.
    #[error(
        "the shard's memory is full: of {share_bytes} bytes {memory_bytes} are taken, {keys_bytes} of them by keys and \
         places, which cannot be spilled, and {growth_bytes} more are needed"
    )]
    OutOfMemory {
        /// The shard's share in bytes, [`MemoryLimits::state_bytes`](crate::MemoryLimits::state_bytes).
        share_bytes: u64,
        /// What its state takes in bytes, as [`ShardStats::memory_bytes`](crate::ShardStats::memory_bytes).
        memory_bytes: u64,
        /// What of that cannot be spilled, in bytes, as [`ShardStats::keys_bytes`](crate::ShardStats::keys_bytes).
        keys_bytes: u64,
        /// How many bytes more it would take with this command.
        growth_bytes: u64,
    },
    /// There is no space on the disk for the log to go on. The shard goes on by itself when there is.
    #[error("there is no space for the log")]
    StorageFull,
    /// [`Runtime::rollback`](crate::Runtime::rollback) went back to an earlier state while it waited.
    #[error("the runtime went back to an earlier version")]
    RolledBack,
    /// It reads an entity that is not in memory, and cannot be read. Commands that only write or remove the key go
    /// through, unless the state is followed by a digest.
    #[error("it reads what cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// `apply` panicked; nothing has changed. It will again, unless the state is another by then.
    #[error("the state machine panicked")]
    Panicked,
    /// There is no such shard.
    #[error("there is no such shard")]
    NoSuchShard,
}

/// [`Runtime::durable`](crate::Runtime::durable) cannot wait for this position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurableError {
    /// The command is not in the log: it was never executed or was lost, or the directory does not know the position.
    #[error("the position is not part of the log")]
    NotExecuted,
    /// The runtime or the shard ended first. The next opening knows more.
    #[error("the shard has stopped")]
    Stopped,
    /// There is no such shard.
    #[error("there is no such shard")]
    NoSuchShard,
}

/// An orderly shutdown did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// These shards were not drained and synced by the deadline, or had been fenced or refused before. Everything that
    /// was answered `Durable` is safe.
    #[error("{} of the shards did not finish", shards.len())]
    Unfinished {
        /// Which.
        shards: Vec<ShardId>,
    },
    /// The runtime had ended before.
    #[error("the runtime has already ended")]
    Ended,
}

/// There is no new snapshot. Nothing has changed: the ones before, and the log, are what they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no snapshot of {shard}: {why}")]
#[non_exhaustive]
pub struct SnapshotFailed {
    /// The first shard of which there is none.
    pub shard: ShardId,
    /// Why not.
    pub why: NoSnapshot,
}

/// Why a snapshot was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoSnapshot {
    /// The shard shows no state or was refused, or the disk, a thread or an entity's `Serialize` failed: an error event
    /// says what.
    #[error("the shard, the disk or a thread failed")]
    Failed,
    /// It took longer than [`SnapshotOptions::deadline`](crate::SnapshotOptions::deadline).
    #[error("it took too long")]
    Deadline,
    /// [`Runtime::cancel_snapshots`](crate::Runtime::cancel_snapshots) was called.
    #[error("it was cancelled")]
    Cancelled,
    /// It kept more memory alive than [`SnapshotOptions::overlap_bytes`](crate::SnapshotOptions::overlap_bytes).
    #[error("it kept too much memory alive")]
    Memory,
    /// The log lost what it holds before that was durable, or a rollback has abandoned it.
    #[error("the log was taken back behind it")]
    Declined,
    /// The manifest failed; the next opening knows whether the snapshot counts. Nothing depends on it.
    #[error("it is not known whether the manifest has it")]
    Indeterminate,
    /// The runtime or the shard's actors have ended.
    #[error("the shard has stopped")]
    Stopped,
}

/// There is no new version, or a version cannot be used. Unless it says otherwise, nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// Another version is being made, or a rollback is going on. Try again when that is over.
    #[error("another version is being made")]
    Busy,
    /// This shard is fenced, refused or does not sync, its actors died, or its snapshot could not be written. After a
    /// rollback: or the version counts, and this shard could not go on from it.
    #[error("{0} cannot take part")]
    Shard(ShardId),
    /// This shard held its lane for as long as it may, and the others were not ready by then; or it still syncs for a
    /// version that was given up. Try again.
    #[error("{0} did not wait any longer for the others")]
    Lapsed(ShardId),
    /// It took longer than [`VersionOptions`](crate::VersionOptions) allow.
    #[error("it took too long")]
    Deadline,
    /// The manifest could not be written, or a shard's log was taken back behind the cut.
    #[error("the manifest did not take it")]
    NotCommitted,
    /// The manifest failed; the next opening knows whether the version is there.
    #[error("it is not known whether the manifest has it")]
    Indeterminate,
    /// Somebody has cancelled it.
    #[error("it was cancelled")]
    Cancelled,
    /// The runtime has ended, or the actor that makes versions died on the way and was replaced. What it had begun may
    /// be done or not: [`Runtime::versions`](crate::Runtime::versions) tells.
    #[error("it has stopped; whether it was done is not known")]
    Stopped,
    /// There is no such version, or there is none any more.
    #[error("{0} is not there")]
    Unknown(VersionId),
    /// What the version needs cannot be read. Nothing was touched.
    #[error("{version} cannot be gone back to: {reason}")]
    Unreachable {
        /// The version.
        version: VersionId,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// What has to be in memory of the version's state, its keys at least, has no place in the shard's share of
    /// [`Options::memory`](crate::Options::memory) beside what is there now, or what is there now made no more room for
    /// [`VersionOptions::sync_deadline`](crate::VersionOptions::sync_deadline). Nothing was touched. Delete keys, or
    /// open the directory with a larger limit; `mainstay rollback` goes back without reading a state into memory.
    #[error(
        "{version} cannot be gone back to: at least {bytes} bytes of {shard} have to be in memory, and {allowed} may be"
    )]
    OutOfMemory {
        /// The version.
        version: VersionId,
        /// The shard.
        shard: ShardId,
        /// So many bytes of its state there were in memory when it became too much.
        bytes: u64,
        /// So many there may be.
        allowed: u64,
    },
    /// No version is that old.
    #[error("no version is that old")]
    NoneBefore,
}

/// There is no backup. The directory that was backed up is what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupFailed {
    /// No cut could be made.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The files could not be brought over.
    #[error(transparent)]
    Files(#[from] BackupError),
    /// The thread that brought the files over panicked.
    #[error("the thread that brought the files over panicked")]
    Panicked,
}
