//! The handle that applications use.

pub(crate) mod decodes;
mod reading;
mod submitting;

use std::sync::Arc;
use std::time::Duration;

use decodes::Decodes;
use ractor::{Actor, ActorRef, SpawnErr, rpc::CallResult};

use crate::actor::keeper::Keeper;
pub use crate::actor::opening::RecoveryReport;
pub use crate::actor::replay::ShardRecovery;
use crate::actor::root::{Root, RootArguments, RootMessage};
use crate::actor::slot::Slot;
pub use crate::actor::slot::{LostRange, Receipt};
use crate::config::Options;
use crate::error::{NotExecuted, OpenError, ShutdownError};
use crate::machine::StateMachine;
use crate::model::{Position, ShardId};
use crate::state::KeyHasher;
use crate::sync::published::Positioned;

/// A running state machine: a cheap clone, usable from every task and thread of a tokio runtime.
///
/// Dropping the last clone of a runtime made by [`Runtime::open`] stops it at once, without waiting for the disk:
/// whatever was answered is as safe as its receipt says. [`Runtime::shutdown`] also finishes what is on its way.
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
    pub(crate) keeper: Keeper,
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
    /// Executed and written, not yet synced.
    Accepted,
    /// Accepted by the shard; the disk has not said yet.
    Pending,
    /// Certainly not executed, now and after any recovery.
    NotExecuted,
    /// Never given out by this directory, as far as it remembers.
    Forgotten,
}

/// Numbers about a running runtime.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// One a shard, in order.
    pub shards: Vec<ShardStats>,
}

/// Numbers about a shard. Counts are since the runtime started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStats {
    /// The shard.
    pub shard: ShardId,
    /// Why it refuses commands, if it does.
    pub refusal: Option<NotExecuted>,
    /// Everything below has been answered, under the policy.
    pub answered: Position,
    /// Everything below is synced.
    pub durable: Position,
    /// Everything below is visible to readers.
    pub published: Position,
    /// Commands that wait in the lane.
    pub waiting: usize,
    /// Batches and requests that wait for the log's writer, which sits in a write or sync meanwhile.
    pub waiting_batches: usize,
    /// Frames written.
    pub frames: u64,
    /// Bytes of frames written.
    pub wal_bytes: u64,
    /// Syncs of log files, headers included.
    pub syncs: u64,
    /// How often the log moved to a fresh file after a failed write or sync.
    pub moves: u64,
    /// How often the shard's actors were restarted.
    pub restarts: u64,
    /// Entries in the working state, as of the last batch.
    pub entries: u64,
    /// Memory of the working state, as accounted, as of the last batch.
    pub memory_bytes: u64,
    /// Commands that were answered before they were durable, and lost.
    pub lost: Vec<LostRange>,
}

impl<M: StateMachine> Runtime<M> {
    /// Opens a directory, recovers every shard and starts the actors.
    ///
    /// When it returns, everything that was ever answered `Durable` is in the state, synced and visible. A shard whose
    /// log is damaged is refused and the others are open: look at [`Runtime::recovery`]. Opening and closing again
    /// without a command changes no byte. Must be called within a tokio runtime with timers enabled.
    ///
    /// # Errors
    /// [`OpenError`]; nothing that the directory held was changed.
    ///
    /// # Cancellation
    /// Dropping the future stops what was started; the lock is free once its threads have ended.
    ///
    /// # Example
    /// See the crate's [front page](crate).
    pub async fn open(machine: M, options: Options) -> Result<Self, OpenError> {
        Self::open_with(RootArguments::new(machine, options)).await
    }

    /// Opens a directory of another disk.
    ///
    /// # Errors
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

    /// The shard that a key belongs to.
    #[must_use]
    pub fn shard_of(&self, key: &[u8]) -> ShardId {
        self.shared.hasher.shard(self.shared.hasher.hash(key))
    }

    /// What opening the directory found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.report
    }

    /// Numbers as of now. Never waits.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { shards: self.shared.slots.iter().map(|slot| shard_stats(slot)).collect() }
    }

    /// Ends the runtime in good order: refuses new commands, applies what waits, writes, syncs and answers everything,
    /// and marks the log as closed. Handles stay valid: reads go on, commands are `NotExecuted(ShuttingDown)`.
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

fn shard_stats<M: StateMachine>(slot: &Slot<M>) -> ShardStats {
    let life = slot.life();
    let counters = &slot.counters;
    ShardStats {
        shard: slot.shard,
        refusal: slot.refusal(),
        answered: life.answered(),
        durable: Position { epoch: life.epoch, lsn: life.tenure.durable() },
        published: slot.published.latest().end(),
        waiting: slot.lane.len(),
        waiting_batches: life.log.len(),
        frames: counters.frames.get(),
        wal_bytes: counters.wal_bytes.get(),
        syncs: counters.syncs.get(),
        moves: counters.moves.get(),
        restarts: counters.restarts.get(),
        entries: counters.entries.get(),
        memory_bytes: counters.memory_bytes.get(),
        lost: slot.lost.lock().clone(),
    }
}
