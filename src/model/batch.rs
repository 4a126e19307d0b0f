//! What a shard applied in one turn, as the log carries it, and the end of a log.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Lsn, SegmentSeq, Time};

/// Commands that share one logged time, with dense lsns from `first`. Their encoded bytes lie one after the other, so
/// that a batch is freed in one piece by whichever thread is done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `max(wall clock, last logged time)` when the shard took the batch.
    pub time: Time,
    /// [`StateMachine::SCHEMA`](crate::StateMachine::SCHEMA) of the code that encoded the commands.
    pub schema: u32,
    /// Lsn of the first command.
    pub first: Lsn,
    /// Length of each encoded command.
    pub lengths: Vec<u32>,
    /// The encoded commands.
    pub bytes: Bytes,
}

impl Batch {
    /// The lsn after the last command.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.first.plus(self.lengths.len() as u64)
    }

    /// Has it no commands?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The encoded commands, one by one.
    pub fn commands(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.bytes;
        self.lengths.iter().map(move |length| {
            let (command, after) = rest.split_at_checked(*length as usize).unwrap_or_default();
            rest = after;
            command
        })
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
