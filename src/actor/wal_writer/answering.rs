//! What others learn from the writer: callers, readers, whoever makes a cut, the supervisor.

use ractor::ActorProcessingErr;

use super::{ANSWERED_HERE, Stopped, WriterState};
use crate::actor::shard_supervisor::SupervisorMessage;
use crate::actor::slot::Receipt;
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::protocol::commit::{Completion, Stop};
use crate::sync::Arc;
use crate::sync::mutants;

impl<M: StateMachine> WriterState<M> {
    /// Whoever wanted the boundary learns where in the log it lies. One that is gone needs no answer.
    pub(super) fn tell_boundary(&mut self) {
        let tail = self.files.durable_tail().or(self.files.recovered_tail());
        if let Some(cut) = self.cuts.pop_front() {
            self.life.boundary.clear();
            let _ = cut.send(tail);
        }
    }

    /// Publishes the newest root among what is complete, raises the watermark, answers. Only a completion gets here.
    pub(super) fn complete(&mut self, completion: Completion) {
        let mut done = std::mem::take(&mut self.written);
        done.extend(self.queue.drain(..completion.without_commands()));
        let root = done.iter_mut().rev().find_map(|handed| handed.root.take());
        let (slot, life) = (&self.slot, &self.life);
        let publishes = root.is_some();
        let mut replaced = None;
        let callers = life.tenure.complete(completion.end(), || {
            replaced = root.map(|root| slot.published.publish(root));
        });
        let Some(callers) = callers else { return self.core.on_revoked() };
        let count: usize = callers.iter().map(Vec::len).sum();
        let (shard, durability) = (slot.shard, mutants::durability(completion.durability()));
        let readers = publishes.then(|| Arc::clone(slot));
        let answer = move || {
            if let Some(slot) = readers {
                slot.changed.notify_waiters();
            }
            for caller in callers.into_iter().flatten() {
                let (reply, position) = (caller.reply, caller.position);
                caller.port.answer(Ok(Receipt { reply, shard, position, durability }));
            }
        };
        // To wake many tasks one by one from outside of their runtime costs a system call for most of them; from inside
        // it is a push to a queue. But at the end their runtime may go as soon as it has heard of it.
        if (count > ANSWERED_HERE || publishes) && !self.core.is_finishing() {
            self.callers_runtime.spawn(async move { answer() });
        } else {
            answer();
        }
    }

    pub(super) fn stop(&mut self, why: Stop) -> Result<(), ActorProcessingErr> {
        let shard = self.slot.shard;
        match why {
            Stop::Finished => {
                let incarnation = self.life.incarnation;
                let _ = self.supervisor.cast(SupervisorMessage::Finished { incarnation });
                return Ok(());
            }
            Stop::Sealed => {
                self.slot.name_the_lost(&self.life, self.life.tenure.durable());
                for caller in self.life.tenure.revoke().into_iter().flatten() {
                    caller.port.answer(Err(SubmitError::NotExecuted(NotExecuted::Fenced)));
                }
            }
            Stop::Superseded | Stop::Unknown => {}
        }
        tracing::error!(shard = shard.0, ?why, "the WAL writer stops");
        Err(Box::new(Stopped(why)))
    }
}
