//! Versions: cuts across all shards that can be gone back to.

use std::path::Path;

use ractor::rpc::CallResult;

use super::{Runtime, Shared};
use crate::actor::looking_back;
use crate::actor::rewrite_coordinator::CoordinatorMessage;
use crate::error::{BackupFailed, OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{Manifest, Position, Time, VersionId};
use crate::protocol::cut::Kind;
use crate::state::View;
use crate::storage::backup::back_up;
use crate::storage::disk::StandardDisk;
use crate::storage::layout::Layout;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

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
    /// A digest of its state, if one was taken of every shard: with [`Options::digest`](crate::Options::digest), and by
    /// every rewrite. Equal states of directories with equally many shards and the same keys in each have equal ones:
    /// it is BLAKE3 of the digests of the shards (lattice hashes of their entries), in order.
    pub digest: Option<[u8; 32]>,
}

impl<M: StateMachine> Runtime<M> {
    /// Makes a version: a consistent cut across all shards, recorded durably. Cheap enough for several a second.
    ///
    /// Every shard leaves its lane alone for a moment ([`ShardStats::last_hold`](crate::ShardStats::last_hold)),
    /// usually well below a millisecond; commands wait, and so do views that need a newer root. What the version needs
    /// stays on the disk until it is retired: the newest snapshot of each shard below it, and the log from there.
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
    /// [`VersionError`]. [`VersionError::Busy`] while another version is made, and during a rollback: one at a time.
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

    /// Goes back to a version, in all shards at once: the state becomes what it was, and what came later is abandoned,
    /// later versions and snapshots included. When it returns `Ok` that is durable, and every view shows it.
    ///
    /// Every file that the version needs is read and checked first, while the runtime goes on; then one commit of the
    /// manifest counts for all shards. Commands that wait are `NotExecuted(RolledBack)`, those on their way are
    /// `Unconfirmed`, and [`Runtime::outcome`] of every abandoned position is
    /// [`Outcome::RolledBack`](crate::Outcome::RolledBack). No view shows a mix. For the time of the rollback there are
    /// two states in memory.
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
    /// let version = runtime.mark().await?;
    /// runtime.submit(Command::set("greeting", "bye")).await?;
    /// runtime.submit(Command::set("other", "thing")).await?;
    ///
    /// runtime.rollback(version.id).await?;
    /// let view = runtime.view().await;
    /// assert!(view.get(b"greeting")?.is_some() && view.get(b"other")?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`VersionError`]. [`VersionError::Unknown`] and [`VersionError::Unreachable`]: nothing was touched.
    /// [`VersionError::Shard`]: it is fenced or refused, and nothing was touched, or the version counts and this shard
    /// could not go on. [`VersionError::Indeterminate`]: the manifest failed; all shards are fenced, and the next
    /// opening knows.
    ///
    /// # Cancellation
    /// The rollback goes on.
    pub async fn rollback(&self, version: VersionId) -> Result<(), VersionError> {
        let coordinator = self.coordinator()?;
        match coordinator.call(|reply| CoordinatorMessage::RollBack(version, reply), None).await {
            Ok(CallResult::Success(result)) => result.map(drop),
            _ => Err(VersionError::Stopped),
        }
    }

    /// Goes back to the newest version that was made at that time or before it, as [`Runtime::rollback`] does. Returns
    /// which.
    ///
    /// # Errors
    /// [`VersionError::NoneBefore`], and those of [`Runtime::rollback`].
    ///
    /// # Cancellation
    /// The rollback goes on.
    pub async fn rollback_to(&self, time: Time) -> Result<Version, VersionError> {
        let versions = self.versions().into_iter().rev();
        let version = versions.into_iter().find(|version| version.time <= time).ok_or(VersionError::NoneBefore)?;
        self.rollback(version.id).await?;
        Ok(version)
    }

    /// Makes another directory that opens as a runtime with the state of this moment: a consistent cut, as
    /// [`Runtime::mark`] makes one. `dir` must not exist, or be empty; its parent must exist. Snapshots and full log
    /// files get a second name there where the file systems allow it, and are copied elsewhere; everything is verified.
    /// Commands go on meanwhile. To restore, open the backup, or a copy of it.
    ///
    /// The backup holds that one version, which is returned; here it is retired again.
    ///
    /// # Errors
    /// [`BackupFailed`]. What was made of the directory is left there, without a manifest: it does not open.
    ///
    /// # Cancellation
    /// The backup goes on; its version stays until retention retires it.
    pub async fn backup(&self, dir: impl AsRef<Path>) -> Result<Version, BackupFailed> {
        let (shared, dir) = (Arc::clone(&self.shared), dir.as_ref().to_owned());
        // Retention may retire the version meanwhile; its files stay.
        let pins = Pins::new(&self.shared);
        let version = self.mark().await?;
        let id = version.id;
        let work = tokio::task::spawn_blocking(move || {
            let (from, manifest) = (Layout::new(&shared.options.dir), shared.keeper.manifest());
            back_up(&shared.disk, &from, &manifest, id, &dir)
        });
        let copied = work.await;
        drop(pins);
        // It has been of use, or is of none.
        let _ = self.retire(id).await;
        let copied = copied.map_err(|_| BackupFailed::Panicked)??;
        tracing::info!(version = %id, ?copied, "backed up");
        Ok(version)
    }

    /// Looks at a version of a directory, read-only: without a lock, while another runtime, of this process or another,
    /// may be writing there. Reads every file that the version needs into memory.
    ///
    /// # Errors
    /// [`OpenError::NoVersion`](crate::OpenError::NoVersion), also if the version is retired meanwhile;
    /// [`OpenError::Shard`](crate::OpenError::Shard) for files that cannot be read;
    /// [`OpenError::Manifest`](crate::OpenError::Manifest).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    /// Nothing happens; the reading goes on to its end, on its thread.
    pub async fn open_at(machine: M, dir: impl AsRef<Path>, version: VersionId) -> Result<View<M::Entity>, OpenError> {
        let dir = dir.as_ref().to_owned();
        look_back(move || looking_back::view_at(&machine, &StandardDisk, &dir, version)).await
    }

    /// Looks at a version of this runtime, as [`Runtime::open_at`] does.
    ///
    /// # Errors
    /// As [`Runtime::open_at`].
    ///
    /// # Cancellation
    /// As [`Runtime::open_at`].
    pub async fn view_at(&self, version: VersionId) -> Result<View<M::Entity>, OpenError> {
        let (shared, disk) = (Arc::clone(&self.shared), Arc::clone(&self.shared.disk));
        look_back(move || looking_back::view_at(&*shared.machine, disk.as_ref(), &shared.options.dir, version)).await
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

/// While this is there, no file that is part of the data is dropped, but by a rollback.
struct Pins<M: StateMachine>(Arc<Shared<M>>);

impl<M: StateMachine> Pins<M> {
    fn new(shared: &Arc<Shared<M>>) -> Self {
        shared.slots.iter().for_each(|slot| _ = slot.backups.fetch_add(1, Ordering::SeqCst));
        Self(Arc::clone(shared))
    }
}

impl<M: StateMachine> Drop for Pins<M> {
    fn drop(&mut self) {
        self.0.slots.iter().for_each(|slot| _ = slot.backups.fetch_sub(1, Ordering::SeqCst));
    }
}

/// On a thread where blocking is allowed.
async fn look_back<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let read = tokio::task::spawn_blocking(work).await;
    read.unwrap_or_else(|_| Err(OpenError::Actor { reason: "a panic".to_owned() }))
}

fn version(manifest: &Manifest, id: VersionId) -> Option<Version> {
    let record = manifest.versions.get(&id)?;
    let digests: Option<Vec<_>> = record.points.iter().map(|point| Some(point.digest?.hash)).collect();
    let digest = digests.map(|digests| *blake3::hash(digests.as_flattened()).as_bytes());
    Some(Version { id, time: record.time, ends: record.points.iter().map(|point| point.end).collect(), digest })
}
