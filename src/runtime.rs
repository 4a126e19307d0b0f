//! The handle that applications use.

mod cold;
pub(crate) mod decodes;
mod reading;
mod snapshots;
mod stats;
mod submitting;
mod versions;

use std::time::Duration;

use decodes::Decodes;
use ractor::{Actor, ActorRef, SpawnErr, rpc::CallResult};

use crate::actor::cold_files::Pages;
use crate::actor::keeper::Keeper;
pub use stats::{ShardStats, Stats};
pub use versions::Version;

pub use crate::actor::opening::RecoveryReport;
pub use crate::actor::replay::ShardRecovery;
use crate::actor::root::{Root, RootArguments, RootMessage};
use crate::actor::slot::Slot;
pub use crate::actor::slot::{LostRange, Receipt, SnapshotStats};
use crate::config::{MemoryLimits, Options};
use crate::error::{OpenError, ShutdownError};
use crate::machine::StateMachine;
use crate::model::ShardId;
use crate::state::KeyHasher;
use crate::storage::disk::Disk;
use crate::sync::Arc;

/// A running state machine: a cheap clone, usable from every task and thread. All methods may be called at the same
/// time.
///
/// Dropping the last clone of a runtime made by [`Runtime::open`] stops it at once, without waiting for the disk:
/// whatever was answered is as safe as its receipt says. [`Runtime::shutdown`] also finishes what is on its way. A
/// handle from a [`Root`] keeps nothing running and stops nothing.
///
/// # Panics
/// The actors live on the tokio runtime that opened this and end with it. Whoever has to wait, for room or for a root,
/// does so with timers of the runtime that polls the future: submitting, [`Runtime::view`] and [`Runtime::shutdown`]
/// may panic where there is none, or none with timers. [`Runtime::open`] refuses such a runtime.
pub struct Runtime<M: StateMachine> {
    pub(crate) shared: Arc<Shared<M>>,
    guard: Option<Arc<StopOnDrop<M>>>,
}

/// What all handles have in common.
pub(crate) struct Shared<M: StateMachine> {
    pub(crate) slots: Vec<Arc<Slot<M>>>,
    pub(crate) machine: Arc<M>,
    pub(crate) options: Arc<Options>,
    pub(crate) hasher: KeyHasher,
    pub(crate) memory: MemoryLimits,
    pub(crate) pages: Arc<Pages>,
    pub(crate) keeper: Keeper,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) decodes: Decodes,
    pub(crate) report: RecoveryReport,
    pub(crate) root: ActorRef<RootMessage<M>>,
}

struct StopOnDrop<M: StateMachine>(ActorRef<RootMessage<M>>);

impl<M: StateMachine> Drop for StopOnDrop<M> {
    fn drop(&mut self) {
        self.0.stop(None);
    }
}

impl<M: StateMachine> Clone for Runtime<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), guard: self.guard.clone() }
    }
}

impl<M: StateMachine> std::fmt::Debug for Runtime<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("dir", &self.shared.options.dir).finish_non_exhaustive()
    }
}

/// What became of a position, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Executed, and synced.
    Durable,
    /// Executed and written, not yet synced. A failure of the disk or a power cut can still make it `NotExecuted`.
    Accepted,
    /// Not known yet: the shard has accepted it and the disk has not said, or the running epoch has not come so far.
    ///
    /// It lasts as long as a write or sync takes, and after a death of the shard's actors until its next life has
    /// begun. In a shard that was fenced or refused, or a runtime that has ended, nobody finds out any more: then it
    /// lasts until the directory is opened again, with that shard readable.
    Pending,
    /// Not part of the log, now and after any recovery: never executed, or answered `Accepted` or `Written` and lost.
    NotExecuted,
    /// Executed, and undone since: [`Runtime::rollback`] went back to an earlier version.
    RolledBack,
    /// Never given out by this directory, as far as it remembers.
    Forgotten,
}

impl<M: StateMachine> Runtime<M> {
    /// Opens a directory, recovers every shard and starts the actors.
    ///
    /// When it returns, everything that was ever answered `Durable`, and not rolled back, is in the state, synced and
    /// visible. A shard whose log is damaged is refused and the others are open: look at [`Runtime::recovery`]. Opening
    /// and closing again without a command changes no byte, unless a damaged snapshot or poison was found, a snapshot
    /// or a rewrite is due, or versions are beyond their bounds. Must be called within a tokio runtime with timers
    /// enabled; a current-thread one will do.
    ///
    /// # The directory
    /// It is made if its parent exists. One that holds no data of this crate becomes a new data directory, whatever
    /// else is in it: `LOCK`, `CURRENT`, `manifest-*.log` and `shard-*` are added, other names are left alone. So a
    /// wrong path is not noticed.
    ///
    /// `LOCK` keeps others out, of this process too. Every thread that can write holds it, so it is free a moment after
    /// [`Runtime::shutdown`] has returned or the last handle was dropped; [`Options::lock_wait`] covers that.
    ///
    /// Network file systems (NFS, SMB, AFS, Ceph), FUSE and 9p are refused.
    ///
    /// # Errors
    /// [`OpenError`]. Outside of a tokio runtime, and in one without timers, it is [`OpenError::Actor`].
    ///
    /// # Panics
    /// None. Panics of `apply`, and of the actors' machinery when the process has no thread or file descriptor left,
    /// are caught. Under `panic = "abort"` in the application's profile they cannot be, and end the process: `apply`
    /// that panics, exhaustion at an opening or a restart, and a logged command that panics when it is replayed, at
    /// every opening and whatever [`Options::poison`] says.
    ///
    /// # Cancellation
    /// Dropping the future stops what was started. A recovery that is running goes on to its end, on its threads, with
    /// the lock held. What was made of a new directory stays, and the next opening goes on from it.
    ///
    /// # Example
    /// See the crate's [front page](crate).
    pub async fn open(machine: M, options: Options) -> Result<Self, OpenError> {
        Self::open_with(RootArguments::new(machine, options)).await
    }

    /// Opens a directory of another disk: a simulated one, in tests.
    ///
    /// # Errors
    /// As [`Runtime::open`].
    ///
    /// # Panics
    /// As [`Runtime::open`].
    ///
    /// # Cancellation
    /// As [`Runtime::open`].
    #[cfg(feature = "sim")]
    pub async fn open_on(
        disk: impl crate::storage::disk::Disk + 'static,
        machine: M,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::open_with(RootArguments::new(machine, options).on_disk(disk)).await
    }

    async fn open_with(arguments: RootArguments<M>) -> Result<Self, OpenError> {
        let name = Some(format!("{}/root", arguments.name));
        let (root, _) = Actor::spawn(name, Root::default(), arguments).await.map_err(open_error)?;
        // From here on a dropped future stops the root.
        let guard = Arc::new(StopOnDrop(root.clone()));
        match root.call(RootMessage::Runtime, None).await {
            Ok(CallResult::Success(runtime)) => Ok(Self { guard: Some(guard), ..runtime }),
            _ => Err(OpenError::Actor { reason: "the root ended at once".to_owned() }),
        }
    }

    pub(crate) fn unguarded(shared: Arc<Shared<M>>) -> Self {
        Self { shared, guard: None }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shard_count(&self) -> u32 {
        self.shared.hasher.shards()
    }

    /// The shard that a key belongs to, for as long as the directory exists.
    #[must_use]
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        self.shared.hasher.shard(self.shared.hasher.hash(key))
    }

    /// What opening the directory found. Restarts of a shard do not change it.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.report
    }

    /// Ends the runtime in good order, for all handles: refuses new commands, applies what waits, writes, syncs and
    /// answers everything, and marks the log as closed. Handles stay valid: reads go on, commands are
    /// `NotExecuted(ShuttingDown)`. Whoever asks while it is going on gets the same result.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{NotExecuted, Options, Runtime, ShutdownError, SubmitError, SyncPolicy};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let options = Options { sync: SyncPolicy::Never, ..Options::new(dir.path()) };
    /// let runtime = Runtime::open(Kv, options).await?;
    /// runtime.submit(Command::set("greeting", "hello")).await?;
    /// runtime.shutdown().await?; // everything is synced
    /// let answer = runtime.submit(Command::set("greeting", "bye")).await;
    /// assert_eq!(answer, Err(SubmitError::NotExecuted(NotExecuted::ShuttingDown)));
    /// assert_eq!(runtime.shutdown().await, Err(ShutdownError::Ended));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ShutdownError::Unfinished`] after [`Options::shutdown_deadline`], or after twice as long if the manifest hangs
    /// too; commands that were on their way are then `Unconfirmed`. [`ShutdownError::Ended`]: the runtime had ended
    /// before.
    ///
    /// # Cancellation
    /// The shutdown goes on.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        // The root has the deadline; this one is for a root that is gone before it can say so.
        let patience = self.shared.options.shutdown_deadline.saturating_mul(2) + Duration::from_secs(1);
        match self.shared.root.call(RootMessage::Shutdown, Some(patience)).await {
            Ok(CallResult::Success(result)) => result,
            _ => Err(ShutdownError::Ended),
        }
    }
}

fn open_error(error: SpawnErr) -> OpenError {
    match error {
        SpawnErr::StartupFailed(error) => match error.downcast::<OpenError>() {
            Ok(error) => *error,
            Err(error) => OpenError::Actor { reason: error.to_string() },
        },
        other => OpenError::Actor { reason: other.to_string() },
    }
}
