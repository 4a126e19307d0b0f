//! The shard's shell: takes commands from its lane, applies them to the working state and hands batches to the WAL
//! writer.
//!
//! One turn drains, applies and hands over without an await; nobody is answered here but those whose command is
//! certainly not executed, and those whose writer sits in the kernel for too long.

mod ahead;
mod applying;
mod batch;
mod draining;
mod holding;
mod publishing;
mod returning;
mod spilling;
mod thawing;

use std::collections::BTreeSet;
use std::time::Instant;

pub(crate) use draining::frame_payload;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use spilling::Handing;
use thawing::Lacking;

use super::clock::Clock;
use super::cold_files::ColdFiles;
use super::returns::Returns;
use super::slot::{Entity, Life, Slot, ToWriter, answer_unconfirmed};
use super::spiller::SpillMessage;
use crate::config::{Options, millis};
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Lsn, Time};
use crate::protocol::commit::Limits;
use crate::protocol::headroom::Headroom;
use crate::protocol::hold::{self, CutId, Holder};
use crate::protocol::spill::Job;
use crate::state::map::Map;
use crate::state::{Bury, ColdUse, KeyHasher, ReadCold, Scratch, StateDigest};
use crate::sync::Arc;

/// So many commands make a batch, at most: the log writes and syncs the first ones while the rest are applied.
const BATCH_COMMANDS: usize = 64;
/// So many batches are made in one turn, at most.
const TURN_BATCHES: usize = 8;

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
    /// Give the spiller a root for this job.
    Share(Job),
    /// Values were copied to a cold file, which the manifest has.
    HandOver,
    /// Replace some more of them.
    GoOnHanding,
    /// Take back to memory what readers ask for again and again.
    Return,
    /// Tell the spiller what of which files is referred to.
    TellUses,
    /// Take what waits in the lane, then tell the writer to finish.
    Finish,
}

/// What a shard starts with.
pub(crate) struct ShardArguments<M: StateMachine> {
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) life: Arc<Life<M>>,
    /// Of the same life.
    pub(crate) spiller: ActorRef<SpillMessage<M>>,
    pub(crate) machine: Arc<M>,
    pub(crate) options: Arc<Options>,
    pub(crate) hasher: KeyHasher,
    pub(crate) headroom: Headroom,
    pub(crate) map: Map<Entity<M>>,
    /// Reads what of it is not in memory.
    pub(crate) cold_files: ColdFiles<M>,
    /// What of which files it refers to.
    pub(crate) uses: ColdUse,
    /// Of the map, if it is to be followed.
    pub(crate) digest: Option<StateDigest>,
    pub(crate) time: Time,
    pub(crate) reaper: Arc<dyn Bury<Entity<M>>>,
    pub(crate) clock: Clock,
}

pub(crate) struct ShardState<M: StateMachine> {
    slot: Arc<Slot<M>>,
    life: Arc<Life<M>>,
    spiller: ActorRef<SpillMessage<M>>,
    machine: Arc<M>,
    hasher: KeyHasher,
    reaper: Arc<dyn Bury<Entity<M>>>,
    clock: Clock,
    limits: Limits,
    submit_deadline_ms: u64,
    sync_deadline_ms: u64,
    headroom: Headroom,

    map: Map<Entity<M>>,
    /// Of the map, if it is followed.
    digest: Option<StateDigest>,
    scratch: Scratch<Entity<M>>,
    hashes: Vec<u64>,
    /// Reads what is not in memory.
    cold: Option<Arc<dyn ReadCold<Entity<M>>>>,
    /// The same, with the files.
    cold_files: Arc<ColdFiles<M>>,
    /// How many values of each file the map refers to, and of which files that has changed.
    uses: ColdUse,
    touched: BTreeSet<ColdSeq>,
    /// What readers ask for again and again.
    returns: Arc<Returns<Entity<M>>>,
    handing: Option<Handing<M>>,
    /// The next to run, once what it lacks was read.
    lacking: Option<Lacking<M>>,
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
        let ShardArguments { slot, life, machine, options, hasher, headroom, map, cold_files, digest, uses, .. } =
            arguments;
        let (spiller, time, reaper, clock) = (arguments.spiller, arguments.time, arguments.reaper, arguments.clock);
        let shard = myself.clone();
        let returns = Returns::new(move || _ = shard.cast(ShardMessage::Return));
        let cold_files = Arc::new(cold_files.returning(Arc::clone(&returns)));
        let state = ShardState {
            limits: options.limits(),
            submit_deadline_ms: millis(options.submit_deadline),
            sync_deadline_ms: millis(options.sync_deadline),
            headroom,
            next: life.first,
            slot,
            life,
            spiller,
            machine,
            hasher,
            reaper,
            clock,
            map,
            digest,
            scratch: Scratch::default(),
            hashes: Vec::new(),
            cold: Some(Arc::clone(&cold_files) as Arc<dyn ReadCold<Entity<M>>>),
            cold_files,
            uses,
            touched: BTreeSet::new(),
            returns,
            handing: None,
            lacking: None,
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
        let is_drain = matches!(message, ShardMessage::Drain);
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
                let is_clear = !state.life.boundary.is_rung();
                state.hold(&myself, hold::Event::Hold { cut, now_ms, is_clear });
            }
            ShardMessage::Release(cut) => state.hold(&myself, hold::Event::Release { cut }),
            ShardMessage::HoldOver => {
                let now_ms = state.clock.now_ms();
                state.hold(&myself, hold::Event::Time { now_ms });
            }
            ShardMessage::Share(job) => state.share(job),
            ShardMessage::HandOver => state.begin_hand_over(&myself),
            ShardMessage::GoOnHanding => state.go_on_handing(&myself),
            ShardMessage::Return => state.take_returns(),
            ShardMessage::TellUses => state.tell_uses(),
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
        if turn? == Turn::Lacks {
            // One read a ring: whatever else has come in, or comes meanwhile, gets its turn before the next one.
            if is_drain {
                state.thaw().await;
            }
            let _ = state.slot.lane.ring();
        }
        if state.lacking.is_none() {
            state.return_thawed(&[]);
        }
        Ok(())
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
    /// A command lacks an entity that is not in memory.
    Lacks,
    /// A command needs memory, which a spill will free.
    NoMemory,
}

/// The incarnation was revoked while a batch was made.
#[derive(Debug, thiserror::Error)]
#[error("the incarnation was revoked")]
struct Revoked;

impl<M: StateMachine> ShardState<M> {
    fn turn(&mut self, myself: &ActorRef<ShardMessage>) -> Result<Turn, Revoked> {
        if self.holder.is_holding() {
            // What waits is looked at when the hold is over.
            return Ok(Turn::Drained);
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
            // Who hands over, or knows that nothing will be freed, has the shard look again.
            Turn::Drained | Turn::Lacks | Turn::NoMemory => {}
        }
        Ok(turn)
    }

    fn arm_expiry(&mut self, myself: &ActorRef<ShardMessage>, at_ms: u64) {
        if !self.expiry_armed {
            self.expiry_armed = true;
            myself.send_after(self.clock.until(at_ms), || ShardMessage::Expire);
        }
    }

    /// Callers whose writer sits in the kernel for too long learn that the outcome is open, and who has lacked
    /// something for too long that it was not executed.
    fn expire(&mut self, myself: &ActorRef<ShardMessage>) {
        self.expiry_armed = false;
        let now_ms = self.clock.now_ms();
        let expired = self.life.tenure.expire(now_ms);
        answer_unconfirmed(self.slot.shard, expired.ports);
        self.expire_lacking(now_ms);
        if let Some(next_ms) = expired.next_ms {
            self.arm_expiry(myself, next_ms);
        }
    }
}
