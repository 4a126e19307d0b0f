//! The spiller's shell: has values written to cold files, and hands them over to the shard.
//!
//! It feeds [`protocol::spill`](crate::protocol::spill) and carries out what that says. The writing is done on a
//! [thread](worker) of its own, from a root that the shard gives. It belongs to one life of the shard, and dies with
//! it.

pub(crate) mod worker;

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::shard::ShardMessage;
use super::shard_supervisor::Commons;
use super::slot::{Entity, Life, Slot};
use super::snapshotter::prune;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Edit, EditOutcome};
use crate::protocol::spill::{Adopted, Effect, Event, Failure, Gate, Handed, Job, Plan, Spiller as Core};
use crate::state::ColdUse;
use crate::state::map::{Cursor, Map};
use crate::sync::Arc;
use crate::sync::spill_gate::AtLimit;
use worker::{Copied, Work};

/// How often time passes.
const LOOK: Duration = Duration::from_secs(1);

/// What a spiller is told.
pub(crate) enum SpillMessage<M: StateMachine> {
    /// The shard is by so many bytes over its spill mark.
    Pressure(u64),
    /// So many values of a file are live.
    Uses(ColdSeq, u64),
    /// The state that a job copies from.
    Root(Job, Map<Entity<M>>),
    /// A job is over.
    Ended(Job, Result<Copied<M>, Failure>),
    /// The edit that adopts a job's file has ended so.
    Committed(Job, EditOutcome),
    /// The shard has handed over.
    HandedOver(Job, Handed),
    /// The edit that releases these files has ended so.
    Released(Vec<ColdSeq>, EditOutcome),
    /// Time has passed.
    Look,
    /// And the shard has told what is live.
    Told,
}

/// What a spiller starts with.
pub(crate) struct SpillerArguments<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) life: Arc<Life<M>>,
    /// What the state that the life begins with refers to.
    pub(crate) uses: ColdUse,
}

pub(crate) struct SpillerState<M: StateMachine> {
    commons: Arc<Commons<M>>,
    slot: Arc<Slot<M>>,
    life: Arc<Life<M>>,
    myself: ActorRef<SpillMessage<M>>,
    core: Core,
    /// Where the clock's hand stands.
    hand: Cursor,
    /// What the running job is to copy, until the shard has given it a root.
    wanted: Option<(Job, Wanted)>,
    /// What it has made.
    copied: Option<(Job, Copied<M>)>,
}

/// What a job copies.
pub(crate) enum Wanted {
    /// Values that are in memory, so many bytes.
    Spill(u64),
    /// Live values of these files.
    Compact(Vec<ColdSeq>),
}

/// See the module.
pub(crate) struct Spiller<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for Spiller<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M: StateMachine> Actor for Spiller<M> {
    type Msg = SpillMessage<M>;
    type State = SpillerState<M>;
    type Arguments = SpillerArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<SpillMessage<M>>,
        arguments: SpillerArguments<M>,
    ) -> Result<SpillerState<M>, ActorProcessingErr> {
        let SpillerArguments { commons, slot, life, uses } = arguments;
        let plan = Plan {
            batch_bytes: commons.memory.spill_batch(),
            patience_ms: crate::config::millis(commons.options.submit_deadline),
        };
        let manifest = commons.keeper.manifest();
        let files = manifest.shard(slot.shard).into_iter().flat_map(|record| &record.cold).map(|(file, record)| {
            let live = uses.of(*file);
            (*file, Adopted { bytes: record.bytes, values: record.values, live, released: record.released })
        });
        let core = Core::new(plan, files);
        myself.send_interval(LOOK, || SpillMessage::Look);
        Ok(SpillerState { commons, slot, life, myself, core, hand: Cursor::START, wanted: None, copied: None })
    }

    async fn handle(
        &self,
        _myself: ActorRef<SpillMessage<M>>,
        message: SpillMessage<M>,
        state: &mut SpillerState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SpillMessage::Pressure(over) => state.feed(Event::Pressure { over }),
            SpillMessage::Uses(file, live) => state.feed(Event::Uses { file, live }),
            SpillMessage::Root(job, map) => state.start(job, map),
            SpillMessage::Ended(job, ended) => state.ended(job, ended),
            SpillMessage::Committed(job, outcome) => {
                state.slot.counters.spill_failures.add((outcome != EditOutcome::Committed).into());
                state.feed(Event::Committed(job, outcome));
            }
            SpillMessage::HandedOver(job, handed) => state.feed(Event::HandedOver(job, handed)),
            SpillMessage::Released(files, outcome) => state.feed(Event::Released(files, outcome)),
            SpillMessage::Look => state.tell(ShardMessage::TellUses),
            SpillMessage::Told => state.feed(Event::Look),
        }
        Ok(())
    }
}

impl<M: StateMachine> SpillerState<M> {
    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        if self.life.tenure.is_revoked() {
            self.core.on_event(self.commons.clock.now_ms(), Event::Stop, &mut effects);
        }
        self.core.on_event(self.commons.clock.now_ms(), event, &mut effects);
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spill { job, bytes } => self.want(job, Wanted::Spill(bytes)),
            Effect::Compact { job, files } => self.want(job, Wanted::Compact(files)),
            Effect::Commit(job) => {
                let Some((_, copied)) = &self.copied else { return };
                let (file, bytes, values) = (copied.written.file, copied.written.bytes, copied.written.values);
                let edit =
                    Edit::Chill { shard: self.slot.shard, incarnation: self.life.incarnation, file, bytes, values };
                self.commit(edit, move |outcome| SpillMessage::Committed(job, outcome));
            }
            Effect::HandOver(job) => {
                let Some((_, copied)) = self.copied.take() else { return };
                *self.life.handing_over.lock() = Some((job, copied));
                self.tell(ShardMessage::HandOver);
            }
            Effect::Remove(_) => {
                if let Some((_, copied)) = self.copied.take() {
                    worker::remove(&self.commons, self.slot.shard, copied.written.file);
                }
            }
            Effect::Release(files) => {
                let (shard, incarnation) = (self.slot.shard, self.life.incarnation);
                let edit = Edit::Release { shard, incarnation, files: files.clone() };
                self.commit(edit, move |outcome| SpillMessage::Released(files, outcome));
            }
            Effect::Prune => {
                let (commons, slot) = (Arc::clone(&self.commons), Arc::clone(&self.slot));
                tokio::spawn(async move { prune::prune(&commons.keeper, &slot).await });
            }
            Effect::Gate(gate) => {
                self.life.gate.set(match gate {
                    Gate::Open => AtLimit::Room,
                    Gate::Wait => AtLimit::Wait,
                    Gate::Refuse => AtLimit::Refuse,
                });
                let _ = self.slot.lane.ring();
            }
        }
    }

    /// Has an edit committed.
    fn commit(&self, edit: Edit, told: impl FnOnce(EditOutcome) -> SpillMessage<M> + Send + 'static) {
        let (keeper, myself) = (self.commons.keeper.clone(), self.myself.clone());
        tokio::spawn(async move {
            let outcome = keeper.edit(edit).await;
            let _ = myself.cast(told(outcome));
        });
    }

    fn want(&mut self, job: Job, wanted: Wanted) {
        self.wanted = Some((job, wanted));
        self.tell(ShardMessage::Share(job));
    }

    /// The shard has given what the job is to copy from.
    fn start(&mut self, job: Job, map: Map<Entity<M>>) {
        let Some((_, wanted)) = self.wanted.take_if(|(wanted, _)| *wanted == job) else { return };
        let work = Work {
            commons: Arc::clone(&self.commons),
            slot: Arc::clone(&self.slot),
            life: Arc::clone(&self.life),
            map,
            wanted,
            hand: self.hand,
        };
        let myself = self.myself.clone();
        worker::start(work, move |ended| _ = myself.cast(SpillMessage::Ended(job, ended)));
    }

    fn ended(&mut self, job: Job, ended: Result<Copied<M>, Failure>) {
        let event = match ended {
            Ok(copied) => {
                let written = copied.written;
                self.hand = copied.hand;
                self.copied = Some((job, copied));
                Event::Written(job, written)
            }
            Err(failure) => {
                self.slot.counters.spill_failures.add((failure != Failure::Nothing).into());
                Event::Failed(job, failure)
            }
        };
        self.feed(event);
    }

    fn tell(&self, message: ShardMessage) {
        if let Some(shard) = &*self.slot.actor.lock() {
            let _ = shard.cast(message);
        }
    }
}
