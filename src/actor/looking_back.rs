//! The state at a version, from files only: to be looked at, or to be gone back to.
//!
//! Nothing is locked, changed or repaired. Whoever writes in the directory meanwhile writes behind every version; a
//! version that is retired meanwhile takes its files along, and then it is not there any more.

use std::path::Path;

use super::replay::{self, Replayed, Until};
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
const ATTEMPTS: usize = 5;

/// Frees maps where they are dropped: nobody waits for it.
struct Here;

impl<E> Bury<E> for Here {
    fn bury(&self, map: Map<E>) {
        drop(map);
    }
}

/// Looks at a version of a directory.
pub(crate) fn view_at<M: StateMachine>(
    machine: &M,
    disk: &dyn Disk,
    dir: &Path,
    version: VersionId,
) -> Result<View<Entity<M>>, OpenError> {
    let layout = Layout::new(dir);
    let manifest = read_manifest(disk, &layout)?;
    let hasher = hasher(&manifest)?;
    let states = states_at(machine, disk, &layout, &manifest, version, false)?;
    let record = manifest.versions.get(&version).ok_or(OpenError::NoVersion { version })?;
    let reaper: Arc<dyn Bury<Entity<M>>> = Arc::new(Here);
    let roots = states.into_iter().zip(&record.points).map(|(state, point)| {
        let root = Root::new(state.map, point.end, state.time, Arc::clone(&reaper));
        Ok(Arc::new(root.of_timeline(manifest.timeline)))
    });
    Ok(View::new(hasher, roots.collect()))
}

/// Loads every shard's state at a version and checks it. Needs every file that the version needs. With `follow`, the
/// states come with digests to go on from.
pub(crate) fn states_at<M: StateMachine>(
    machine: &M,
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    version: VersionId,
    follow: bool,
) -> Result<Vec<Replayed<Entity<M>>>, OpenError> {
    let gone = || OpenError::NoVersion { version };
    let points = &manifest.versions.get(&version).ok_or_else(gone)?.points;
    let until = |shard: ShardId| points.get(shard.0 as usize).map_or(Until::End(None), |point| Until::Point(*point));
    // What was recorded is compared, whatever the options say now.
    let digest = follow || points.iter().any(|point| point.digest.is_some());
    let states = replay::all(machine, disk, layout, manifest, Poison::Refuse, digest, until);
    let mut loaded = Vec::with_capacity(states.len());
    for (shard, state) in (0..).map(ShardId).zip(states) {
        match state {
            Ok(state) => {
                let digest = state.digest.filter(|_| follow);
                loaded.push(Replayed { digest, ..state });
            }
            // Its files may have gone together with it.
            Err(_) if !read_manifest(disk, layout)?.versions.contains_key(&version) => return Err(gone()),
            Err(error) => return Err(OpenError::Shard { shard, error }),
        }
    }
    Ok(loaded)
}

fn read_manifest(disk: &dyn Disk, layout: &Layout) -> Result<Manifest, ManifestError> {
    let mut attempt = 1;
    loop {
        match manifest_log::read(disk, layout) {
            Err(ManifestError::Damaged { .. } | ManifestError::GenerationMissing { .. }) if attempt < ATTEMPTS => {
                attempt += 1;
            }
            read => return read,
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
