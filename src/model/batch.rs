//! What a shard applied in one turn, as the log carries it, and the end of a log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Lsn, SegmentSeq, Time};

/// Commands that share one logged time: the encoded bytes in order, with dense lsns from `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `max(wall clock, last logged time)` when the shard took the batch.
    pub time: Time,
    /// [`StateMachine::SCHEMA`](crate::StateMachine::SCHEMA) of the code that encoded the commands.
    pub schema: u32,
    /// Lsn of the first command.
    pub first: Lsn,
    /// The encoded commands.
    pub commands: Vec<Bytes>,
}

impl Batch {
    /// The lsn after the last command.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.first.plus(self.commands.len() as u64)
    }
}

/// Where a log ends: everything below is in it, nothing above is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The file that holds the end.
    pub segment: SegmentSeq,
    /// The byte after the last frame, rounded up to where a next one would start.
    pub offset: u64,
    /// The lsn after the last command.
    pub end: Lsn,
    /// Hash of the last frame, or of the segment's header if it has none.
    pub hash: [u8; 32],
}
