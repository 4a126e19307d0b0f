//! Another directory with a version's files: a backup, which opens as a runtime.
//!
//! Files that nobody will write again (snapshots, cold files, and segments that another one follows) get a second name
//! where the file systems allow it, and are copied elsewhere. Of the segment in which the version lies only what is in
//! front of it is copied. The manifest comes last: until it is there, the new directory does not open.
//!
//! Invariants: nothing of the source changes; no byte of a file with two names changes ever again, on either side,
//! because no writer opens a segment that it has not made.

use std::path::Path;

use super::chain;
use super::disk::Disk;
use super::error::{DiskError, IoContext, LogError, ManifestError, SnapshotError};
use super::layout::Layout;
use super::manifest_log;
use super::recovery;
use super::snapshot::{self, Expected};
use crate::model::{
    Digest, Lsn, Manifest, Point, SegmentSeq, ShardId, ShardRecord, SnapshotRecord, SnapshotSeq, TakeDigest, VersionId,
};
use crate::sync::Arc;

/// Copied in pieces of this size.
const PIECE_BYTES: usize = 1024 * 1024;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A call failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The directory holds something already.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: std::path::PathBuf,
    },
    /// There is no such version.
    #[error("{0} is not there")]
    NoVersion(VersionId),
    /// The log that the version needs cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshot that the version needs cannot be read, or does not hold the state whose digest was recorded.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The backup's manifest could not be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What a backup has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Files that have a second name now.
    pub linked: u64,
    /// Files that were copied, and their bytes.
    pub copied: u64,
    /// See `copied`.
    pub bytes: u64,
}

/// Makes `to`, which must not exist or be empty, a directory that holds the version and nothing else. Every snapshot
/// and every frame in it was verified. Durable when it returns `Ok`; after an error what was made is left, without a
/// manifest. Empty directories of shards do no harm: whoever tries again need only take back the files.
///
/// Of every snapshot that is brought over the digest is taken, and held against all that were recorded of that state:
/// by the manifest, the file and the versions that lie where it ends. If the manifest has none, the backup's records
/// the one that was taken, under the schema that the snapshot says its entities are encoded with: that is what it was
/// taken of, and nobody compares it under another one. The version itself is recorded as it was: what the log between
/// the snapshot and its point makes only the application knows.
///
/// # Errors
/// [`BackupError`].
pub fn back_up<D: TakeDigest>(
    disk: &Arc<dyn Disk>,
    from: &Layout,
    manifest: &Manifest,
    version: VersionId,
    to: &Path,
) -> Result<Copied, BackupError> {
    let record = manifest.versions.get(&version).ok_or(BackupError::NoVersion(version))?;
    let to = Layout::new(to);
    make_empty(disk.as_ref(), &to, manifest.shards.len() as u32)?;
    let mut copying = Copying { disk: disk.as_ref(), from, to: &to, manifest, done: Copied::default() };
    let mut shards = Vec::new();
    for (shard, point) in (0..).map(ShardId).zip(&record.points) {
        shards.push(copying.shard::<D>(shard, *point)?);
    }
    let copied = copying.done;
    let versions = [(version, record.clone())].into();
    let backed_up = Manifest { shards, versions, ..manifest.clone() };
    manifest_log::create(disk, &to, &backed_up)?;
    if let Some(parent) = to.root().parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        disk.sync_dir(parent).context("sync", parent)?;
    }
    Ok(copied)
}

fn make_empty(disk: &dyn Disk, to: &Layout, shards: u32) -> Result<(), BackupError> {
    let root = to.root();
    disk.create_dir(root).context("create", root)?;
    let shards: Vec<_> = (0..shards).map(|shard| to.shard(ShardId(shard))).collect();
    for path in disk.list(root).context("list", root)?.iter().map(|name| root.join(name)) {
        if !shards.contains(&path) || !disk.list(&path).context("list", &path)?.is_empty() {
            return Err(BackupError::NotEmpty { path: root.to_owned() });
        }
    }
    Ok(())
}

struct Copying<'a> {
    disk: &'a dyn Disk,
    from: &'a Layout,
    to: &'a Layout,
    manifest: &'a Manifest,
    done: Copied,
}

impl Copying<'_> {
    /// Brings a shard's files over, and says what the backup's manifest has to say about it.
    fn shard<D: TakeDigest>(&mut self, shard: ShardId, point: Point) -> Result<ShardRecord, BackupError> {
        let dir = self.to.shard(shard);
        self.disk.create_dir(&dir).context("create", &dir)?;
        let mut record = self.manifest.shard(shard).cloned().unwrap_or_default();
        let base = record.snapshots_up_to(point.end.lsn).next().map(|(number, snapshot)| (number, snapshot.end.lsn));
        let from = base.map_or(Lsn::FIRST, |(_, end)| end);
        record.snapshots.retain(|number, _| base.is_some_and(|(base, _)| base == *number));
        for (number, snapshot) in &mut record.snapshots {
            let taken = self.snapshot::<D>(shard, *number, snapshot)?;
            snapshot.digest = snapshot.digest.or(taken);
        }
        self.cold(shard, &mut record)?;
        self.log(shard, point, from, &mut record)?;
        record.closed = None;
        record.epochs.retain(|epoch| epoch.epoch <= point.end.epoch);
        if let Some(last) = record.epochs.last_mut() {
            last.end = Some(point.end.lsn);
        }
        self.disk.sync_dir(&dir).context("sync", &dir)?;
        Ok(record)
    }

    /// Brings a snapshot over that holds what was recorded, and returns its digest.
    fn snapshot<D: TakeDigest>(
        &mut self,
        shard: ShardId,
        number: SnapshotSeq,
        record: &SnapshotRecord,
    ) -> Result<Option<Digest>, BackupError> {
        let path = self.from.snapshot(shard, number);
        let expected = Expected::recorded(self.manifest.directory, shard, number, record);
        let scanned = snapshot::scan::<D>(self.disk, self.from, &expected)?;
        scanned.compare(&path, record.digest.into_iter().chain(self.manifest.digests_at(shard, record.end.lsn)))?;
        self.link_or_copy(&path, &self.to.snapshot(shard, number))?;
        Ok(scanned.digest)
    }

    /// Brings the cold files over that the snapshot refers to, whose values were all read by now.
    fn cold(&mut self, shard: ShardId, record: &mut ShardRecord) -> Result<(), BackupError> {
        let needed: Vec<_> = record.snapshots.values().flat_map(|snapshot| snapshot.cold.clone()).collect();
        record.cold.retain(|file, _| needed.contains(file));
        for file in record.cold.keys() {
            self.link_or_copy(&self.from.cold(shard, *file), &self.to.cold(shard, *file))?;
        }
        Ok(())
    }

    /// The log from the snapshot to the point. At least the file in which the point lies: the next life follows it.
    fn log(&mut self, shard: ShardId, point: Point, from: Lsn, record: &mut ShardRecord) -> Result<(), BackupError> {
        let Some(tail) = point.tail else {
            record.segments.clear();
            record.base = None;
            return Ok(());
        };
        let verify = &mut |_, _| Ok(());
        recovery::recover_up_to(self.disk, self.from, self.manifest, shard, (from, tail), verify)?;
        // Without a snapshot also the files that have no command.
        let from = if record.snapshots.is_empty() { Lsn(0) } else { from };
        let links = chain::back_from(self.disk, self.from, self.manifest, shard, tail, from)?;
        let kept: Vec<SegmentSeq> = links.iter().map(|link| link.header.segment).collect();
        record.segments.retain(|segment, _| kept.contains(segment));
        record.base = links.first().map(|link| link.header.follows).filter(|follows| follows.segment > SegmentSeq(0));
        for link in &links {
            let to = self.to.segment(shard, link.header.segment);
            if link.header.segment == tail.segment {
                self.copy(&link.path, &to, tail.offset)?;
            } else {
                self.link_or_copy(&link.path, &to)?;
            }
        }
        if let Some(last) = record.segments.get_mut(&tail.segment) {
            last.valid_to = Some(tail);
        }
        Ok(())
    }

    fn link_or_copy(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        if self.disk.link(from, to).is_ok() {
            self.done.linked += 1;
            return Ok(());
        }
        self.copy(from, to, u64::MAX)
    }

    /// Copies so much of a file, and syncs it.
    fn copy(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<(), BackupError> {
        let source = self.disk.open(from).context("open", from)?;
        let target = self.disk.create(to).context("create", to)?;
        let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
        while at < bytes {
            let wanted = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let piece = piece.get_mut(..wanted).unwrap_or_default();
            let read = source.read_at(piece, at).context("read", from)?;
            target.write_all_at(piece.get(..read).unwrap_or_default(), at).context("write", to)?;
            at += read as u64;
            if read < wanted {
                break;
            }
        }
        target.sync().context("sync", to)?;
        self.done.copied += 1;
        self.done.bytes += at;
        Ok(())
    }
}
