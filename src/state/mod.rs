//! In-memory state of a shard: the persistent map and what is built on it.
//!
//! One writer (the shard's actor) owns the working map; everybody else sees immutable [`Root`]s of it, whose clones are
//! O(1) and share structure. No I/O, no time, and no lock of its own.

mod cold;
mod digest;
mod hash;
pub mod map;
mod overlap;
mod root;
mod thaw;
mod txn;
pub mod victims;
mod view;

pub(crate) use cold::{ColdEntity, Looked};
pub use cold::{ColdUse, ReadCold, read_cold};
pub use digest::StateDigest;
pub use hash::KeyHasher;
pub use map::EntityRef;
pub use overlap::{Overlap, Streamed};
pub use root::{Bury, Root};
pub use thaw::{Thaw, Thawed};
pub use txn::{Change, Scratch, Txn};
pub(crate) use view::Pass;
pub use view::{ReadEntry, ReadError, ScanPage, View};
