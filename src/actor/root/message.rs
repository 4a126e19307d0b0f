//! What the root is asked, by applications and by the actors below it.

use std::path::PathBuf;

use ractor::RpcReplyPort;

use crate::actor::slot::Answer;
use crate::error::{BackupFailed, DurableError, ShutdownError, SnapshotFailed, VersionError};
use crate::machine::StateMachine;
use crate::model::{Position, ShardId, VersionId};
use crate::protocol::shutdown::Event;
use crate::runtime::{Outcome, Runtime, Stats, Version};
use crate::state::View;

/// What a [`Root`](super::Root) can be asked: what a [`Runtime`] does, and a handle for the little else (looking back,
/// cancelling, waiting for the newest version of a time).
///
/// A mailbox has no backpressure and no bound, so `Submit` answers `Busy` where [`Runtime::submit`] would wait.
/// Whatever may wait runs in a task of its own. So it takes effect in any order, and what waits in such a task, for
/// room in a lane or for the disk, is bounded by whoever sends, not by the lane: prefer the handle of
/// [`RootMessage::Runtime`] for more than a few. `Runtime`, `Latest`, `Versions` and `Stats` are answered in the order
/// of the mailbox.
///
/// A root that has ended, or ends before it has read a message, drops the reply port: `call!` says so. What a task has
/// begun it still answers.
#[expect(missing_debug_implementations, reason = "commands need not be Debug")]
#[non_exhaustive]
pub enum RootMessage<M: StateMachine> {
    /// A handle for everything else.
    Runtime(RpcReplyPort<Runtime<M>>),
    /// See [`Runtime::try_submit`].
    Submit {
        /// The command.
        command: M::Command,
        /// Its answer.
        reply: RpcReplyPort<Answer<M>>,
    },
    /// See [`Runtime::submit_many`].
    SubmitMany {
        /// The commands.
        commands: Vec<M::Command>,
        /// Their answers, in order.
        reply: RpcReplyPort<Vec<Answer<M>>>,
    },
    /// See [`Runtime::submit_to`].
    SubmitTo {
        /// The shard.
        shard: ShardId,
        /// The command.
        command: M::Command,
        /// Its answer.
        reply: RpcReplyPort<Answer<M>>,
    },
    /// See [`Runtime::view`].
    View(RpcReplyPort<View<M::Entity>>),
    /// See [`Runtime::latest`].
    Latest(RpcReplyPort<View<M::Entity>>),
    /// See [`Runtime::outcome`].
    Outcome {
        /// The shard.
        shard: ShardId,
        /// The position.
        position: Position,
        /// What became of it.
        reply: RpcReplyPort<Outcome>,
    },
    /// See [`Runtime::durable`].
    Durable {
        /// The shard.
        shard: ShardId,
        /// The position.
        position: Position,
        /// When it is durable.
        reply: RpcReplyPort<Result<(), DurableError>>,
    },
    /// See [`Runtime::snapshot`].
    Snapshot(RpcReplyPort<Result<(), SnapshotFailed>>),
    /// See [`Runtime::mark`].
    Mark(RpcReplyPort<Result<Version, VersionError>>),
    /// See [`Runtime::rewrite`].
    Rewrite(RpcReplyPort<Result<Version, VersionError>>),
    /// See [`Runtime::versions`].
    Versions(RpcReplyPort<Vec<Version>>),
    /// See [`Runtime::retire`].
    Retire {
        /// Which.
        version: VersionId,
        /// When it is given up.
        reply: RpcReplyPort<Result<(), VersionError>>,
    },
    /// See [`Runtime::rollback`].
    Rollback {
        /// To which.
        version: VersionId,
        /// When every view shows it.
        reply: RpcReplyPort<Result<(), VersionError>>,
    },
    /// See [`Runtime::backup`].
    Backup {
        /// Where to.
        dir: PathBuf,
        /// When it can be opened.
        reply: RpcReplyPort<Result<Version, BackupFailed>>,
    },
    /// See [`Runtime::stats`].
    Stats(RpcReplyPort<Stats>),
    /// See [`Runtime::shutdown`].
    Shutdown(RpcReplyPort<Result<(), ShutdownError>>),
    /// From the actors below.
    #[doc(hidden)]
    Internal(Internal),
}

/// What the actors below tell the root.
#[doc(hidden)]
#[derive(Debug)]
pub struct Internal(pub(crate) News);

#[derive(Debug)]
pub(crate) enum News {
    /// Of the shutdown.
    Shutdown(Event),
    /// It is time to try again to have a rewrite coordinator.
    NoCoordinator,
}
