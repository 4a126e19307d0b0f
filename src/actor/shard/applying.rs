//! One command after the other: taken up under a position, applied, landed.
//!
//! A run that lacks an entity leaves the command [lacking](super::thawing): it keeps its position, which nobody else
//! gets, and is the next to run, once what it lacks was read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::ShardState;
use super::batch::NewBatch;
use super::thawing::Lacking;
use crate::actor::replay::entity_bytes;
use crate::actor::slot::{Applied, Entity, Submission};
use crate::error::{NotExecuted, SubmitError};
use crate::machine::{At, StateMachine};
use crate::model::Position;
use crate::protocol::headroom::Fate;
use crate::protocol::spill::Gate;
use crate::state::Txn;
use crate::storage::codec;
use crate::sync::spill_gate::AtLimit;

/// Why a run has come to nothing.
enum Failed {
    /// It has to be repeated with what it lacks: entities, or memory.
    Lacks,
    /// For good.
    NotExecuted(NotExecuted),
}

impl From<NotExecuted> for Failed {
    fn from(reason: NotExecuted) -> Self {
        Self::NotExecuted(reason)
    }
}

impl<M: StateMachine> ShardState<M> {
    /// Applies one command, unless its caller has given it up.
    pub(super) fn take_up(&mut self, submission: Submission<M>, batch: &mut NewBatch<M>) {
        let Submission { command, bytes, port, charge, hash, .. } = submission;
        batch.taken += 1;
        let position = Position { epoch: self.life.epoch, lsn: self.next };
        if port.accept(position) {
            let accepted = Lacking { bytes, port, charge, hash, has_read: false, expires_ms: None };
            self.run(accepted, command, batch);
        } else {
            batch.held.add(charge);
        }
    }

    /// Runs a command that was accepted under the present position.
    pub(super) fn run(&mut self, accepted: Lacking<M>, command: M::Command, batch: &mut NewBatch<M>) {
        let position = Position { epoch: self.life.epoch, lsn: self.next };
        let at = At { shard: self.slot.shard, position, time: batch.time, schema: M::SCHEMA };
        let applied = self.apply(at, command);
        if let Err(Failed::Lacks) = applied {
            let expires_ms = accepted.expires_ms.unwrap_or_else(|| self.clock.now_ms() + self.submit_deadline_ms);
            self.lacking = Some(Lacking { expires_ms: Some(expires_ms), ..accepted });
            return;
        }
        let Lacking { bytes, port, charge, .. } = accepted;
        batch.held.add(charge);
        match applied {
            Ok(reply) => {
                batch.lengths.push(bytes.len() as u32);
                batch.bytes.extend_from_slice(&bytes);
                batch.callers.push(Applied { port, reply, position });
                self.next = self.next.plus(1);
            }
            Err(Failed::NotExecuted(reason)) => port.answer(Err(SubmitError::NotExecuted(reason))),
            Err(Failed::Lacks) => {}
        }
    }

    fn apply(&mut self, at: At, command: M::Command) -> Result<M::Reply, Failed> {
        self.headroom.given_up();
        let machine = &*self.machine;
        let measure = |entity: &Entity<M>| entity_bytes(machine, entity);
        let size = self.size();
        let mut txn = Txn::new(&mut self.map, &self.hasher, &mut self.scratch, &measure);
        let applied = catch_unwind(AssertUnwindSafe(|| machine.apply(at, &mut txn, command)));
        // Whatever it has made of what it did not get.
        if !txn.is_complete() {
            return Err(Failed::Lacks);
        }
        // There was nothing to abort for.
        let Ok(Ok(reply)) = applied else {
            tracing::error!(shard = self.slot.shard.0, position = %at.position, "apply panicked");
            return Err(NotExecuted::Panicked.into());
        };
        // Nobody looks closer where there is room for all of it, or no limit.
        if !self.headroom.has(size.bytes, txn.growth_max()) {
            let gate = if self.life.gate.get() == AtLimit::Refuse { Gate::Refuse } else { Gate::Wait };
            let growth = txn.growth();
            match self.headroom.run(size, growth, gate) {
                Fate::Lands => {}
                Fate::Waits => return Err(Failed::Lacks),
                // Whoever spills for it has been told to stop.
                Fate::Refused if self.life.tenure.is_revoked() => return Err(NotExecuted::Fenced.into()),
                Fate::Refused => return Err(self.out_of_memory(growth.unsigned_abs()).into()),
            }
        }
        if self.digest.is_some() && !txn.has_old() {
            return Err(Failed::Lacks);
        }
        if let Some(digest) = &mut self.digest {
            // The application's `Serialize`. Whatever it does, nothing has changed.
            let followed = catch_unwind(AssertUnwindSafe(|| digest.follow(&txn, codec::encode)));
            followed
                .map_err(|_| NotExecuted::Panicked)?
                .map_err(|error| NotExecuted::NotEncodable(error.to_string()))?;
        }
        self.slot.overlaps.note(&txn);
        let cleared = txn.land();
        self.headroom.displaced(self.scratch.displaced_bytes());
        self.freed(cleared.is_some());
        if let Some(cleared) = cleared {
            self.reaper.bury(cleared);
        }
        Ok(reply)
    }

    /// What there is, for whoever has to find out what to do about it.
    pub(super) fn out_of_memory(&self, growth_bytes: u64) -> NotExecuted {
        NotExecuted::OutOfMemory {
            share_bytes: self.headroom.share().unwrap_or(u64::MAX),
            memory_bytes: self.map.bytes() as u64,
            keys_bytes: self.map.keys_bytes() as u64,
            growth_bytes,
        }
    }
}
