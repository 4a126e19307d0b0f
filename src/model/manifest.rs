//! The manifest's value and the typed edits that change it.
//!
//! The manifest is the only truth about which files make up the data. This file is the meaning of an edit: applying
//! it to a value either yields the next value or declines and leaves it as it was. How edits reach the disk is
//! `storage::manifest_log`; in which order things happen is `protocol::manifest`.
//!
//! Invariants: epochs and incarnations only go up; a segment number is never registered twice; a sealed segment's end
//! never changes; an edit of an incarnation older than the last that began is declined; whatever a retained version or
//! the next recovery needs is never dropped.

mod cold;
mod edit;
mod history;
mod shard;
#[cfg(all(test, not(loom)))]
#[expect(clippy::unwrap_used, reason = "this is a test")]
mod tests;

use std::collections::BTreeMap;

pub use cold::ColdRecord;
pub use edit::{Applied, DataFile, Declined, Edit, EditOutcome, SpilledFile};
pub use history::{Point, SnapshotRecord, VersionRecord};
use serde::{Deserialize, Serialize};
pub use shard::{Abandoned, Closed, EpochRecord, SegmentRecord, ShardRecord};

use super::{ColdSeq, DirectoryId, SegmentSeq, ShardId, SnapshotSeq, VersionId};

/// How keys are mapped to shards; fixed when the directory is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// 1 = SipHash-1-3 of the key bytes, low 32 bits scaled to the shard count.
    pub id: u32,
    /// Random key of the hash.
    pub key: [u8; 16],
}

/// Everything the directory is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the directory.
    pub directory: DirectoryId,
    /// How keys find their shard.
    pub routing: Routing,
    /// One record a shard, in order.
    pub shards: Vec<ShardRecord>,
    /// Cuts across all shards that can be gone back to.
    pub versions: BTreeMap<VersionId, VersionRecord>,
    /// The smallest version that was never recorded.
    pub next_version: VersionId,
    /// Goes up with every rollback.
    pub timeline: u64,
}

impl Manifest {
    /// The manifest of a directory in which nothing was ever written.
    #[must_use]
    pub fn new(directory: DirectoryId, routing: Routing, shards: u32) -> Self {
        let shard = ShardRecord {
            next_segment: SegmentSeq(1),
            next_snapshot: SnapshotSeq(1),
            next_cold: ColdSeq(1),
            ..ShardRecord::default()
        };
        let shards = vec![shard; shards as usize];
        Self { directory, routing, shards, versions: BTreeMap::new(), next_version: VersionId(1), timeline: 0 }
    }

    /// One shard's record.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> Option<&ShardRecord> {
        self.shards.get(shard.0 as usize)
    }

    /// Applies one edit, or declines and leaves everything as it was.
    ///
    /// # Errors
    /// [`Declined`] says why.
    pub fn apply(&mut self, edit: &Edit) -> Result<Applied, Declined> {
        let dropped = match edit {
            Edit::Mark { version, record } => self.mark(*version, record).map(|()| Vec::new())?,
            Edit::Retire { version } => self.retire(*version).map(|()| Vec::new())?,
            Edit::Outdate { version, newest } => self.outdate(*version, *newest).map(|()| Vec::new())?,
            Edit::Rollback { version, timeline } => self.roll_back(*version, *timeline, &[])?,
            Edit::RollbackSpilled { version, timeline, cold } => self.roll_back(*version, *timeline, cold)?,
            Edit::Prune { shard, base } => self.prune(*shard, *base)?,
            Edit::Adopt { shard, snapshot, record } => {
                self.shard_mut(*shard)?.adopt(*snapshot, record).map(|()| Vec::new())?
            }
            Edit::Discard { shard, snapshot } => {
                self.shard_mut(*shard)?.discard(*snapshot)?;
                vec![DataFile::Snapshot(*shard, *snapshot)]
            }
            Edit::Chill { shard, incarnation, file, bytes, values } => {
                let (incarnation, bytes, values) = (*incarnation, *bytes, *values);
                let record = ColdRecord { incarnation, bytes, values, released: false };
                self.shard_mut(*shard)?.chill(*file, record).map(|()| Vec::new())?
            }
            Edit::Release { shard, incarnation, files } => {
                self.shard_mut(*shard)?.release(*incarnation, files).map(|()| Vec::new())?
            }
            Edit::Claim { shard, incarnation, files } => {
                self.shard_mut(*shard)?.claim(*incarnation, files).map(|()| Vec::new())?
            }
            Edit::Register { shard, .. }
            | Edit::Begin { shard, .. }
            | Edit::Move { shard, .. }
            | Edit::Seal { shard, .. }
            | Edit::Close { shard, .. }
            | Edit::Skip { shard, .. } => {
                let dropped = self.shard_mut(*shard)?.apply(edit)?;
                dropped.into_iter().map(|segment| DataFile::Segment(*shard, segment)).collect()
            }
        };
        Ok(Applied { dropped })
    }

    fn shard_mut(&mut self, shard: ShardId) -> Result<&mut ShardRecord, Declined> {
        self.shards.get_mut(shard.0 as usize).ok_or(Declined::UnknownShard)
    }
}
