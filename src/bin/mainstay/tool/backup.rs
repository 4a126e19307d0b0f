//! `mainstay backup`: another directory with a version, also of a directory that is open.
//!
//! Whoever has it open may retire the version, or replace files that it needs, while they are copied. So what looks
//! wrong is tried again with the manifest as it is then, and counts only if it is wrong in the same way.

use std::io::{self, Write};
use std::path::Path;

use mainstay::model::Manifest;
use mainstay::state::StateDigest;
use mainstay::storage::backup::{Copied, back_up};
use mainstay::storage::disk::Disk;
use mainstay::storage::error::IoContext;
use mainstay::storage::layout::{Layout, parse_cold, parse_segment, parse_snapshot};
use mainstay::sync::Arc;
use mainstay::{BackupError, DiskError, VersionId};

use super::arguments::Backup;
use super::directory::{Directory, shards};
use super::finding::{Finding, Kind};
use super::{Exit, Failure, amount};

/// Makes the backup and says what it has taken.
pub fn run(dir: &Directory, disk: &Arc<dyn Disk>, asked: &Backup, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut is_first = true;
    // What another attempt could make good is an `Err` for `settled`, and what it could not is one inside of `Ok`.
    let made = dir.settled(&dir.manifest()?, |manifest| {
        let is_first = std::mem::replace(&mut is_first, false);
        attempt(dir, disk, asked, manifest, is_first)
            .map_or_else(|failed| failed.sorted(dir, asked), |made| Ok(Ok(made)))
    });
    dir.disk.finish();
    let unsettled = || Finding::new(Kind::Unreadable, dir.layout.root(), "it changes too fast");
    let made = made.map_err(|found| Failure::Found(found.into_iter().next().unwrap_or_else(unsettled)))?;
    let (version, Copied { linked, copied, bytes, .. }) = made?;
    writeln!(out, "version {}: {linked} files linked, {copied} copied ({bytes} bytes)", version.0)?;
    Ok(Exit::Sound)
}

/// Why an attempt came to nothing.
enum Failed {
    /// There is no such version.
    Refused(String),
    /// Taking back what the attempt before has made.
    Clearing(DiskError),
    /// A backup.
    Backup(BackupError),
}

fn attempt(
    dir: &Directory,
    disk: &Arc<dyn Disk>,
    asked: &Backup,
    manifest: &Manifest,
    is_first: bool,
) -> Result<(VersionId, Copied), Failed> {
    let newest = || manifest.versions.keys().next_back().copied();
    let version = asked.version.map(VersionId).or_else(newest);
    let version = version.ok_or_else(|| Failed::Refused("there is no version to back up".to_owned()))?;
    if !manifest.versions.contains_key(&version) {
        let there: Vec<_> = manifest.versions.keys().map(|version| version.0.to_string()).collect();
        let since = if is_first { "" } else { " any more: it was retired while it was copied" };
        return Err(Failed::Refused(format!("there is no {version}{since}; there are: {}", there.join(" "))));
    }
    if !is_first {
        clear(disk.as_ref(), &Layout::new(&asked.dest), manifest).map_err(Failed::Clearing)?;
    }
    let needed = amount::version(dir, manifest, version);
    dir.disk.expect(needed.snapshots + needed.logs + needed.last);
    let copied = back_up::<StateDigest>(disk, &dir.layout, manifest, version, &asked.dest).map_err(Failed::Backup)?;
    Ok((version, copied))
}

impl Failed {
    /// Is it something about the directory that is backed up, which may be another by now? What is wrong with the new
    /// one is no damage, and another attempt would not make it good.
    fn sorted<T>(self, dir: &Directory, asked: &Backup) -> Result<Result<T, Failure>, Vec<Finding>> {
        let is_of_source = |path: &Path| path.starts_with(dir.layout.root()) && !path.starts_with(&asked.dest);
        let of_new = |finding: Finding| Ok(Err(Failure::Found(Finding { kind: Kind::Unreadable, ..finding })));
        match self {
            Self::Backup(BackupError::Log(error)) => Err(vec![Finding::from(&error)]),
            Self::Backup(BackupError::Snapshot(error)) => Err(vec![Finding::from(&error)]),
            Self::Backup(BackupError::Disk(error)) if is_of_source(&error.path) => Err(vec![Finding::from(&error)]),
            Self::Backup(BackupError::Disk(error)) | Self::Clearing(error) => of_new(Finding::from(&error)),
            Self::Backup(BackupError::Manifest(error)) => of_new(Finding::from(&error)),
            Self::Backup(error) => Ok(Err(Failure::Refused(error.to_string()))),
            Self::Refused(reason) => Ok(Err(Failure::Refused(reason))),
        }
    }
}

/// Takes back what an attempt has made. It found the directory empty, so nothing in there is anybody else's.
fn clear(disk: &dyn Disk, made: &Layout, manifest: &Manifest) -> Result<(), DiskError> {
    for dir in shards(manifest).map(|shard| made.shard(shard)) {
        let names = match disk.list(&dir) {
            // It did not come so far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.context("list", &dir)?,
        };
        let is_made =
            |name: &str| parse_segment(name).is_some() || parse_snapshot(name).is_some() || parse_cold(name).is_some();
        for name in names.iter().filter(|name| is_made(name)) {
            let path = dir.join(name);
            disk.remove(&path).context("remove", &path)?;
        }
    }
    Ok(())
}
