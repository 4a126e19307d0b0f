//! The rewrite coordinator's shell: makes versions, one at a time, goes back to them, and retires old ones.
//!
//! It feeds [`protocol::cut`](crate::protocol::cut) and [`protocol::rollback`](crate::protocol::rollback), and carries
//! out what they say. Shards answer it by messages; what waits for a disk runs in tasks. One that dies is replaced by
//! the root, and finishes a rollback that was committed.

mod effects;
mod going_back;
mod retention;

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::replay::Replayed;
use super::shard_supervisor::Commons;
use super::slot::{Entity, Slot};
use super::snapshotter::recorded_end;
use super::snapshotter::worker::Cancel;
use crate::error::{OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{Incarnation, Position, ShardId, Tail, VersionId};
use crate::protocol::cut::{Cuts, Event, Failed, Kind};
use crate::protocol::hold::CutId;
use crate::protocol::rollback::{self, Rollbacks};
use crate::state::Root;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::sync::published::Positioned;
use going_back::GoingBack;
use retention::Growth;

/// How often it is looked whether a rewrite is due, or a version too old.
const LOOK: Duration = Duration::from_secs(1);

/// A shard's state at the cut, and how the manifest names that place.
type AtCut<M> = (Arc<Root<Entity<M>>>, Position);
type Reply = RpcReplyPort<Result<VersionId, VersionError>>;

/// What the coordinator is told.
pub(crate) enum CoordinatorMessage<M: StateMachine> {
    /// Make a version.
    Make(Kind, Reply),
    /// A shard holds, here is what it holds.
    Held(Held<M>),
    /// Somebody answers.
    Answer(Event),
    /// Go back to a version.
    RollBack(VersionId, Reply),
    /// Every shard's state at that version, or why there is none.
    Loaded(Result<Vec<Replayed<Entity<M>>>, Box<OpenError>>),
    /// Of the rollback that runs.
    Rollback(rollback::Event),
    /// Give a version up.
    Retire(VersionId, RpcReplyPort<Result<(), VersionError>>),
    /// Is a rewrite due, or a version too old?
    Look,
}

/// A shard that holds its lane.
pub(crate) struct Held<M: StateMachine> {
    pub(crate) cut: CutId,
    pub(crate) shard: ShardId,
    /// Its state at the cut.
    pub(crate) root: Arc<Root<Entity<M>>>,
    /// Told where the log has the cut, once everything in front of it is synced.
    pub(crate) told: oneshot::Receiver<Option<Tail>>,
}

/// What a coordinator starts with.
pub(crate) struct CoordinatorArguments<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) slots: Vec<Arc<Slot<M>>>,
    /// Goes up with every coordinator of a runtime.
    pub(crate) life: Incarnation,
}

pub(crate) struct CoordinatorState<M: StateMachine> {
    commons: Arc<Commons<M>>,
    slots: Vec<Arc<Slot<M>>>,
    myself: ActorRef<CoordinatorMessage<M>>,
    core: Cuts,
    /// The present request: what is wanted, and who is told. Nobody is, if it has begun by itself.
    making: Option<(Kind, Option<Reply>)>,
    /// States at the cut, until they are written.
    roots: BTreeMap<ShardId, AtCut<M>>,
    writing: BTreeMap<(CutId, ShardId), Arc<Cancel>>,
    growth: Growth,
    rollbacks: Rollbacks,
    /// The present rollback: who is told, what was read, and why nothing could be.
    going_back: Option<GoingBack<M>>,
}

/// See the module.
pub(crate) struct RewriteCoordinator<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for RewriteCoordinator<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M: StateMachine> Actor for RewriteCoordinator<M> {
    type Msg = CoordinatorMessage<M>;
    type State = CoordinatorState<M>;
    type Arguments = CoordinatorArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<CoordinatorMessage<M>>,
        arguments: CoordinatorArguments<M>,
    ) -> Result<CoordinatorState<M>, ActorProcessingErr> {
        let CoordinatorArguments { commons, slots, life } = arguments;
        for slot in &slots {
            *slot.coordinator.lock() = Some(myself.clone());
            // What the one before was about is over.
            slot.pinned.store(false, Ordering::SeqCst);
        }
        let limits = commons.options.versions.limits();
        let core = Cuts::new(limits, slots.len() as u32, CutId::first_of(life));
        myself.send_interval(LOOK, || CoordinatorMessage::Look);
        let growth = Growth::new(&slots);
        let (making, roots, writing) = (None, BTreeMap::new(), BTreeMap::new());
        let rollbacks = Rollbacks::new(slots.len() as u32);
        let mut state = CoordinatorState {
            commons,
            slots,
            myself,
            core,
            making,
            roots,
            writing,
            growth,
            rollbacks,
            going_back: None,
        };
        state.finish_rollback();
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<CoordinatorMessage<M>>,
        message: CoordinatorMessage<M>,
        state: &mut CoordinatorState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CoordinatorMessage::Make(kind, reply) => state.make(kind, Some(reply)),
            CoordinatorMessage::Held(held) => state.held(held),
            CoordinatorMessage::Answer(event) => {
                if let Event::Written { cut, shard, .. } | Event::SnapshotFailed { cut, shard } = event {
                    state.writing.remove(&(cut, shard));
                }
                state.feed(event);
            }
            CoordinatorMessage::RollBack(version, reply) => state.go_back(version, reply),
            CoordinatorMessage::Loaded(loaded) => state.loaded(loaded),
            CoordinatorMessage::Rollback(event) => state.feed_rollback(event),
            CoordinatorMessage::Retire(version, reply) => state.retire(version, reply),
            CoordinatorMessage::Look => state.look(),
        }
        Ok(())
    }
}

impl<M: StateMachine> CoordinatorState<M> {
    fn make(&mut self, kind: Kind, reply: Option<Reply>) {
        if self.core.is_busy() || self.rollbacks.is_busy() {
            if let Some(reply) = reply {
                let _ = reply.send(Err(VersionError::Busy));
            }
            return;
        }
        self.making = Some((kind, reply));
        self.pin(true);
        let (version, time) = (self.commons.keeper.manifest().next_version, Clock::wall());
        self.feed(Event::Requested { kind, version, time });
    }

    fn held(&mut self, held: Held<M>) {
        let Held { cut, shard, root, told } = held;
        let end = recorded_end(&self.commons.keeper.manifest(), shard, root.end());
        let digest = root.digest();
        let is_rewrite = self.making.as_ref().is_some_and(|(kind, _)| *kind == Kind::Rewrite);
        if is_rewrite && self.core.cut() == Some(cut) {
            self.roots.insert(shard, (root, end));
        }
        self.wait_for_point(cut, shard, (end, digest), told);
        self.feed(Event::Held { cut, shard, end });
    }

    fn feed(&mut self, event: Event) {
        if let Event::Written { cut, shard, .. } | Event::SnapshotFailed { cut, shard } = event {
            self.writing.remove(&(cut, shard));
        }
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn slot(&self, shard: ShardId) -> Option<Arc<Slot<M>>> {
        self.slots.get(shard.0 as usize).cloned()
    }

    /// Reports from a task.
    fn later(&self, event: impl Future<Output = Event> + Send + 'static) {
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let event = event.await;
            let _ = myself.cast(CoordinatorMessage::Answer(event));
        });
    }

    /// From before the cut until it is in the manifest or given up: a snapshot that is taken meanwhile holds more than
    /// the cut, and what it makes superfluous the cut needs.
    fn pin(&self, pinned: bool) {
        self.slots.iter().for_each(|slot| slot.pinned.store(pinned, Ordering::SeqCst));
    }

    fn done(&mut self, result: Result<VersionId, Failed>) {
        self.roots.clear();
        self.pin(false);
        let Some((kind, reply)) = self.making.take() else { return };
        match result {
            Ok(version) => tracing::info!(%version, ?kind, "version made"),
            Err(why) => tracing::warn!(?kind, ?why, "no version"),
        }
        if result.is_ok() {
            if kind == Kind::Rewrite {
                self.growth.rewritten(&self.slots, &self.commons.keeper.manifest());
            }
            return self.retain(result, reply);
        }
        self.drop_unneeded();
        if let Some(reply) = reply {
            let _ = reply.send(result.map_err(error));
        }
    }
}

impl<M: StateMachine> Drop for CoordinatorState<M> {
    /// However it ends, its threads do not go on for long.
    fn drop(&mut self) {
        self.writing.values().for_each(|cancel| cancel.cancel());
    }
}

fn error(why: Failed) -> VersionError {
    match why {
        Failed::Shard(shard) => VersionError::Shard(shard),
        Failed::Lapsed(shard) => VersionError::Lapsed(shard),
        Failed::Deadline => VersionError::Deadline,
        Failed::Declined(_) | Failed::NotCommitted => VersionError::NotCommitted,
        Failed::Indeterminate => VersionError::Indeterminate,
        Failed::Cancelled => VersionError::Cancelled,
    }
}
