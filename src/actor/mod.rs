//! The actors: thin ractor shells that feed a protocol core, carry out its effects and own the I/O.
//!
//! ```text
//! root -+- manifest_keeper              own thread; sole writer of the manifest
//!       +- rewrite_coordinator          cuts, rewrites and rollbacks across shards; restarts alone
//!       +- shard_supervisor (one each) -+- shard        owns the working state, applies commands
//!                                       +- wal_writer   own thread; writes, syncs, publishes, answers
//!                                       +- spiller      has values written to cold files, on a thread; ends with them
//!                                       +- snapshotter  takes snapshots, each on a thread of its own; restarts alone
//! ```
//! Two lanes: the *control lane* is the ractor mailbox, for few, typed messages; the *data lane* is a bounded queue
//! beside it with a doorbell ([`lane`](crate::sync::lane)), drained in one turn. No protocol decisions here: a shell
//! that needs one lacks an event in its core.

pub(crate) mod chilling;
pub(crate) mod clock;
pub(crate) mod cold_files;
mod cold_readers;
pub(crate) mod credits;
pub(crate) mod keeper;
pub(crate) mod looking_back;
pub(crate) mod manifest_keeper;
mod naming;
pub(crate) mod opening;
pub(crate) mod overdue;
pub(crate) mod overlap;
pub(crate) mod pins;
pub(crate) mod preparer;
pub(crate) mod progress;
pub(crate) mod reaper;
pub(crate) mod replay;
pub(crate) mod returns;
pub(crate) mod rewrite_coordinator;
pub(crate) mod root;
pub(crate) mod shard;
pub(crate) mod shard_supervisor;
pub(crate) mod slot;
pub(crate) mod snapshotter;
pub(crate) mod spiller;
mod thread;
pub(crate) mod upkeep;
pub(crate) mod wal_writer;

/// Actor names are global to the process, so each runtime has a prefix of its own.
pub(crate) use naming::process_unique_name;
