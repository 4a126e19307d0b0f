//! In-memory state of a shard: the persistent map and what is built on it.
//!
//! One writer (the shard's actor) owns the working map; everybody else sees immutable [`Root`]s of it, whose clones are
//! O(1) and share structure. No locks here, no I/O, no time.

mod digest;
mod hash;
pub mod map;
mod root;
mod txn;
mod view;

pub use digest::StateDigest;
pub use hash::KeyHasher;
pub use map::EntityRef;
pub use root::{Bury, Root};
pub use txn::{Change, Scratch, Txn};
pub use view::{ReadError, ScanPage, View};
