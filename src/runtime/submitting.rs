//! Submitting commands: encode once, take credits, push, wait for the answer or the deadline.

use std::future::poll_fn;
use std::time::Instant;

use tokio::time::timeout_at;

use super::Runtime;
use crate::actor::overdue;
use crate::actor::slot::{Answer, Slot, Submission};
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::model::ShardId;
use crate::storage::codec::{self, Encoded};
use crate::sync::Arc;
use crate::sync::claim::{self, Ticket, Withdrawal};

/// A command that is ready to be pushed.
struct Prepared<'a, M: StateMachine> {
    slot: &'a Arc<Slot<M>>,
    command: M::Command,
    hash: u64,
    bytes: Encoded,
    charge: u32,
}

/// A pushed command.
struct Waiting<'a, M: StateMachine> {
    slot: &'a Slot<M>,
    ticket: Ticket<Answer<M>>,
}

impl<M: StateMachine> Runtime<M> {
    /// Submits one command to the shard of its key and waits for its receipt.
    ///
    /// On return the command is as durable as the receipt says, which is what the
    /// [`SyncPolicy`](crate::SyncPolicy) gives, and every [`Runtime::view`] taken from then on shows it. Commands
    /// submitted by one task, each after the other's receipt, take effect in that order; those that are on their way at
    /// the same time in any.
    ///
    /// Two deadlines follow each other. [`Options::submit_deadline`](crate::Options::submit_deadline), from the call
    /// on, is for waiting: for room in a full lane, and in the lane until the shard takes the command up. Until then it
    /// can be given up without a doubt. From then on [`Options::sync_deadline`](crate::Options::sync_deadline) is for
    /// the disk, and who has waited so long does not know the outcome.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv, Reply};
    /// use mainstay::{Durability, Options, Runtime, SubmitError};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// match runtime.submit(Command::increment("visits", 1)).await {
    ///     Ok(receipt) => {
    ///         assert_eq!(receipt.reply, Reply::Number(1));
    ///         assert_eq!(receipt.durability, Durability::Durable); // under `SyncPolicy::Always`
    ///     }
    ///     // Certainly no effect: submitting it again is safe.
    ///     Err(SubmitError::NotExecuted(reason)) => println!("{reason}"),
    ///     // Perhaps: submitting it again may count twice.
    ///     Err(SubmitError::Unconfirmed { shard, position }) => {
    ///         println!("{:?}", runtime.outcome(shard, position).await);
    ///     }
    ///     Err(other) => return Err(other.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SubmitError::NotExecuted`]: it has no effect, now or ever; [`NotExecuted`] says what can be done about it.
    /// [`SubmitError::Unconfirmed`]: it was taken up, and then the deadline came or the shard's actors died; ask
    /// [`Runtime::outcome`] later.
    ///
    /// # Cancellation
    /// A dropped future withdraws the command if the shard has not taken it up, and leaves it alone otherwise: it is
    /// applied whole or not at all.
    pub async fn submit(&self, command: M::Command) -> Answer<M> {
        let (slot, hash) = self.slot_of(&command)?;
        let deadline = self.submit_deadline();
        let prepared = self.prepare(slot, hash, command)?;
        let timer = take_credits(prepared.slot, prepared.charge, deadline).await?;
        wait(prepared.push(deadline, true), timer).await
    }

    /// As [`Runtime::submit`], but answers `NotExecuted(Busy)` instead of waiting for room in the shard's lane. Once it
    /// has room it waits like any other, with both deadlines.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{NotExecuted, Options, Runtime, SubmitError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// // One command at a time.
    /// let options = Options { lane_commands: 1, ..Options::new(dir.path()) };
    /// let runtime = Runtime::open(Kv, options).await?;
    /// let (first, second) = tokio::join!(
    ///     runtime.submit(Command::set("first", "1")),
    ///     runtime.try_submit(Command::set("second", "2")),
    /// );
    /// assert!(first.is_ok());
    /// assert_eq!(second, Err(SubmitError::NotExecuted(NotExecuted::Busy)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Runtime::submit`], and [`NotExecuted::Busy`].
    ///
    /// # Cancellation
    /// As [`Runtime::submit`].
    pub async fn try_submit(&self, command: M::Command) -> Answer<M> {
        let (slot, hash) = self.slot_of(&command)?;
        let prepared = self.prepare(slot, hash, command)?;
        if !prepared.slot.credits.try_take(prepared.charge) {
            return Err(prepared.slot.refusal().unwrap_or(NotExecuted::Busy).into());
        }
        wait(prepared.push(self.submit_deadline(), true), None).await
    }

    /// As [`Runtime::submit`], to a shard of the caller's choice: for commands that have no key, such as a sweep.
    /// [`StateMachine::key`] is not asked, so entities that such a command stores under keys of other shards are found
    /// by no reader.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Runtime, ShardId};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options { shards: Some(3), ..Options::new(dir.path()) }).await?;
    /// for shard in (0..runtime.shard_count()).map(ShardId) {
    ///     runtime.submit_to(shard, Command::Clear).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Runtime::submit`], and [`NotExecuted::NoSuchShard`].
    ///
    /// # Cancellation
    /// As [`Runtime::submit`].
    pub async fn submit_to(&self, shard: ShardId, command: M::Command) -> Answer<M> {
        let slot = self.slot(shard)?;
        let deadline = self.submit_deadline();
        let prepared = self.prepare(slot, 0, command)?;
        let timer = take_credits(prepared.slot, prepared.charge, deadline).await?;
        wait(prepared.push(deadline, true), timer).await
    }

    /// Submits many commands at once: those of one shard take effect in the order given, usually in few frames of its
    /// log. Answers come in the order of the commands, when the last one is known.
    ///
    /// Each command succeeds or fails by itself, and there is no transaction: where one is not executed, those behind
    /// it may be. The deadlines are those of [`Runtime::submit`], with one
    /// [`Options::submit_deadline`](crate::Options::submit_deadline) for all, from the call on. A full lane holds up
    /// everything behind the command that waits for it, for other shards too. When the deadline comes, commands that
    /// were not taken up are `NotExecuted(DeadlineBeforeAccept)`, and later ones that just find room may still be
    /// executed: what is executed keeps its order, with gaps.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv, Reply};
    /// use mainstay::{Options, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// let commands = (0..100).map(|_| Command::increment("visits", 1)).collect();
    /// for (sum, answer) in (1..).zip(runtime.submit_many(commands).await) {
    ///     assert_eq!(answer?.reply, Reply::Number(sum));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation
    /// As if each had been submitted by itself; those that still waited for room are not submitted.
    pub async fn submit_many(&self, commands: Vec<M::Command>) -> Vec<Answer<M>> {
        let deadline = self.submit_deadline();
        let mut waiting = Vec::with_capacity(commands.len());
        let mut timer = None;
        let mut rung = RingAll { slots: &self.shared.slots, pushed: Vec::new() };
        for command in commands {
            let prepared = self.slot_of(&command).and_then(|(slot, hash)| self.prepare(slot, hash, command));
            let prepared = match prepared {
                Ok(prepared) => prepared,
                Err(error) => {
                    waiting.push(Err(error));
                    continue;
                }
            };
            if !prepared.slot.credits.try_take(prepared.charge) {
                // What was pushed so far has to flow for credits to come back.
                rung.ring();
                match take_credits(prepared.slot, prepared.charge, deadline).await {
                    Ok(waited) => timer = timer.or(waited),
                    Err(error) => {
                        waiting.push(Err(error));
                        continue;
                    }
                }
            }
            rung.pushed.push(prepared.slot.shard);
            waiting.push(Ok(prepared.push(deadline, false)));
        }
        rung.ring();
        let mut answers = Vec::with_capacity(waiting.len());
        for waiting in waiting {
            answers.push(match waiting {
                Ok(waiting) => wait(waiting, timer).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    fn submit_deadline(&self) -> Instant {
        Instant::now() + self.shared.options.submit_deadline
    }

    /// The slot of the command's key, and the key's hash.
    fn slot_of(&self, command: &M::Command) -> Result<(&Arc<Slot<M>>, u64), SubmitError> {
        let key = self.shared.machine.key(command);
        let hash = self.shared.hasher.hash(&key);
        Ok((self.slot(self.shared.hasher.shard(hash))?, hash))
    }

    pub(super) fn slot(&self, shard: ShardId) -> Result<&Arc<Slot<M>>, SubmitError> {
        let slot = self.shared.slots.get(shard.0 as usize);
        slot.ok_or(SubmitError::NotExecuted(NotExecuted::NoSuchShard))
    }

    /// Encodes the command, once: the size check, the bound and the log's frame use these bytes.
    fn prepare<'a>(
        &self,
        slot: &'a Arc<Slot<M>>,
        hash: u64,
        command: M::Command,
    ) -> Result<Prepared<'a, M>, SubmitError> {
        let refused = |error: codec::CodecError| NotExecuted::NotEncodable(error.to_string());
        let bytes = codec::encode(&command).map_err(refused)?;
        let limit = self.shared.options.command_bytes_max;
        if bytes.len() > limit as usize {
            return Err(NotExecuted::TooLarge { bytes: bytes.len(), limit }.into());
        }
        self.shared.decodes.check::<M::Command>(&bytes).map_err(refused)?;
        let charge = slot.credits.charge(bytes.len());
        Ok(Prepared { slot, command, hash, bytes, charge })
    }
}

impl<'a, M: StateMachine> Prepared<'a, M> {
    /// Pushes the command; its credits now go with it.
    fn push(self, deadline: Instant, ring: bool) -> Waiting<'a, M> {
        let Self { slot, command, hash, bytes, charge } = self;
        let (ticket, port) = claim::claim();
        slot.lane.push_quietly(Submission { command, hash, bytes, port, charge, deadline });
        overdue::watch(slot);
        if ring {
            let _ = slot.lane.ring();
        }
        Waiting { slot, ticket }
    }
}

/// Takes credits. Whoever had to wait for them gets the deadline back, and has to look at it: the slot's watch may come
/// later.
async fn take_credits<M: StateMachine>(
    slot: &Slot<M>,
    charge: u32,
    deadline: Instant,
) -> Result<Option<Instant>, SubmitError> {
    if slot.credits.try_take(charge) {
        return Ok(None);
    }
    match timeout_at(deadline.into(), slot.credits.take(charge)).await {
        Ok(true) => Ok(Some(deadline)),
        Ok(false) => Err(slot.refusal().unwrap_or(NotExecuted::ShuttingDown).into()),
        Err(_) => Err(NotExecuted::DeadlineBeforeAccept.into()),
    }
}

/// Waits for the answer. A command that nobody takes up in time is answered by the slot's watch, or given up here; one
/// that was taken up, by the writer, the shard's timer or the supervisor.
async fn wait<M: StateMachine>(mut waiting: Waiting<'_, M>, timer: Option<Instant>) -> Answer<M> {
    let slot = waiting.slot;
    let ticket = &mut waiting.ticket;
    // A lane that closed before the push is not drained again.
    if slot.lane.is_closed()
        && let Some(answer) = withdraw(ticket, slot, || slot.refusal().unwrap_or(NotExecuted::ShuttingDown))
    {
        return answer;
    }
    if let Some(deadline) = timer {
        if let Ok(answer) = timeout_at(deadline.into(), poll_fn(|context| ticket.poll(context))).await {
            return settle(answer, slot);
        }
        if let Some(answer) = withdraw(ticket, slot, || NotExecuted::DeadlineBeforeAccept) {
            return answer;
        }
    }
    settle(poll_fn(|context| ticket.poll(context)).await, slot)
}

/// Gives a command up. `None`: it was taken up, and its answer is still to come.
fn withdraw<M: StateMachine>(
    ticket: &mut Ticket<Answer<M>>,
    slot: &Slot<M>,
    reason: impl FnOnce() -> NotExecuted,
) -> Option<Answer<M>> {
    match ticket.withdraw() {
        Withdrawal::Withdrawn => Some(Err(reason().into())),
        Withdrawal::Answered(answer) => Some(settle(answer, slot)),
        Withdrawal::Accepted(_) => None,
    }
}

fn settle<M: StateMachine>(answer: claim::Answer<Answer<M>>, slot: &Slot<M>) -> Answer<M> {
    match answer {
        claim::Answer::Given(answer) => answer,
        claim::Answer::Abandoned(Some(position)) => Err(SubmitError::Unconfirmed { shard: slot.shard, position }),
        claim::Answer::Abandoned(None) => Err(slot.refusal().unwrap_or(NotExecuted::ShuttingDown).into()),
    }
}

/// Rings every lane that something was pushed into, also when the future is dropped half-way.
struct RingAll<'a, M: StateMachine> {
    slots: &'a [Arc<Slot<M>>],
    pushed: Vec<ShardId>,
}

impl<M: StateMachine> RingAll<'_, M> {
    fn ring(&mut self) {
        self.pushed.sort_unstable();
        self.pushed.dedup();
        for shard in self.pushed.drain(..) {
            if let Some(slot) = self.slots.get(shard.0 as usize) {
                // A closed lane is noticed by whoever waits.
                let _ = slot.lane.ring();
            }
        }
    }
}

impl<M: StateMachine> Drop for RingAll<'_, M> {
    fn drop(&mut self) {
        self.ring();
    }
}
