//! One file for each engine, with its settings beside its code.

mod ahead;
mod fjall;
mod grouped;
mod lmdb;
mod mainstay;
mod maps;
mod okaywal;
mod redb;
mod registry;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod sled;
mod stripes;
mod wal;

pub use registry::{Entry, all, named};
