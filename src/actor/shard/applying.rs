//! One command after the other: taken up under a position, applied, landed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ShardState;
use super::batch::NewBatch;
use crate::actor::replay::entity_bytes;
use crate::actor::slot::{Applied, Entity, Submission};
use crate::error::{NotExecuted, SubmitError};
use crate::machine::{At, StateMachine};
use crate::model::Position;
use crate::state::Txn;
use crate::storage::codec;

impl<M: StateMachine> ShardState<M> {
    /// Applies one command, unless its caller has given it up.
    pub(super) fn take_up(&mut self, submission: Submission<M>, batch: &mut NewBatch<M>) {
        let Submission { command, bytes, port, charge, .. } = submission;
        batch.held.add(charge);
        batch.taken += 1;
        let position = Position { epoch: self.life.epoch, lsn: self.next };
        if !port.accept(position) {
            return;
        }
        let at = At { shard: self.slot.shard, position, time: batch.time, schema: M::SCHEMA };
        match self.apply(at, command) {
            Ok(reply) => {
                batch.lengths.push(bytes.len() as u32);
                batch.bytes.extend_from_slice(&bytes);
                batch.callers.push(Applied { port, reply, position });
                self.next = self.next.plus(1);
            }
            Err(reason) => port.answer(Err(SubmitError::NotExecuted(reason))),
        }
    }

    fn apply(&mut self, at: At, command: M::Command) -> Result<M::Reply, NotExecuted> {
        let machine = &*self.machine;
        let measure = |entity: &Entity<M>| entity_bytes(machine, entity);
        let mut txn = Txn::new(&mut self.map, &self.hasher, &mut self.scratch, &measure);
        let applied = catch_unwind(AssertUnwindSafe(|| machine.apply(at, &mut txn, command)));
        let reply = match applied {
            Ok(Ok(reply)) => reply,
            Ok(Err(abort)) => abort.never(),
            Err(_) => {
                tracing::error!(shard = self.slot.shard.0, position = %at.position, "apply panicked");
                return Err(NotExecuted::Panicked);
            }
        };
        if self.memory_share > 0 {
            let growth = txn.growth();
            if growth > 0 && txn.bytes_before() + growth as u64 > self.memory_share {
                return Err(NotExecuted::OutOfMemory);
            }
        }
        if let Some(digest) = &mut self.digest {
            // The application's `Serialize`. Whatever it does, nothing has changed.
            let followed = catch_unwind(AssertUnwindSafe(|| digest.follow(&txn, codec::encode)));
            followed
                .map_err(|_| NotExecuted::Panicked)?
                .map_err(|error| NotExecuted::NotEncodable(error.to_string()))?;
        }
        self.slot.overlaps.note(&txn, &self.hasher);
        if let Some(cleared) = txn.land() {
            self.reaper.bury(cleared);
        }
        Ok(reply)
    }
}
