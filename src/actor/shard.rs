//! The shard's shell: takes commands from its lane, applies them to the working state and hands batches to the WAL
//! writer.
//!
//! One turn drains, applies and hands over without an await; nobody is answered here but those whose command is
//! certainly not executed, and those whose writer sits in the kernel for too long.

mod applying;
mod batch;
mod holding;

use std::time::Instant;

use batch::NewBatch;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::clock::Clock;
use super::slot::{Entity, HandedBatch, Life, Slot, ToWriter, answer_unconfirmed};
use crate::config::{Options, millis};
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::model::{Batch, Lsn, Position, Time};
use crate::protocol::commit::Limits;
use crate::protocol::hold::{self, CutId, Holder};
use crate::state::map::Map;
use crate::state::{Bury, KeyHasher, Root, Scratch, StateDigest};
use crate::storage::frame;
use crate::sync::Arc;

/// So many commands make a batch, at most: the log writes and syncs the first ones while the rest are applied.
const BATCH_COMMANDS: usize = 64;
/// So many batches are made in one turn, at most.
const TURN_BATCHES: usize = 8;
/// A published root that nobody has asked to replace is refreshed after so long: it keeps alive what was changed since.
/// Every refresh makes the next update of each entry copy it, so a second here costs a busy shard a quarter of its
/// writes.
const REFRESH_MS: u64 = 30_000;

/// What the shard is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ShardMessage {
    /// There is something in the lane.
    Drain,
    /// Somebody may have waited too long for the log.
    Expire,
    /// Leave the lane alone for this cut.
    Hold(CutId),
    /// Go on.
    Release(CutId),
    /// The lane was held for as long as it may be.
    HoldOver,
    /// Take what waits in the lane, then tell the writer to finish.
    Finish,
}

/// What a shard starts with.
pub(crate) struct ShardArguments<M: StateMachine> {
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) life: Arc<Life<M>>,
    pub(crate) machine: Arc<M>,
    pub(crate) options: Arc<Options>,
    pub(crate) hasher: KeyHasher,
    pub(crate) map: Map<Entity<M>>,
    /// Of the map, if it is to be followed.
    pub(crate) digest: Option<StateDigest>,
    pub(crate) time: Time,
    pub(crate) reaper: Arc<dyn Bury<Entity<M>>>,
    pub(crate) clock: Clock,
}

pub(crate) struct ShardState<M: StateMachine> {
    slot: Arc<Slot<M>>,
    life: Arc<Life<M>>,
    machine: Arc<M>,
    hasher: KeyHasher,
    reaper: Arc<dyn Bury<Entity<M>>>,
    clock: Clock,
    limits: Limits,
    sync_deadline_ms: u64,
    memory_share: u64,

    map: Map<Entity<M>>,
    /// Of the map, if it is followed.
    digest: Option<StateDigest>,
    scratch: Scratch<Entity<M>>,
    hashes: Vec<u64>,
    next: Lsn,
    time: Time,
    /// Cumulative bytes handed over, to be held against the writer's grant.
    handed: u64,
    /// When a root was last sent along, and whether anything has changed since: then another one is worth sending.
    refreshed_ms: u64,
    changed: bool,
    expiry_armed: bool,
    holder: Holder,
    held_since: Option<Instant>,
    finishing: bool,
}

/// See the module.
pub(crate) struct Shard<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for Shard<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M: StateMachine> Actor for Shard<M> {
    type Msg = ShardMessage;
    type State = ShardState<M>;
    type Arguments = ShardArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        arguments: ShardArguments<M>,
    ) -> Result<ShardState<M>, ActorProcessingErr> {
        let ShardArguments { slot, life, machine, options, hasher, map, digest, time, reaper, clock } = arguments;
        let memory_share = options.memory_bytes.div_ceil(u64::from(hasher.shards()));
        let state = ShardState {
            limits: options.limits(),
            sync_deadline_ms: millis(options.sync_deadline),
            memory_share,
            next: life.first,
            slot,
            life,
            machine,
            hasher,
            reaper,
            clock,
            map,
            digest,
            scratch: Scratch::default(),
            hashes: Vec::new(),
            time,
            handed: 0,
            refreshed_ms: 0,
            changed: false,
            expiry_armed: false,
            holder: Holder::new(millis(options.versions.hold_max)),
            held_since: None,
            finishing: false,
        };
        state.count();
        *state.slot.actor.lock() = Some(myself.clone());
        state.slot.lane.attach(Box::new(move || {
            // An actor that is gone drains nothing; the next one is woken when it attaches.
            let _ = myself.cast(ShardMessage::Drain);
        }));
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ShardMessage::Drain => {
                // Callers that are ready to push get to do so first: one turn for all of them costs little more than
                // one for the first, which would otherwise run right after it.
                tokio::task::yield_now().await;
                state.slot.lane.clear();
            }
            ShardMessage::Expire => state.expire(&myself),
            ShardMessage::Hold(cut) => {
                let now_ms = state.clock.now_ms();
                state.hold(&myself, hold::Event::Hold { cut, now_ms });
            }
            ShardMessage::Release(cut) => state.hold(&myself, hold::Event::Release { cut }),
            ShardMessage::HoldOver => {
                let now_ms = state.clock.now_ms();
                state.hold(&myself, hold::Event::Time { now_ms });
            }
            ShardMessage::Finish => {
                // Nobody waits for a cut at the end.
                state.hold(&myself, hold::Event::Time { now_ms: u64::MAX });
                state.finishing = true;
            }
        }
        let started = Instant::now();
        let turn = state.turn(&myself);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let longest = &state.slot.counters.longest_turn_us;
        if micros > longest.get() {
            longest.set(micros);
        }
        Ok(turn?)
    }
}

/// What one turn came to.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The lane is empty.
    Drained,
    /// There is more, for another turn.
    More,
    /// There is more, and no room in the log beyond this grant.
    NoRoom { granted: u64 },
}

/// The incarnation was revoked while a batch was made.
#[derive(Debug, thiserror::Error)]
#[error("the incarnation was revoked")]
struct Revoked;

impl<M: StateMachine> ShardState<M> {
    fn turn(&mut self, myself: &ActorRef<ShardMessage>) -> Result<(), Revoked> {
        if self.holder.is_holding() {
            // What waits is looked at when the hold is over.
            return Ok(());
        }
        let mut turn = Turn::More;
        for _ in 0..TURN_BATCHES {
            turn = self.drain(myself)?;
            if turn != Turn::More {
                break;
            }
        }
        match turn {
            Turn::More => {
                // Other tasks get a turn in between.
                let _ = self.slot.lane.ring();
            }
            Turn::NoRoom { granted } => {
                self.life.want_room(granted);
            }
            Turn::Drained if self.finishing => {
                self.slot.lane.close();
                self.slot.refuse_waiting();
                let _ = self.life.log.push(ToWriter::Finish);
            }
            Turn::Drained => {}
        }
        Ok(())
    }

    /// Takes commands until the lane is empty, a batch is full or the log has no room, and hands over what it took.
    fn drain(&mut self, myself: &ActorRef<ShardMessage>) -> Result<Turn, Revoked> {
        if self.life.tenure.is_revoked() {
            // What waits in the lane is for the next life.
            return Err(Revoked);
        }
        self.warm_up();
        let expected = self.hashes.len();
        let mut batch = NewBatch::new(Clock::wall().max(self.time), self.next, expected, &self.slot.credits);
        let turn = loop {
            if batch.taken == BATCH_COMMANDS {
                break Turn::More;
            }
            // Looked at once: a grant that came after this look has to wake the shard.
            let granted = self.life.room.granted();
            let (has_room, is_full) = (self.has_room(granted), self.life.room.is_full());
            let mut waits = false;
            let next = self.slot.lane.pop_if(|submission| {
                waits = true;
                if has_room { batch.fits(submission, &self.limits) } else { is_full }
            });
            match next {
                Some(submission) if has_room => self.take_up(submission, &mut batch),
                Some(submission) => submission.refuse(&self.slot.credits, NotExecuted::StorageFull),
                None if !waits => break Turn::Drained,
                None if has_room => break Turn::More,
                None => break Turn::NoRoom { granted },
            }
        };
        self.hand_over(batch, myself)?;
        Ok(turn)
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

    fn count(&self) {
        self.slot.counters.entries.set(self.map.len() as u64);
        self.slot.counters.memory_bytes.set(self.map.bytes() as u64);
    }

    /// The ask is taken before the root is cloned, so the root serves everybody who asked before.
    fn root_to_publish(&mut self, batch: &NewBatch<M>) -> Option<Arc<Root<Entity<M>>>> {
        let asked = self.slot.published.take_ask();
        self.changed |= !batch.lengths.is_empty();
        if !self.changed {
            // What is published, or on its way there, is all there is.
            return None;
        }
        let now_ms = self.clock.now_ms();
        let refresh = now_ms >= self.refreshed_ms + REFRESH_MS;
        // Who reads after the end sees everything.
        if !asked && !refresh && !self.finishing {
            return None;
        }
        (self.refreshed_ms, self.changed) = (now_ms, false);
        let end = Position { epoch: self.life.epoch, lsn: self.next };
        let time = if batch.lengths.is_empty() { self.time } else { batch.time };
        Some(Arc::new(self.root(end, time)))
    }

    /// The state as it is.
    fn root(&self, end: Position, time: Time) -> Root<Entity<M>> {
        let root = Root::new(self.map.clone(), end, time, Arc::clone(&self.reaper));
        root.of_timeline(self.life.timeline).with_digest(self.digest.as_ref().map(StateDigest::hash))
    }

    fn arm_expiry(&mut self, myself: &ActorRef<ShardMessage>, at_ms: u64) {
        if !self.expiry_armed {
            self.expiry_armed = true;
            myself.send_after(self.clock.until(at_ms), || ShardMessage::Expire);
        }
    }

    /// Callers whose writer sits in the kernel for too long learn that the outcome is open.
    fn expire(&mut self, myself: &ActorRef<ShardMessage>) {
        self.expiry_armed = false;
        let expired = self.life.tenure.expire(self.clock.now_ms());
        answer_unconfirmed(self.slot.shard, expired.ports);
        if let Some(next_ms) = expired.next_ms {
            self.arm_expiry(myself, next_ms);
        }
    }
}

/// What a batch adds to a frame; nothing if it has no commands.
pub(crate) fn frame_payload(batch: &Batch) -> u64 {
    if batch.is_empty() {
        return 0;
    }
    frame::batch_bytes(batch.lengths.len(), batch.bytes.len()) as u64
}
