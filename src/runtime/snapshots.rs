//! Snapshots that somebody asks for.

use ractor::rpc::CallResult;

use super::Runtime;
use crate::actor::rewrite_coordinator::CoordinatorMessage;
use crate::actor::slot::Slot;
use crate::actor::snapshotter::SnapshotMessage;
use crate::error::{NoSnapshot, SnapshotFailed};
use crate::machine::StateMachine;

impl<M: StateMachine> Runtime<M> {
    /// Takes a snapshot of every shard, whatever the triggers of [`SnapshotOptions`](crate::SnapshotOptions) say.
    ///
    /// When it returns `Ok`, what was answered before the call is in a snapshot or was in the last one, durably: the
    /// next opening loads that and replays only what came later, and log files that nobody needs any more are gone or
    /// about to go. Commands and views go on meanwhile and do not wait for it. Each shard's snapshot is taken for
    /// itself, and shards do so at the same time; the snapshots are not a cut across them.
    ///
    /// Of a shard whose snapshot is running, another one is taken after that.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// runtime.submit(Command::set("greeting", "hello")).await?;
    /// runtime.snapshot().await?;
    /// runtime.shutdown().await?;
    ///
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// let found = &runtime.recovery().shards[0];
    /// assert_eq!((found.entries, found.commands), (1, 0)); // loaded, not replayed
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SnapshotFailed`] of the first shard of which there is none; those of other shards count.
    ///
    /// # Cancellation
    /// The snapshots are taken all the same; see [`Runtime::cancel_snapshots`].
    pub async fn snapshot(&self) -> Result<(), SnapshotFailed> {
        let asked = self.shared.slots.iter().map(|slot| snapshot(slot));
        // All are asked before any is waited for.
        let mut asked: Vec<_> = asked.map(|asking| tokio::spawn(asking)).collect();
        let mut result = Ok(());
        for (slot, asked) in self.shared.slots.iter().zip(asked.drain(..)) {
            let stopped = SnapshotFailed { shard: slot.shard, why: NoSnapshot::Stopped };
            result = result.and(asked.await.unwrap_or(Err(stopped)));
        }
        result
    }

    /// Ends the snapshots that are running now, the version that is being made, those of a rewrite included, and a
    /// rollback that is still reading: whoever waits learns [`NoSnapshot::Cancelled`] or
    /// [`VersionError::Cancelled`](crate::VersionError::Cancelled). What is whole and about to be adopted goes on, and
    /// so does a rollback whose commit is on its way. Whoever asked for a snapshot while one ran gets the next, which
    /// this does not end.
    pub fn cancel_snapshots(&self) {
        if let Some(coordinator) = self.shared.slots.first().and_then(|slot| slot.coordinator.lock().clone()) {
            let _ = coordinator.cast(CoordinatorMessage::Cancel);
        }
        for slot in &self.shared.slots {
            if let Some(snapshotter) = &*slot.snapshotter.lock() {
                let _ = snapshotter.cast(SnapshotMessage::Cancel);
            }
        }
    }
}

/// Asks for one of a shard.
fn snapshot<M: StateMachine>(slot: &Slot<M>) -> impl Future<Output = Result<(), SnapshotFailed>> + Send + 'static {
    let (shard, snapshotter) = (slot.shard, slot.snapshotter.lock().clone());
    async move {
        let stopped = SnapshotFailed { shard, why: NoSnapshot::Stopped };
        let Some(snapshotter) = snapshotter else { return Err(stopped) };
        match snapshotter.call(SnapshotMessage::Take, None).await {
            Ok(CallResult::Success(result)) => result,
            _ => Err(stopped),
        }
    }
}
