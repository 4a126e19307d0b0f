//! What lies on a simulated disk, and what its manifest says about that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay::ShardId;
use mainstay::model::{DataFile, Manifest};
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;

use crate::complete;

pub const DIR: &str = "/data";

pub fn is_cold(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pages")
}

/// What a disk's manifest says.
pub fn manifest(disk: &SimDisk) -> Manifest {
    let disk: Arc<dyn Disk> = Arc::new(disk.after_kill());
    manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap().manifest
}

/// Files of shards that the manifest does not name. An opening removes them; what its life drops may stay until the
/// next one.
pub fn orphans(disk: &SimDisk) -> BTreeSet<PathBuf> {
    let (manifest, layout) = (manifest(disk), Layout::new(Path::new(DIR)));
    let mut named = BTreeSet::new();
    for (shard, record) in (0..).map(ShardId).zip(&manifest.shards) {
        named.extend(record.segments.keys().map(|segment| layout.file(DataFile::Segment(shard, *segment))));
        named.extend(record.snapshots.keys().map(|snapshot| layout.file(DataFile::Snapshot(shard, *snapshot))));
        named.extend(record.cold.keys().map(|file| layout.file(DataFile::Cold(shard, *file))));
    }
    let files = disk.files().into_keys().filter(|path| path.parent().is_some_and(|dir| dir != Path::new(DIR)));
    files.filter(|path| !named.contains(path)).collect()
}

/// What the manifest names and is not there or not whole; and what was an orphan before an opening, and is there still.
pub fn at_rest(disk: &SimDisk, before: &BTreeSet<PathBuf>) -> Vec<String> {
    let mut wrong = complete::check(&disk.after_kill(), &Layout::new(Path::new(DIR)), &manifest(disk));
    wrong.extend(orphans(disk).intersection(before).map(|path| format!("{} is nobody's", path.display())));
    wrong
}
