//! Errors of the public operations, one enum each. What can be wrong with files is in `storage::error`, re-exported
//! here.

use std::path::PathBuf;

pub use crate::config::OptionsError;
use crate::model::{Position, ShardId};
pub use crate::state::ReadError;
pub use crate::storage::codec::CodecError;
pub use crate::storage::error::{DiskError, LogError, ManifestError};

/// A directory cannot be opened. Nothing that it held was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An option is out of range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Somebody else, perhaps in this process, has the directory open.
    #[error("{} is in use: its lock is held by another runtime", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
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
    /// The directory is on a network file system, whose syncs and locks mean too little.
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
    /// An actor could not be started.
    #[error("an actor could not be started: {reason}")]
    Actor {
        /// What ractor said.
        reason: String,
    },
}

/// What became of a command that has no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It certainly has no effect, now and after any recovery. Submitting it again is safe.
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
    /// The shard's lane is full.
    #[error("the shard has too many commands on their way")]
    Busy,
    /// Nobody took it up in time.
    #[error("the shard did not take it up in time")]
    DeadlineBeforeAccept,
    /// The runtime is stopping or has stopped.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// The shard takes no writes: its disk failed, or its actors died too often.
    #[error("the shard is fenced")]
    Fenced,
    /// The shard's log was refused when the directory was opened.
    #[error("the shard's log was refused")]
    Refused,
    /// The encoded command is too long.
    #[error("it has {bytes} bytes encoded, and the limit is {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// [`Options::command_bytes_max`](crate::Options::command_bytes_max).
        limit: u32,
    },
    /// It cannot be encoded, or not be decoded again: see [`StateMachine::Command`](crate::StateMachine::Command).
    #[error("it cannot be encoded and decoded: {0}")]
    NotEncodable(String),
    /// The shard would outgrow its part of [`Options::memory_bytes`](crate::Options::memory_bytes).
    #[error("the shard's memory is full")]
    OutOfMemory,
    /// There is no space on the disk for the log to go on.
    #[error("there is no space for the log")]
    StorageFull,
    /// `apply` panicked; nothing has changed.
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
    /// The command is not in the log: it was never executed, or was lost with its epoch.
    #[error("the position is not part of the log")]
    NotExecuted,
    /// The runtime or the shard ended first.
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
