//! Why a value that is not in memory cannot be read.

use std::io;

use super::{ColdSeq, Location, ShardId};

/// An entity that is not in memory and cannot be read. It costs its own key, and those that share its page, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shard}, {file}, sector {sector}: {why}")]
#[non_exhaustive]
pub struct Unreadable {
    /// Whose.
    pub shard: ShardId,
    /// The file that has it.
    pub file: ColdSeq,
    /// Where its page begins, in sectors of 512 bytes.
    pub sector: u32,
    /// What is wrong.
    pub why: ColdFault,
}

/// Why a value of a cold file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ColdFault {
    /// The file is not there.
    #[error("the file is missing")]
    Missing,
    /// The page is not what was written.
    #[error("the page is damaged")]
    Damaged,
    /// The disk does not give it now.
    #[error("the disk: {0}")]
    Disk(io::ErrorKind),
    /// It cannot be decoded: see [`StateMachine::upcast_entity`](crate::StateMachine::upcast_entity).
    #[error("the entity cannot be decoded")]
    Undecodable,
}

impl Unreadable {
    /// What lies at this location of a shard, for this reason.
    pub(crate) fn new(shard: ShardId, location: Location, why: ColdFault) -> Self {
        Self { shard, file: location.file, sector: location.sector, why }
    }
}
