//! One snapshot: every checksum, and whether it holds the state whose digest was recorded.

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
        let path = self.dir.layout.snapshot(self.shard, self.number);
        snapshot::verify(&self.dir.disk, &path, &self.expected()).map(drop).map_err(|error| self.finding(&error))
    }

    /// Verifies every checksum and takes the digest of what it holds.
    pub fn scan(&self) -> Result<Scanned, Finding> {
        let scanned = snapshot::scan::<StateDigest>(&self.dir.disk, &self.dir.layout, &self.expected());
        scanned.map_err(|error| self.finding(&error))
    }

    /// Holds what it holds against what was recorded.
    pub fn compare(&self, scanned: &Scanned, recorded: impl IntoIterator<Item = Digest>) -> Result<(), Finding> {
        let path = self.dir.layout.snapshot(self.shard, self.number);
        scanned.compare(&path, recorded).map_err(|error| self.finding(&error))
    }

    /// All that the manifest has recorded of the state that it should hold.
    pub fn recorded(&self) -> impl Iterator<Item = Digest> {
        self.record.digest.into_iter().chain(self.manifest.digests_at(self.shard, self.record.end.lsn))
    }

    fn expected(&self) -> Expected {
        Expected::recorded(self.manifest.directory, self.shard, self.number, self.record)
    }

    fn finding(&self, error: &SnapshotError) -> Finding {
        Finding::from(error).before(self.record.end.lsn.0).of(self.shard)
    }
}
