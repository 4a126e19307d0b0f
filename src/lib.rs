//! An embeddable, sharded, durable state-machine runtime made of supervised actors.
//!
//! An application writes a deterministic [`StateMachine`] and opens a directory. Each shard of the keys has a
//! write-ahead log of its own with group commit; readers take immutable [`View`]s and never wait for a writer; after
//! `kill -9` or a power cut everything that was acknowledged is there again.
//!
//! ```
//! use mainstay::{Abort, At, Options, Runtime, StateMachine, Txn};
//! use std::borrow::Cow;
//!
//! struct Counters;
//!
//! impl StateMachine for Counters {
//!     type Command = (String, u64); // logged, and replayed after a crash
//!     type Entity = u64; // stored under a key
//!     type Reply = u64;
//!     const SCHEMA: u32 = 1;
//!
//!     fn key<'a>(&self, (name, _): &'a (String, u64)) -> Cow<'a, [u8]> {
//!         Cow::Borrowed(name.as_bytes())
//!     }
//!
//!     fn apply(&self, _: At, state: &mut Txn<'_, u64>, (name, add): (String, u64)) -> Result<u64, Abort> {
//!         let sum = state.get(name.as_bytes())?.map_or(0, |sum| *sum) + add;
//!         state.put(name.as_bytes(), sum);
//!         Ok(sum)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let dir = tempfile::tempdir()?; // any directory of a local file system
//!     let runtime = Runtime::open(Counters, Options::new(dir.path())).await?;
//!     let receipt = runtime.submit(("apples".to_owned(), 3)).await?; // synced when it returns
//!     assert_eq!(receipt.reply, 3);
//!     let view = runtime.view().await; // shows every receipt given so far
//!     assert_eq!(view.get(b"apples")?.as_deref(), Some(&3));
//!     drop((view, runtime)); // no shutdown: as far as the data is concerned, a crash
//!     let runtime = Runtime::open(Counters, Options::new(dir.path())).await?;
//!     assert_eq!(runtime.latest().get(b"apples")?.as_deref(), Some(&3));
//!     Ok(())
//! }
//! ```
//!
//! # Where to go on
//! - [`StateMachine`]: what to write, and what `apply` may depend on. [`kv`] is a ready-made one.
//! - [`Runtime`]: submit, view, ask for outcomes, shut down. [`Root`] is the same as an actor under the application's
//!   own supervisor.
//! - [`Runtime::snapshot`], [`Runtime::mark`], [`Runtime::rollback`], [`Runtime::backup`]: a short log, cuts across all
//!   shards, the way back, and a copy. [`SnapshotOptions`] and [`VersionOptions`] say when and for how long.
//! - [`Options`]: every number, its default and its range. [`SyncPolicy`]: what a [`Receipt`] promises.
//! - [`SubmitError`]: what a command without a receipt has come to. [`NotExecuted`] is certain; after `Unconfirmed` ask
//!   [`Runtime::outcome`].
//! - The README has limits, disk use and status, ARCHITECTURE.md the formats, the protocols and the failure policy.
//!
//! # Features
//! `sim` adds the simulated disk (`mainstay::sim`) for tests of crashes and failures. `internals` opens private modules
//! to the crate's own models and benches; semantic versioning does not cover it. `cli` builds the program `mainstay`,
//! which looks at directories. `console` is for one example.
//!
//! Built with `--cfg loom` the crate has no actors and so no [`Runtime`]: only what the models need.

#![cfg_attr(
    not(all(feature = "internals", not(loom))),
    allow(dead_code, unused_imports, reason = "some of it is there for models, explorers or actors only")
)]

// Private, but for loom models, explorers and benches. Spelled out twice, because rustfmt does not look into macros.
#[cfg(any(loom, feature = "internals"))]
#[doc(hidden)]
pub mod model;
#[cfg(any(loom, feature = "internals"))]
#[doc(hidden)]
pub mod protocol;
#[cfg(any(loom, feature = "internals"))]
#[doc(hidden)]
pub mod state;
#[cfg(any(loom, feature = "internals"))]
#[doc(hidden)]
pub mod storage;
#[cfg(any(loom, feature = "internals"))]
#[doc(hidden)]
pub mod sync;

#[cfg(not(any(loom, feature = "internals")))]
mod model;
#[cfg(not(any(loom, feature = "internals")))]
mod protocol;
#[cfg(not(any(loom, feature = "internals")))]
mod state;
#[cfg(not(any(loom, feature = "internals")))]
mod storage;
#[cfg(not(any(loom, feature = "internals")))]
mod sync;

#[cfg(not(loom))]
mod actor;
mod config;
mod error;
#[cfg(not(loom))]
pub mod kv;
mod machine;
#[cfg(not(loom))]
mod runtime;

#[cfg(not(loom))]
pub use actor::root::{Root, RootArguments, RootMessage};
pub use config::{Memory, MemoryLimits, Options, Poison, RestartBudget, SnapshotOptions, VersionOptions};
pub use error::{
    BackupError, BackupFailed, CodecError, ColdError, ColdFault, DiskError, DurableError, LogError, ManifestError,
    NoSnapshot, NotExecuted, OpenError, OptionsError, ReadError, ShutdownError, SnapshotError, SnapshotFailed,
    SubmitError, Unreadable, VersionError,
};
pub use machine::{Abort, At, StateMachine};
pub use model::{Durability, Epoch, Lsn, Position, ShardId, SyncPolicy, Time, VersionId};
#[cfg(not(loom))]
pub use ractor;
#[cfg(not(loom))]
pub use runtime::{
    LostRange, Outcome, Receipt, RecoveryReport, Runtime, ShardRecovery, ShardStats, SnapshotStats, Stats, Version,
};
pub use state::{EntityRef, ReadEntry, ScanPage, Txn, View};

/// The encoding of commands and entities, for `upcast_command`, `upcast_entity` and tests: bincode 2 in its standard
/// configuration.
pub mod codec {
    pub use crate::storage::codec::{BYTES_MAX, CodecError, decode, encode};
}

/// The simulated disk: loses, tears and fails on request.
#[cfg(feature = "sim")]
pub mod sim {
    pub use crate::storage::disk::sim::*;
}
