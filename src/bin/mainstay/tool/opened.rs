//! A directory that is to be changed: locked, so that nobody else has it open.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use mainstay::model::Manifest;
use mainstay::storage::disk::{DirectoryLock, Disk};
use mainstay::storage::manifest_log::{self, ManifestLog};
use mainstay::sync::Arc;

use super::Failure;
use super::directory::Directory;
use super::finding::{Finding, Kind};

/// A locked directory.
#[derive(Debug)]
pub struct Opened {
    /// Its manifest, to be appended to.
    pub log: ManifestLog,
    /// What it says.
    pub manifest: Manifest,
    /// The last edit was cut short: the next one must go to a new generation.
    pub torn: bool,
    _lock: Box<dyn DirectoryLock>,
}

/// A runtime that has just ended may have the lock for a moment longer.
const ATTEMPTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Locks a directory and reads its manifest.
///
/// # Errors
/// Somebody has the lock, or the manifest cannot be read.
pub fn open(dir: &Directory, disk: &Arc<dyn Disk>) -> Result<Opened, Failure> {
    // No lock file is made where nothing can be done.
    dir.manifest()?;
    let (root, path) = (dir.layout.root(), dir.layout.lock());
    let failed = |error: &io::Error| Failure::Found(Finding::new(Kind::Unreadable, &path, &error.to_string()));
    if let Some(kind) = disk.refused_file_system(root).map_err(|error| failed(&error))? {
        return Err(Failure::Refused(format!("the directory is on a file system that must not hold it: {kind}")));
    }
    let mut lock = disk.lock(&path);
    for _ in 1..ATTEMPTS {
        if !lock.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            break;
        }
        sleep(PAUSE);
        lock = disk.lock(&path);
    }
    let lock = lock.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Failure::Refused("somebody has the directory open: the lock is held".to_owned()),
        _ => failed(&error),
    })?;
    let opened = manifest_log::open(disk, &dir.layout).map_err(|error| Failure::Found(Finding::from(&error)))?;
    Ok(Opened { log: opened.log, manifest: opened.manifest, torn: opened.torn, _lock: lock })
}
