//! The shard supervisor's shell: starts a shard and its WAL writer, and replaces both when one of them dies.
//!
//! It feeds [`protocol::restart`](crate::protocol::restart) with deaths and carries out what that says.

mod pair;
mod reading;
mod recovering;

use std::collections::BTreeMap;

use pair::Pair;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use recovering::Recovered;
use tokio::sync::{Semaphore, oneshot};

use super::clock::Clock;
use super::cold_files::Pages;
use super::keeper::Keeper;
use super::replay::Replayed;
use super::rewrite_coordinator::CoordinatorMessage;
use super::root::{Internal, News, RootMessage};
use super::shard::ShardMessage;
use super::slot::{Entity, Life, Slot};
use super::snapshotter::{SnapshotMessage, Snapshotter, SnapshotterArguments};
use super::upkeep::Upkeep;
use crate::config::{MemoryLimits, Options};
use crate::error::NotExecuted;
use crate::machine::StateMachine;
use crate::model::{Epoch, Incarnation, SegmentSeq, ShardId, Tail};
use crate::protocol::cut;
use crate::protocol::restart::{Effect, Event, Lives};
use crate::protocol::shutdown;
use crate::state::{Bury, KeyHasher};
use crate::storage::disk::{DirectoryLock, Disk};
use crate::storage::layout::Layout;
use crate::sync::Arc;

/// What all shards of a runtime have in common.
pub(crate) struct Commons<M: StateMachine> {
    pub(crate) name: String,
    pub(crate) machine: Arc<M>,
    pub(crate) options: Arc<Options>,
    pub(crate) hasher: KeyHasher,
    pub(crate) memory: MemoryLimits,
    pub(crate) pages: Arc<Pages>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) lock: Arc<dyn DirectoryLock>,
    pub(crate) keeper: Keeper,
    pub(crate) reaper: Arc<dyn Bury<Entity<M>>>,
    pub(crate) clock: Clock,
    pub(crate) upkeep: Upkeep,
    /// Whose turn it is to write a snapshot.
    pub(crate) turns: Arc<Semaphore>,
}

/// What the supervisor is told.
pub(crate) enum SupervisorMessage<M: StateMachine> {
    /// A pause is over.
    PauseOver(Incarnation),
    /// The log was read for this life, or not.
    Recovered(Recovered<Entity<M>>),
    /// A rollback to this timeline was committed: go on with this state, or read the files again; say whether that went
    /// well.
    RolledBack { timeline: u64, state: Option<Box<Replayed<Entity<M>>>>, done: oneshot::Sender<bool> },
    /// Nobody knows whether a rollback counts: nothing lives here any more.
    Fence,
    /// Drain the shard and its writer, then end.
    Finish,
    /// The writer has written, synced and answered everything.
    Finished { incarnation: Incarnation },
    /// The shutdown's deadline has come.
    Abandon,
}

/// What a supervisor starts with.
pub(crate) struct SupervisorArguments<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) root: ActorRef<RootMessage<M>>,
    pub(crate) replayed: Replayed<Entity<M>>,
}

pub(crate) struct SupervisorState<M: StateMachine> {
    commons: Arc<Commons<M>>,
    slot: Arc<Slot<M>>,
    root: ActorRef<RootMessage<M>>,
    myself: ActorRef<SupervisorMessage<M>>,
    core: Lives,
    pair: Option<Pair>,
    snapshotter: Option<ActorRef<SnapshotMessage<M>>>,
    replayed: Option<Box<Replayed<Entity<M>>>>,
    /// Where the log ends, as it was last read, or as a failed sync left it. No later recovery may choose another end
    /// before an edit has moved the log on: what was published and confirmed lies in front of this one.
    known_end: Option<Tail>,
    finishing: bool,
}

/// See the module.
pub(crate) struct ShardSupervisor<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for ShardSupervisor<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// The epoch and incarnation of the next life, after what the manifest says.
pub(crate) fn next_life<M: StateMachine>(
    keeper_manifest: &crate::model::Manifest,
    shard: ShardId,
    at_least: Incarnation,
    first: crate::model::Lsn,
    begins: BTreeMap<SegmentSeq, Tail>,
) -> Life<M> {
    let (record, timeline) = (keeper_manifest.shard(shard), keeper_manifest.timeline);
    let expects = record.map_or((Epoch(0), Incarnation(0)), |shard| (shard.epoch(), shard.incarnation));
    Life::new(expects.1.next().max(at_least), expects, timeline, first, begins)
}

async fn start_snapshotter<M: StateMachine>(
    commons: &Arc<Commons<M>>,
    slot: &Arc<Slot<M>>,
    supervisor: &ActorRef<SupervisorMessage<M>>,
    log_bytes: u64,
) -> Result<ActorRef<SnapshotMessage<M>>, SpawnErr> {
    let arguments = SnapshotterArguments { commons: Arc::clone(commons), slot: Arc::clone(slot), log_bytes };
    let name = Some(format!("{}/{}/snapshotter", commons.name, slot.shard.0));
    let parent = supervisor.get_cell();
    let (snapshotter, _) = Actor::spawn_linked(name, Snapshotter::default(), arguments, parent).await?;
    Ok(snapshotter)
}

impl<M: StateMachine> Actor for ShardSupervisor<M> {
    type Msg = SupervisorMessage<M>;
    type State = SupervisorState<M>;
    type Arguments = SupervisorArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage<M>>,
        arguments: SupervisorArguments<M>,
    ) -> Result<SupervisorState<M>, ActorProcessingErr> {
        let SupervisorArguments { commons, slot, root, replayed } = arguments;
        *slot.supervisor.lock() = Some(myself.clone());
        let life = Arc::clone(&slot.life());
        let (incarnation, known_end) = (life.incarnation, replayed.tail);
        // Whoever opens hears of it if there is no thread to be had.
        let log_bytes = replayed.report.bytes;
        let pair = Pair::start(&commons, &slot, &myself, life, replayed, false).await?;
        let snapshotter = start_snapshotter(&commons, &slot, &myself, log_bytes).await?;
        Ok(SupervisorState {
            core: Lives::new(commons.options.budget(), incarnation),
            commons,
            slot,
            root,
            myself,
            pair: Some(pair),
            snapshotter: Some(snapshotter),
            known_end,
            replayed: None,
            finishing: false,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<SupervisorMessage<M>>,
        message: SupervisorMessage<M>,
        state: &mut SupervisorState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::PauseOver(incarnation) => {
                state.feed(Event::PauseOver(incarnation)).await;
            }
            SupervisorMessage::Recovered(recovered) => state.recovered(recovered).await,
            SupervisorMessage::RolledBack { timeline, state: replayed, done } => {
                let resumed = state.rolled_back(timeline, replayed).await;
                let _ = done.send(resumed);
            }
            SupervisorMessage::Fence => {
                state.feed(Event::Stop).await;
                state.slot.fence();
                state.lost();
            }
            SupervisorMessage::Finish => state.finish().await,
            SupervisorMessage::Finished { incarnation } => {
                if incarnation == state.core.incarnation() {
                    state.feed(Event::Stop).await;
                    // It stays until the root ends: its own end would be heard before this message.
                    let finished = shutdown::Event::Finished(state.slot.shard);
                    let _ = state.root.cast(RootMessage::Internal(Internal(News::Shutdown(finished))));
                }
            }
            SupervisorMessage::Abandon => {
                state.feed(Event::Stop).await;
                state.slot.close(NotExecuted::ShuttingDown);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<SupervisorMessage<M>>,
        event: SupervisionEvent,
        state: &mut SupervisorState<M>,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorTerminated(who, _, why) => (who, why.unwrap_or_default()),
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            _ => return Ok(()),
        };
        if let Some(incarnation) = state.incarnation_of(&who) {
            let shard = state.slot.shard.0;
            tracing::warn!(shard, %incarnation, who = who.get_name(), why, "an actor has ended");
            let now_ms = state.commons.clock.now_ms();
            let died = Event::Died { incarnation, now_ms };
            state.feed(if state.is_abandoned() { Event::Abandoned(incarnation) } else { died }).await;
        } else if state.snapshotter.as_ref().is_some_and(|actor| actor.get_id() == who.get_id()) {
            tracing::error!(shard = state.slot.shard.0, why, "the snapshotter has ended");
            state.restart_snapshotter().await;
        }
        Ok(())
    }
}

impl<M: StateMachine> SupervisorState<M> {
    fn incarnation_of(&self, who: &ActorCell) -> Option<Incarnation> {
        let pair = self.pair.as_ref()?;
        pair.has(who).then_some(pair.incarnation)
    }

    /// It has nothing that another one does not find in the manifest.
    async fn restart_snapshotter(&mut self) {
        let started = start_snapshotter(&self.commons, &self.slot, &self.myself, 0).await;
        self.snapshotter = match started {
            Ok(snapshotter) => Some(snapshotter),
            Err(error) => {
                tracing::error!(shard = self.slot.shard.0, %error, "no snapshots of this shard any more");
                *self.slot.snapshotter.lock() = None;
                None
            }
        };
    }

    async fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(effect).await;
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Revoke(incarnation) => self.revoke(incarnation),
            Effect::Pause(incarnation, pause_ms) => {
                let pause = std::time::Duration::from_millis(pause_ms);
                self.myself.send_after(pause, move || SupervisorMessage::PauseOver(incarnation));
            }
            Effect::Recover(incarnation) => self.recover(incarnation),
            Effect::Start(incarnation) => match self.begin_life(incarnation) {
                Some(life) => {
                    self.slot.counters.restarts.add(1);
                    self.start(life).await;
                    if self.finishing {
                        self.finish().await;
                    }
                }
                // A rollback came in between: what was read is not the state any more.
                None => Box::pin(self.feed(Event::Abandoned(incarnation))).await,
            },
            // A life in which nothing will ever be accepted.
            Effect::Show(incarnation) => {
                if let Some(life) = self.begin_life(incarnation) {
                    life.revoke(self.slot.shard);
                }
            }
            Effect::Refuse => {
                self.slot.close_gate(NotExecuted::Fenced);
                self.slot.refuse_waiting();
            }
            Effect::Fence(why) => {
                tracing::error!(shard = self.slot.shard.0, ?why, "the shard is fenced");
                self.slot.close(NotExecuted::Fenced);
                self.lost();
            }
        }
    }

    fn lost(&self) {
        let _ = self.root.cast(RootMessage::Internal(Internal(News::Shutdown(shutdown::Event::Lost(self.slot.shard)))));
    }

    fn revoke(&mut self, incarnation: Incarnation) {
        let life = Arc::clone(&self.slot.life());
        if life.incarnation == incarnation {
            life.revoke(self.slot.shard);
            // Taken once: what a thread of it learns later is about a file whose end is chosen by then.
            self.known_end = life.failed_tail.lock().take().or(self.known_end);
            self.slot.changed.notify_waiters();
            if let Some(coordinator) = &*self.slot.coordinator.lock() {
                let _ = coordinator.cast(CoordinatorMessage::Answer(cut::Event::Died(self.slot.shard)));
            }
        }
        if let Some(pair) = self.pair.take() {
            // Nobody waits: a thread inside the kernel ends when the kernel lets go.
            pair.kill();
        }
    }

    /// Starts the pair of a life that follows a death, which begins at once.
    async fn start(&mut self, life: Arc<Life<M>>) {
        let Some(replayed) = self.replayed.take() else { return };
        let incarnation = life.incarnation;
        let (commons, slot) = (&self.commons, &self.slot);
        match Pair::start(commons, slot, &self.myself, life, *replayed, true).await {
            Ok(pair) => self.pair = Some(pair),
            Err(error) => {
                tracing::error!(shard = slot.shard.0, %error, "actors could not be started");
                let now_ms = commons.clock.now_ms();
                Box::pin(self.feed(Event::Died { incarnation, now_ms })).await;
            }
        }
    }

    /// Leaf-last: the shard takes what waits, then the writer finishes. Between two lives there is nobody to drain; the
    /// next life is told as soon as it starts.
    async fn finish(&mut self) {
        self.finishing = true;
        self.slot.close_gate(NotExecuted::ShuttingDown);
        if let Some(pair) = &self.pair {
            let _ = pair.shard.cast(ShardMessage::Finish);
        }
    }
}
