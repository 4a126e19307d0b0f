//! Versions: cuts across all shards that can be gone back to.

use std::path::{Path, PathBuf};

use ractor::rpc::CallResult;

use super::Runtime;
use crate::actor::looking_back::{self, Within};
use crate::actor::pins::Pins;
use crate::actor::rewrite_coordinator::CoordinatorMessage;
use crate::config::Memory;
use crate::error::{BackupFailed, OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{Manifest, Position, Time, VersionId};
use crate::protocol::cut::Kind;
use crate::state::{StateDigest, View};
use crate::storage::backup::back_up;
use crate::storage::disk::StandardDisk;
use crate::storage::layout::Layout;
use crate::sync::Arc;

/// A cut across all shards. Whoever was answered before another command was submitted is not left out beside it: in the
/// order of answers the cut is one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Version {
    /// Its name; never given to another one.
    pub id: VersionId,
    /// When it was made, by the wall clock: nothing that it holds was submitted later.
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
        self.make(Kind::Mark, false).await
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
        self.make(Kind::Rewrite, false).await
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
    /// [`Outcome::RolledBack`](crate::Outcome::RolledBack). No view shows a mix.
    ///
    /// For the time of the rollback there are two states in memory. With [`Options::spill`](crate::Options::spill) they
    /// share the shard's part of the limit: the version's values go to cold files from an eighth of it on, and the
    /// present ones as far as the version's keys need room. Without it the limit does not count for the version's.
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
    /// [`VersionError`]. [`VersionError::Unknown`], [`VersionError::Unreachable`], [`VersionError::OutOfMemory`] (keys
    /// alone are too much for two states, or the present one makes no room), [`VersionError::Deadline`] (to read it
    /// took longer than [`VersionOptions::write_deadline`](crate::VersionOptions::write_deadline)) and
    /// [`VersionError::Cancelled`]: nothing was touched.
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
    /// [`Runtime::mark`] makes one. `dir` must not exist, or be empty; its parent must exist. Snapshots, their
    /// cold files and full log files get a second name there where the file systems allow it, and are copied elsewhere;
    /// everything is verified, and the digest of what each snapshot holds is taken and held against those that were
    /// recorded.
    /// Commands go on meanwhile. To restore, open the backup, or a copy of it.
    ///
    /// The backup holds that one version, which is returned. Here it does not count for
    /// [`VersionOptions::keep`](crate::VersionOptions::keep), and is retired again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// [`BackupFailed`]. What was made of the directory is left there, without a manifest: it does not open.
    ///
    /// # Cancellation
    /// The backup goes on to its end, and its version is retired. If the runtime ends meanwhile the backup fails, or
    /// ends with what it has begun to copy.
    pub async fn backup(&self, dir: impl AsRef<Path>) -> Result<Version, BackupFailed> {
        let (runtime, dir) = (Self::unguarded(Arc::clone(&self.shared)), dir.as_ref().to_owned());
        // Its pins and its version are given back however the caller's future ends.
        let backing_up = tokio::spawn(async move { runtime.back_up(dir).await });
        backing_up.await.unwrap_or(Err(BackupFailed::Panicked))
    }

    async fn back_up(&self, dir: PathBuf) -> Result<Version, BackupFailed> {
        let shared = Arc::clone(&self.shared);
        // Whatever becomes of the version meanwhile, its files stay.
        let pins = Pins::new(&self.shared.slots);
        let version = self.make(Kind::Mark, true).await?;
        let id = version.id;
        let work = tokio::task::spawn_blocking(move || {
            let (from, manifest) = (Layout::new(&shared.options.dir), shared.keeper.manifest());
            back_up::<StateDigest>(&shared.disk, &from, &manifest, id, &dir)
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
    /// may be writing there. Reads every file that the version needs into memory, but for values that were in cold
    /// files when its snapshots were taken: [`View::read`](crate::View::read) reads them there.
    ///
    /// What is in memory is bounded by `memory`, which this one view has for itself: a sixteenth, at most 16 MiB, for
    /// what it reads from cold files, the rest for the state, in equal shares for the shards. Nothing is spilled: a
    /// look writes nothing. So of what was logged behind the version's snapshots every value takes memory.
    ///
    /// # Errors
    /// [`OpenError::NoVersion`](crate::OpenError::NoVersion), also if the version is retired meanwhile;
    /// [`OpenError::Shard`](crate::OpenError::Shard) for files that cannot be read, and with
    /// [`LogError::OutOfMemory`](crate::LogError::OutOfMemory) if more would have to be in memory than `memory` allows;
    /// [`OpenError::Manifest`](crate::OpenError::Manifest).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Cancellation
    /// Nothing happens; the reading goes on to its end, on its thread.
    pub async fn open_at(
        machine: M,
        dir: impl AsRef<Path>,
        version: VersionId,
        memory: Memory,
    ) -> Result<View<M::Entity>, OpenError> {
        let dir = dir.as_ref().to_owned();
        let machine = Arc::new(machine);
        let work =
            move || looking_back::view_at(&machine, &StandardDisk, &dir, version, &Within::limit(memory.limit()));
        look_back(work).await
    }

    /// Looks at a version of this runtime, as [`Runtime::open_at`] does.
    ///
    /// Its state may have as much in memory as the runtime's own limit, [`MemoryLimits::limit`](crate::MemoryLimits),
    /// allows for everything, and has that beside it, as long as the view is held: where so much is not to be had,
    /// [`Runtime::open_at`] takes another limit. What it reads from cold files is in the runtime's cache.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    ///
    /// # Errors
    /// As [`Runtime::open_at`].
    ///
    /// # Cancellation
    /// As [`Runtime::open_at`].
    pub async fn view_at(&self, version: VersionId) -> Result<View<M::Entity>, OpenError> {
        let (shared, disk) = (Arc::clone(&self.shared), Arc::clone(&self.shared.disk));
        // Its files do not go because a snapshot comes meanwhile that would do as well.
        let pins = Pins::new(&self.shared.slots);
        let work = move || {
            let _pins = pins;
            let within = Within { state_bytes: shared.memory.limit, pages: Arc::clone(&shared.pages) };
            looking_back::view_at(&shared.machine, disk.as_ref(), &shared.options.dir, version, &within)
        };
        look_back(work).await
    }

    async fn make(&self, kind: Kind, aside: bool) -> Result<Version, VersionError> {
        let coordinator = self.coordinator()?;
        let made = match coordinator.call(|reply| CoordinatorMessage::Make { kind, aside, reply }, None).await {
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
