//! One batch: commands from the lane, as many as fit, handed to the WAL writer.

use super::batch::NewBatch;

use super::{BATCH_COMMANDS, Revoked, ShardMessage, ShardState, Turn};
use crate::actor::clock::Clock;
use crate::actor::slot::{HandedBatch, ToWriter};
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::model::Batch;
use crate::storage::frame;
use ractor::ActorRef;

impl<M: StateMachine> ShardState<M> {
    /// Takes commands until the lane is empty, a batch is full or the log has no room, and hands over what it took.
    pub(super) fn drain(&mut self, myself: &ActorRef<ShardMessage>) -> Result<Turn, Revoked> {
        if self.life.tenure.is_revoked() {
            // What waits in the lane is for the next life.
            self.give_up_lacking(NotExecuted::Fenced);
            return Err(Revoked);
        }
        self.warm_up();
        let expected = self.hashes.len();
        let mut batch = NewBatch::new(Clock::wall().max(self.time), self.next, expected, &self.slot.credits);
        // It was accepted, and has the next position.
        let mut again = self.lacking.take();
        let turn = loop {
            if batch.taken == BATCH_COMMANDS {
                break Turn::More;
            }
            // Looked at once: a grant that came after this look has to wake the shard.
            let granted = self.life.room.granted();
            let (has_room, is_full) = (self.has_room(granted), self.life.room.is_full());
            if let Some(lacking) = again.take() {
                self.lacking = self.go_on(lacking, has_room, is_full, &mut batch);
                if self.lacking.is_none() {
                    continue;
                }
                break if has_room { self.lacks() } else { Turn::NoRoom { granted } };
            }
            let mut waits = false;
            let next = self.slot.lane.pop_if(|submission| {
                waits = true;
                if has_room { batch.fits(submission, &self.limits) } else { is_full }
            });
            match next {
                Some(submission) if has_room => {
                    self.take_up(submission, &mut batch);
                    if self.lacking.is_some() {
                        break self.lacks();
                    }
                }
                Some(submission) => submission.refuse(&self.slot.credits, NotExecuted::StorageFull),
                None if !waits => break Turn::Drained,
                None if has_room => break Turn::More,
                None => break Turn::NoRoom { granted },
            }
        };
        self.hand_over(batch, myself)?;
        self.tell_pressure();
        self.watch_lacking(myself);
        Ok(turn)
    }

    /// What the command lacks that was just run: an entity, or memory.
    fn lacks(&mut self) -> Turn {
        if self.scratch.wanted().is_empty() { Turn::NoMemory } else { Turn::Lacks }
    }

    /// Has what the next commands will look for come into the cache, all at a time: one after the other they would
    /// wait for memory most of the time.
    fn warm_up(&mut self) {
        self.hashes.clear();
        let hashes = &mut self.hashes;
        self.slot.lane.look_ahead(BATCH_COMMANDS, |submission| hashes.push(submission.hash));
        if hashes.len() > 1 {
            self.map.warm_up(hashes);
        }
    }

    /// Could the largest batch still be handed over?
    fn has_room(&self, granted: u64) -> bool {
        granted.saturating_sub(self.handed) >= self.limits.batch_bytes_max
    }

    /// Parks the callers and gives the batch to the writer, with the root if somebody wants to read.
    fn hand_over(&mut self, batch: NewBatch<M>, myself: &ActorRef<ShardMessage>) -> Result<(), Revoked> {
        let root = self.root_to_publish(&batch);
        if batch.lengths.is_empty() && root.is_none() {
            return Ok(());
        }
        let NewBatch { time, first, lengths, bytes, callers, held, .. } = batch;
        let batch = Batch { time, schema: M::SCHEMA, first, lengths, bytes: bytes.into() };
        if !batch.is_empty() {
            self.time = time;
            self.handed += self.limits.batch_bytes(frame_payload(&batch));
            self.count();
            let expires_ms = self.clock.now_ms() + self.sync_deadline_ms;
            if let Err(callers) = self.life.tenure.park(self.next, expires_ms, callers) {
                // No writer will ever see them.
                for caller in callers {
                    caller.port.answer(Err(SubmitError::NotExecuted(NotExecuted::Fenced)));
                }
                return Err(Revoked);
            }
            self.arm_expiry(myself, expires_ms);
        }
        let _ = self.life.log.push(ToWriter::Batch(HandedBatch { batch, root, held }));
        Ok(())
    }
}

/// What a batch adds to a frame; nothing if it has no commands.
pub(crate) fn frame_payload(batch: &Batch) -> u64 {
    if batch.is_empty() {
        return 0;
    }
    frame::batch_bytes(batch.lengths.len(), batch.bytes.len()) as u64
}
