//! One snapshot: every checksum, and whether it holds the state whose digest was recorded.

use std::path::PathBuf;

use mainstay::SnapshotError;
use mainstay::model::{Digest, Manifest, ShardId, SnapshotRecord, SnapshotSeq};
use mainstay::state::StateDigest;
use mainstay::storage::snapshot::{self, Expected, Scanned};

use super::super::directory::Directory;
use super::super::finding::Finding;

/// A snapshot that the manifest names.
pub struct Named<'a> {
    pub dir: &'a Directory,
    pub manifest: &'a Manifest,
    pub shard: ShardId,
    pub number: SnapshotSeq,
    pub record: &'a SnapshotRecord,
}

impl Named<'_> {
    /// Verifies every checksum.
    pub fn verify(&self) -> Result<(), Finding> {
        snapshot::verify(&self.dir.disk, &self.path(), &self.expected()).map(drop).map_err(|error| self.finding(&error))
    }

    /// Verifies every checksum and takes the digest of what it holds.
    pub fn scan(&self) -> Result<Scanned, Finding> {
        self.read().map_err(|error| self.finding(&error))
    }

    /// The same, for whoever has to know whether an older one may stand in for it: it must hold what its record says.
    pub fn scan_recorded(&self) -> Result<Scanned, SnapshotError> {
        let scanned = self.read()?;
        scanned.compare(&self.path(), self.record.digest).map(|()| scanned)
    }

    /// Holds what it holds against what was recorded.
    pub fn compare(&self, scanned: &Scanned, recorded: impl IntoIterator<Item = Digest>) -> Result<(), Finding> {
        scanned.compare(&self.path(), recorded).map_err(|error| self.finding(&error))
    }

    /// All that the manifest has recorded of the state that it should hold.
    pub fn recorded(&self) -> impl Iterator<Item = Digest> {
        self.record.digest.into_iter().chain(self.manifest.digests_at(self.shard, self.record.end.lsn))
    }

    fn read(&self) -> Result<Scanned, SnapshotError> {
        snapshot::scan::<StateDigest>(&self.dir.disk, &self.dir.layout, &self.expected())
    }

    fn path(&self) -> PathBuf {
        self.dir.layout.snapshot(self.shard, self.number)
    }

    fn expected(&self) -> Expected {
        Expected::recorded(self.manifest.directory, self.shard, self.number, self.record)
    }

    /// What is wrong with it, as a line.
    pub fn finding(&self, error: &SnapshotError) -> Finding {
        Finding::from(error).before(self.record.end.lsn.0).of(self.shard)
    }
}
