//! Data without behaviour over time: ids, positions, batches, the manifest's value and its edits.
//!
//! Everything else in the crate imports this; it imports nothing of the crate.

mod batch;
mod digest;
mod ids;
mod location;
mod manifest;
mod policy;
mod unreadable;

pub use batch::{Batch, Tail};
pub use digest::{Digest, TakeDigest};
pub use ids::{
    ColdSeq, DirectoryId, Epoch, Incarnation, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Time, VersionId,
};
pub use location::Location;
pub use manifest::{
    Abandoned, Applied, Closed, ColdRecord, DataFile, Declined, Edit, EditOutcome, EpochRecord, Manifest, Point,
    Routing, SegmentRecord, ShardRecord, SnapshotRecord, SpilledFile, VersionRecord,
};
pub use policy::{Durability, SyncPolicy};
pub use unreadable::{ColdFault, Unreadable};
