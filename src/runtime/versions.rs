//! Versions: cuts across all shards that can be gone back to.

use ractor::rpc::CallResult;

use super::Runtime;
use crate::actor::rewrite_coordinator::CoordinatorMessage;
use crate::error::VersionError;
use crate::machine::StateMachine;
use crate::model::{Manifest, Position, Time, VersionId};
use crate::protocol::cut::Kind;

/// A cut across all shards. Whoever was answered before another command was submitted is not left out beside it: in the
/// order of answers the cut is one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Its name; never given to another one.
    pub id: VersionId,
    /// When it was made, by the wall clock.
    pub time: Time,
    /// Where it lies, one a shard, in order: everything below belongs to it.
    pub ends: Vec<Position>,
}

impl<M: StateMachine> Runtime<M> {
    /// Makes a version: a consistent cut across all shards, recorded durably. Cheap enough for several a second.
    ///
    /// Every shard leaves its lane alone for a moment ([`ShardStats::last_hold`](crate::ShardStats::last_hold)),
    /// usually well below a millisecond; commands wait, views do not. What the version needs stays on the disk until it
    /// is retired: the newest snapshot of each shard below it, and the log from there.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options { shards: Some(2), ..Options::new(dir.path()) }).await?;
    /// runtime.submit(Command::set("greeting", "hello")).await?;
    /// let version = runtime.mark().await?;
    /// assert_eq!(runtime.versions(), [version]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`VersionError`]. [`VersionError::Busy`] while another version is made: one at a time.
    ///
    /// # Cancellation
    /// The version is made all the same.
    pub async fn mark(&self) -> Result<Version, VersionError> {
        self.make(Kind::Mark).await
    }

    /// Makes a version as [`Runtime::mark`] does, with a snapshot of every shard at exactly its cut: the log is
    /// rewritten as state. One commit of the manifest adopts all of them; then what nobody needs any more is dropped.
    /// Commands go on meanwhile.
    ///
    /// # Errors
    /// [`VersionError`]. If any shard fails, all new files are removed and nothing else has changed.
    ///
    /// # Cancellation
    /// The rewrite goes on.
    pub async fn rewrite(&self) -> Result<Version, VersionError> {
        self.make(Kind::Rewrite).await
    }

    /// The versions that can be gone back to, oldest first.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        let manifest = self.shared.keeper.manifest();
        manifest.versions.keys().filter_map(|id| version(&manifest, *id)).collect()
    }

    /// Gives a version up, and what only it needs.
    ///
    /// # Errors
    /// [`VersionError::Unknown`]: it is not there. [`VersionError::NotCommitted`], [`VersionError::Indeterminate`],
    /// [`VersionError::Stopped`].
    ///
    /// # Cancellation
    /// It is given up all the same.
    pub async fn retire(&self, version: VersionId) -> Result<(), VersionError> {
        let coordinator = self.coordinator()?;
        match coordinator.call(|reply| CoordinatorMessage::Retire(version, reply), None).await {
            Ok(CallResult::Success(result)) => result,
            _ => Err(VersionError::Stopped),
        }
    }

    async fn make(&self, kind: Kind) -> Result<Version, VersionError> {
        let coordinator = self.coordinator()?;
        let made = match coordinator.call(|reply| CoordinatorMessage::Make(kind, reply), None).await {
            Ok(CallResult::Success(result)) => result?,
            _ => return Err(VersionError::Stopped),
        };
        version(&self.shared.keeper.manifest(), made).ok_or(VersionError::Unknown(made))
    }

    fn coordinator(&self) -> Result<ractor::ActorRef<CoordinatorMessage<M>>, VersionError> {
        let slot = self.shared.slots.first().ok_or(VersionError::Stopped)?;
        slot.coordinator.lock().clone().ok_or(VersionError::Stopped)
    }
}

fn version(manifest: &Manifest, id: VersionId) -> Option<Version> {
    let record = manifest.versions.get(&id)?;
    Some(Version { id, time: record.time, ends: record.points.iter().map(|point| point.end).collect() })
}
