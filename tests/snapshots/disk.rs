//! What tests on the simulated disk need: the manifest at rest, its files, and the state that a runtime shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay::model::{DataFile, Manifest, SnapshotSeq};
use mainstay::sim::SimDisk;
use mainstay::storage::disk::{Disk, StandardDisk};
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Options, Runtime, ShardId, StateMachine};

use super::complete;
use crate::support::{Counters, Entity, small};

pub const DIR: &str = "/data";

pub type State = BTreeMap<Vec<u8>, Entity>;

pub fn options(shards: u32) -> Options {
    Options { shards: Some(shards), ..small(Path::new(DIR)) }
}

pub async fn open(sim: &SimDisk, shards: u32) -> Runtime<Counters> {
    Runtime::open_on(sim.clone(), Counters, options(shards)).await.unwrap()
}

/// What another process finds after this one was killed.
pub fn killed<M: StateMachine>(runtime: Runtime<M>, sim: &SimDisk) -> SimDisk {
    drop(runtime);
    sim.after_kill()
}

/// What a disk's manifest says. Nobody has it open.
pub fn manifest(sim: &SimDisk) -> Manifest {
    let disk: Arc<dyn Disk> = Arc::new(sim.after_kill());
    manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap().manifest
}

pub fn snapshot(shard: u32, number: u64) -> PathBuf {
    Layout::new(Path::new(DIR)).snapshot(ShardId(shard), SnapshotSeq(number))
}

/// Numbers of a shard's snapshots, as the manifest has them.
pub fn numbers(sim: &SimDisk, shard: u32) -> Vec<u64> {
    manifest(sim).shards[shard as usize].snapshots.keys().map(|snapshot| snapshot.0).collect()
}

/// Log files and snapshots that are there and that the manifest does not name.
pub fn orphans(sim: &SimDisk) -> Vec<PathBuf> {
    let (manifest, layout) = (manifest(sim), Layout::new(Path::new(DIR)));
    let mut named = BTreeSet::new();
    for (shard, record) in (0..).map(ShardId).zip(&manifest.shards) {
        named.extend(record.segments.keys().map(|segment| layout.file(DataFile::Segment(shard, *segment))));
        named.extend(record.snapshots.keys().map(|snapshot| layout.file(DataFile::Snapshot(shard, *snapshot))));
    }
    let files = sim.files().into_keys();
    let of_shards = files.filter(|path| path.parent().is_some_and(|dir| dir != Path::new(DIR)));
    of_shards.filter(|path| !named.contains(path)).collect()
}

/// Everything that a runtime shows.
pub async fn state<M: StateMachine<Entity = Entity>>(runtime: &Runtime<M>) -> State {
    let view = runtime.view().await;
    let entries = view.shards().flat_map(|shard| view.iter(shard).unwrap().collect::<Vec<_>>());
    entries.map(|(key, entity)| (key.to_vec(), entity.clone())).collect()
}

pub fn refusal<M: StateMachine>(runtime: &Runtime<M>) -> Option<(ShardId, String)> {
    runtime.recovery().refused().next().map(|(shard, error)| (shard, error.to_string()))
}

/// Waits for a condition that nobody announces.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never happens: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A directory of the real disk that nobody has open.
pub struct AtRest {
    pub manifest: Manifest,
    layout: Layout,
}

pub fn manifest_on_disk(dir: &Path) -> AtRest {
    let (disk, layout): (Arc<dyn Disk>, _) = (Arc::new(StandardDisk), Layout::new(dir));
    AtRest { manifest: manifest_log::open(&disk, &layout).unwrap().manifest, layout }
}

impl AtRest {
    /// Log files and snapshots that are there and that the manifest does not name.
    pub fn orphans(&self) -> Vec<String> {
        let mut orphans = Vec::new();
        for (shard, record) in (0..).map(ShardId).zip(&self.manifest.shards) {
            for entry in std::fs::read_dir(self.layout.shard(shard)).unwrap() {
                let path = entry.unwrap().path();
                let named = record.segments.keys().any(|segment| self.layout.segment(shard, *segment) == path)
                    || record.snapshots.keys().any(|snapshot| self.layout.snapshot(shard, *snapshot) == path);
                orphans.extend((!named).then(|| path.display().to_string()));
            }
        }
        orphans
    }

    /// What a version needs and has not.
    pub fn incomplete(&self) -> Vec<String> {
        complete::check(&StandardDisk, &self.layout, &self.manifest)
    }
}
