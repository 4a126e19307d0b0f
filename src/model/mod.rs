//! Data without behaviour over time: ids, positions, batches, the manifest's value and its edits.
//!
//! Everything else in the crate imports this; it imports nothing of the crate.

mod batch;
mod ids;
mod manifest;
mod policy;

pub use batch::{Batch, Tail};
pub use ids::{DirectoryId, Epoch, Incarnation, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Time, VersionId};
pub use manifest::{
    Abandoned, Applied, Closed, DataFile, Declined, Digest, Edit, EditOutcome, EpochRecord, Manifest, Point, Routing,
    SegmentRecord, ShardRecord, SnapshotRecord, VersionRecord,
};
pub use policy::{Durability, SyncPolicy};
