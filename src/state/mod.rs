//! In-memory state of a shard: the persistent map and what is built on it.

mod map;
