//! The state at a version, from files only: to be looked at, or to be gone back to.
//!
//! Nothing is locked, changed or repaired. Whoever writes in the directory meanwhile writes behind every version; a
//! version that is retired meanwhile takes its files along, and then it is not there any more.
//!
//! Values that are in cold files stay there. What has to be in memory is bounded: a rollback's state goes to new cold
//! files, as far as it can; whoever only looks writes nothing, and is refused beyond its limit.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::cold_files::Pages;
use super::replay::{Allowance, Each, Replayed, Replaying, Until};
use super::slot::Entity;
use crate::config::Poison;
use crate::error::OpenError;
use crate::machine::StateMachine;
use crate::model::{Manifest, ShardId, VersionId};
use crate::state::map::Map;
use crate::state::{Bury, KeyHasher, Root, View};
use crate::storage::disk::Disk;
use crate::storage::error::ManifestError;
use crate::storage::layout::Layout;
use crate::storage::manifest_log;
use crate::sync::Arc;

/// So often the manifest is read: a line that is being written looks damaged for a moment.
const ATTEMPTS: u32 = 6;
/// And so long after the first time; each time twice as long.
const PAUSE: Duration = Duration::from_millis(2);

/// So many bytes of cold pages does a look back keep that has no runtime, at most, and no more than one part of so many
/// of its limit.
const PAGES_BYTES_MAX: u64 = 16 << 20;
const PAGES_PART: u64 = 16;

/// What a look back may have in memory.
pub(crate) struct Within {
    /// Of all shards' states, in equal shares; none: as much as it takes.
    pub(crate) state_bytes: Option<u64>,
    /// What it reads from cold files.
    pub(crate) pages: Arc<Pages>,
}

impl Within {
    /// A limit of its own.
    pub(crate) fn limit(limit: Option<u64>) -> Self {
        let pages_bytes = limit.map_or(PAGES_BYTES_MAX, |limit| PAGES_BYTES_MAX.min(limit / PAGES_PART));
        Self { state_bytes: limit.map(|limit| limit - pages_bytes), pages: Pages::new(pages_bytes) }
    }
}

/// Frees maps where they are dropped: nobody waits for it.
struct Here;

impl<E> Bury<E> for Here {
    fn bury(&self, map: Map<E>) {
        drop(map);
    }
}

/// Looks at a version of a directory. Blocks.
pub(crate) fn view_at<M: StateMachine>(
    machine: &Arc<M>,
    disk: &dyn Disk,
    dir: &Path,
    version: VersionId,
    within: &Within,
) -> Result<View<Entity<M>>, OpenError> {
    let layout = Layout::new(dir);
    let manifest = read_manifest(disk, &layout)?;
    let hasher = hasher(&manifest)?;
    let each = within.state_bytes.map(|bytes| Each(bytes / manifest.shards.len().max(1) as u64));
    let allowance = each.as_ref().map(|each| each as &dyn Allowance);
    let replaying = replaying(machine, disk, &layout, &manifest, &within.pages);
    let states = states_at(Replaying { allowance, ..replaying }, version, false)?;
    let record = manifest.versions.get(&version).ok_or(OpenError::NoVersion { version })?;
    let reaper: Arc<dyn Bury<Entity<M>>> = Arc::new(Here);
    let roots = states.into_iter().zip(&record.points).map(|(state, point)| {
        let root = Root::new(state.map, point.end, state.time, Arc::clone(&reaper));
        Ok(Arc::new(root.of_timeline(manifest.timeline).with_cold(state.cold)))
    });
    Ok(View::new(hasher, roots.collect()))
}

/// Loads every shard's state at a version and checks it. Needs every file that the version needs. With `follow`, the
/// states come with digests to go on from. Reads again if files were dropped meanwhile, because the version is
/// retired, or a newer snapshot does as well.
pub(crate) fn states_at<M: StateMachine>(
    replaying: Replaying<'_, M>,
    version: VersionId,
    follow: bool,
) -> Result<Vec<Replayed<Entity<M>>>, OpenError> {
    let mut manifest = replaying.manifest.clone();
    loop {
        let wrong = match states_once(Replaying { manifest: &manifest, ..replaying }, version, follow) {
            Err(OpenError::Shard { shard, error }) => (shard, Err(OpenError::Shard { shard, error })),
            Ok(states) => match states.iter().find(|state| !state.is_complete).map(|state| state.report.shard) {
                Some(shard) => (shard, Ok(states)),
                None => return Ok(states),
            },
            failed => return failed,
        };
        let (shard, loaded) = wrong;
        let now = read_manifest(replaying.disk, replaying.layout)?;
        if now.kept_files(shard) == manifest.kept_files(shard) && now.versions.contains_key(&version) {
            return loaded;
        }
        manifest = now;
    }
}

/// What a version needs is read like this: what cannot be applied is no state.
pub(crate) fn replaying<'a, M>(
    machine: &'a Arc<M>,
    disk: &'a dyn Disk,
    layout: &'a Layout,
    manifest: &'a Manifest,
    pages: &'a Arc<Pages>,
) -> Replaying<'a, M> {
    let (poison, digest, spill, allowance, whole) = (Poison::Refuse, false, None, None, false);
    Replaying { machine, disk, layout, manifest, poison, digest, pages, spill, allowance, whole }
}

fn states_once<M: StateMachine>(
    replaying: Replaying<'_, M>,
    version: VersionId,
    follow: bool,
) -> Result<Vec<Replayed<Entity<M>>>, OpenError> {
    let gone = || OpenError::NoVersion { version };
    let points = &replaying.manifest.versions.get(&version).ok_or_else(gone)?.points;
    let until = |shard: ShardId| points.get(shard.0 as usize).map_or(Until::End(None), |point| Until::Point(*point));
    // What was recorded is compared, whatever the options say now.
    let digest = follow || points.iter().any(|point| point.digest.is_some());
    let states = Replaying { digest, ..replaying }.all(until);
    let loaded = (0..).map(ShardId).zip(states).map(|(shard, state)| {
        let state = state.map_err(|error| OpenError::Shard { shard, error })?;
        let digest = state.digest.filter(|_| follow);
        Ok(Replayed { digest, ..state })
    });
    loaded.collect()
}

fn read_manifest(disk: &dyn Disk, layout: &Layout) -> Result<Manifest, ManifestError> {
    let mut pauses = (0..ATTEMPTS - 1).map(|attempt| PAUSE * 2_u32.pow(attempt));
    loop {
        let read = manifest_log::read(disk, layout);
        let may_pass = matches!(read, Err(ManifestError::Damaged { .. } | ManifestError::GenerationMissing { .. }));
        match pauses.next().filter(|_| may_pass) {
            Some(pause) => thread::sleep(pause),
            None => return read,
        }
    }
}

fn hasher(manifest: &Manifest) -> Result<KeyHasher, OpenError> {
    let found = manifest.routing.id;
    if found != KeyHasher::ROUTING_ID {
        return Err(OpenError::UnknownRouting { found });
    }
    Ok(KeyHasher::new(&manifest.routing, manifest.shards.len() as u32))
}
