//! The protocols as pure state machines: events in, effects out.
//!
//! No async, lock, channel, clock, random number, file, ractor, tokio or flume here: the actor shells feed a core and
//! carry out what it says, and `tests/` and `loom/` do the same with every order of events that they can think of.
//!
//! | core | decides |
//! |---|---|
//! | [`commit`] | in which order a WAL writer writes, syncs, publishes and answers |
//! | [`manifest`] | when an edit is in the manifest, and what its requester is told |
//! | [`restart`] | when a shard's actors are revoked, recovered, begun anew or fenced |
//! | [`cut`] | how a version comes to be, over all shards |
//! | [`hold`] | one shard's part in that |
//! | [`rollback`] | in which order files, manifest and shards go back to a version |
//! | [`snapshot`] | when a shard's snapshot is taken, adopted, given up |
//! | [`spill`] | when values go from memory to cold files, when these are compacted and released |
//! | [`headroom`] | when a shard has too much in memory, who waits for a spill, what may come back |
//! | [`shutdown`] | who is drained after whom, and when waiting ends |
//!
//! What two threads touch without a message in between (doorbell, claim, tenure, published root) is in
//! [`sync`](crate::sync).

pub mod commit;
pub mod cut;
pub mod headroom;
pub mod hold;
pub mod manifest;
pub mod restart;
pub mod rollback;
pub mod shutdown;
pub mod snapshot;
pub mod spill;
