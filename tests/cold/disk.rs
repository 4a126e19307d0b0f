//! What lies on a simulated disk, and what its manifest says about that.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay::model::{DataFile, Manifest};
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Memory, Options, RestartBudget, ShardId, SyncPolicy};

use crate::complete;

pub const DIR: &str = "/data";

/// One shard of so little memory that most of what is put goes to cold files.
pub fn small() -> Options {
    Options {
        shards: Some(1),
        segment_bytes: 64 << 10,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(256 << 10),
        ..Options::new(DIR)
    }
}

/// The same where any call may fail: nobody waits for long, and what dies begins anew at once.
pub fn failing() -> Options {
    let pause = Duration::from_millis(1);
    Options {
        sync: SyncPolicy::Always,
        submit_deadline: Duration::from_secs(2),
        sync_deadline: Duration::from_millis(500),
        view_deadline: Duration::from_millis(500),
        restarts: RestartBudget { restarts: 100, pause, pause_max: pause, ..RestartBudget::default() },
        ..small()
    }
}

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
