//! Data without behaviour over time: ids, positions, batches, the manifest's value and its edits.
//!
//! Everything else in the crate imports this; it imports nothing of the crate.

mod batch;
mod ids;
mod manifest;
mod policy;

pub use batch::{Batch, Tail};
pub use ids::{DirectoryId, Epoch, Incarnation, Lsn, Position, SegmentSeq, ShardId, Time};
pub use manifest::{
    Applied, Closed, Declined, Edit, EditOutcome, EpochRecord, Manifest, Routing, SegmentRecord, ShardRecord,
};
pub use policy::{Durability, SyncPolicy};
