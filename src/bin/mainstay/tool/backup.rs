//! `mainstay backup`: another directory with a version, also of a directory that is open.

use std::io::Write;

use mainstay::storage::backup::back_up;
use mainstay::storage::disk::Disk;
use mainstay::sync::Arc;
use mainstay::{BackupError, VersionId};

use super::arguments::Backup;
use super::directory::Directory;
use super::{Exit, Failure};

/// Makes the backup and says what it has taken.
pub fn run(dir: &Directory, disk: &Arc<dyn Disk>, asked: &Backup, out: &mut dyn Write) -> Result<Exit, Failure> {
    let manifest = dir.manifest()?;
    let newest = manifest.versions.keys().next_back().copied();
    let none = || Failure::Refused("there is no version to back up".to_owned());
    let version = asked.version.map(VersionId).or(newest).ok_or_else(none)?;
    match back_up(disk, &dir.layout, &manifest, version, &asked.dest) {
        Ok(copied) => {
            let (linked, files, bytes) = (copied.linked, copied.copied, copied.bytes);
            writeln!(out, "version {}: {linked} files linked, {files} copied ({bytes} bytes)", version.0)?;
            Ok(Exit::Sound)
        }
        Err(error @ (BackupError::Log(_) | BackupError::Snapshot(_))) => {
            writeln!(out, "{error}")?;
            Ok(Exit::Damage)
        }
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}
