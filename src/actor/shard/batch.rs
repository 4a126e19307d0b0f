//! A batch in the making: what one turn of the shard has applied and will hand over together.

use crate::actor::credits::{Credits, Held};
use crate::actor::slot::{Applied, Submission};
use crate::machine::StateMachine;
use crate::model::{Lsn, Time};
use crate::protocol::commit::Limits;
use crate::storage::frame;
use crate::sync::Arc;

/// So long is a command, for a guess at what a batch will need.
const EXPECTED_BYTES: usize = 128;

/// See the module.
pub(super) struct NewBatch<M: StateMachine> {
    pub(super) time: Time,
    pub(super) first: Lsn,
    pub(super) lengths: Vec<u32>,
    pub(super) bytes: Vec<u8>,
    pub(super) callers: Vec<Applied<M>>,
    pub(super) held: Held,
    pub(super) taken: usize,
}

impl<M: StateMachine> NewBatch<M> {
    /// An empty one, with room for about so many commands.
    pub(super) fn new(time: Time, first: Lsn, expected: usize, credits: &Arc<Credits>) -> Self {
        Self {
            time,
            first,
            lengths: Vec::with_capacity(expected),
            bytes: Vec::with_capacity(expected * EXPECTED_BYTES),
            callers: Vec::with_capacity(expected),
            held: Held::new(Arc::clone(credits)),
            taken: 0,
        }
    }

    /// Is there room for this command?
    pub(super) fn fits(&self, next: &Submission<M>, limits: &Limits) -> bool {
        let payload = frame::batch_bytes(self.lengths.len() + 1, self.bytes.len() + next.bytes.len());
        limits.batch_bytes(payload as u64) <= limits.batch_bytes_max
    }
}
