//! The rewrite coordinator's shell: makes versions, one at a time, goes back to them, and retires old ones.
//!
//! It feeds [`protocol::cut`](crate::protocol::cut) and [`protocol::rollback`](crate::protocol::rollback), and carries
//! out what they say. Shards answer it by messages; what waits for a disk runs in tasks. One that dies is replaced by
//! the root, and finishes a rollback that was committed.

mod beside;
mod effects;
mod going_back;
mod retention;

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::clock::Clock;
use super::overlap::KeptRoot;
use super::pins::Pins;
use super::replay::Replayed;
use super::shard_supervisor::Commons;
use super::slot::{Entity, Slot, SnapshotStats};
use super::snapshotter::{Cancel, recorded_end};
use crate::error::{OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{Incarnation, Position, ShardId, Tail, VersionId};
use crate::protocol::cut::{Cuts, Event, Failed, Kind};
use crate::protocol::hold::CutId;
use crate::protocol::rollback::{self, Loading, Rollbacks};
use crate::state::Root;
use crate::sync::Arc;
use crate::sync::published::Positioned;
use beside::Beside;
use going_back::GoingBack;
use retention::log_bytes;

/// How often it is looked whether a rewrite is due, or a version too old.
const LOOK: Duration = Duration::from_secs(1);

/// A shard's state at the cut, and how the manifest names that place.
type AtCut<M> = (KeptRoot<M>, Position);
type Reply = RpcReplyPort<Result<VersionId, VersionError>>;

/// What the coordinator is told.
pub(crate) enum CoordinatorMessage<M: StateMachine> {
    /// Make a version. One that is aside does not count for retention, and is kept until it is retired.
    Make { kind: Kind, aside: bool, reply: Reply },
    /// A shard holds, here is what it holds.
    Held(Held<M>),
    /// Somebody answers.
    Answer(Event),
    /// A snapshot of the rewrite is whole.
    Written(Event, SnapshotStats),
    /// Go back to a version.
    RollBack(VersionId, Reply),
    /// Every shard's state at that version, or why there is none.
    Loaded(Loading, Result<Vec<Replayed<Entity<M>>>, Box<OpenError>>),
    /// Of the rollback that runs.
    Rollback(rollback::Event),
    /// Nobody wants what runs.
    Cancel,
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

/// The present request: what is wanted, and who is told. Nobody is, if it has begun by itself.
struct Making<M: StateMachine> {
    kind: Kind,
    aside: bool,
    reply: Option<Reply>,
    pins: Pins<M>,
    /// How much log there was before the cut.
    log_bytes: u64,
    /// Numbers of the snapshots that were written for it.
    written: BTreeMap<ShardId, SnapshotStats>,
    /// Who waits for a shard's syncs on its behalf, and no longer than it lasts.
    waits: JoinSet<()>,
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
    making: Option<Making<M>>,
    /// States at the cut, until they are written.
    roots: BTreeMap<ShardId, AtCut<M>>,
    writing: BTreeMap<(CutId, ShardId), Arc<Cancel>>,
    rollbacks: Rollbacks,
    /// The present rollback: who is told, what was read, and why nothing could be.
    going_back: Option<GoingBack<M>>,
    /// What is read for it, and for those before that were given up.
    readings: BTreeMap<Loading, Arc<Beside<M>>>,
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
        }
        let limits = commons.options.versions.limits();
        let core = Cuts::new(limits, slots.len() as u32, CutId::first_of(life));
        myself.send_interval(LOOK, || CoordinatorMessage::Look);
        let rollbacks = Rollbacks::new(slots.len() as u32);
        let mut state = CoordinatorState {
            commons,
            slots,
            myself,
            core,
            making: None,
            roots: BTreeMap::new(),
            writing: BTreeMap::new(),
            rollbacks,
            going_back: None,
            readings: BTreeMap::new(),
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
            CoordinatorMessage::Make { kind, aside, reply } => state.make(kind, aside, Some(reply)),
            CoordinatorMessage::Held(held) => state.held(held),
            CoordinatorMessage::Answer(event) => state.feed(event),
            CoordinatorMessage::Written(event, stats) => state.written(event, stats),
            CoordinatorMessage::RollBack(version, reply) => state.go_back(version, reply),
            CoordinatorMessage::Loaded(loading, loaded) => state.loaded(loading, loaded),
            CoordinatorMessage::Cancel => {
                state.feed(Event::Cancel);
                state.feed_rollback(rollback::Event::Cancel);
            }
            CoordinatorMessage::Rollback(event) => state.feed_rollback(event),
            CoordinatorMessage::Retire(version, reply) => state.retire(version, reply),
            CoordinatorMessage::Look => state.look(),
        }
        Ok(())
    }
}

impl<M: StateMachine> CoordinatorState<M> {
    fn make(&mut self, kind: Kind, aside: bool, reply: Option<Reply>) {
        if self.is_busy() {
            if let Some(reply) = reply {
                let _ = reply.send(Err(VersionError::Busy));
            }
            return;
        }
        // From before the cut until it is in the manifest or given up: a snapshot that is taken meanwhile holds more
        // than the cut, and what it makes superfluous the cut needs.
        let (pins, log_bytes) = (Pins::new(&self.slots), log_bytes(&self.slots));
        self.making =
            Some(Making { kind, aside, reply, pins, log_bytes, written: BTreeMap::new(), waits: JoinSet::new() });
        let version = self.commons.keeper.manifest().next_version;
        self.feed(Event::Requested { kind, version });
    }

    fn held(&mut self, held: Held<M>) {
        let Held { cut, shard, root, told } = held;
        let end = recorded_end(&self.commons.keeper.manifest(), shard, root.end());
        let digest = root.digest();
        let is_rewrite = self.making.as_ref().is_some_and(|making| making.kind == Kind::Rewrite);
        if is_rewrite
            && self.core.cut() == Some(cut)
            && let Some(slot) = self.slot(shard)
        {
            // From here on: the shard holds, and changes nothing yet.
            let kept = KeptRoot::new(slot, root, self.commons.memory.overlap_bytes, Cancel::new());
            self.roots.insert(shard, (kept, end));
        }
        self.wait_for_point(cut, shard, (end, digest), told);
        self.feed(Event::Held { cut, shard, end, time: Clock::wall() });
    }

    fn written(&mut self, event: Event, stats: SnapshotStats) {
        if let (Event::Written { cut, shard, .. }, Some(making)) = (&event, &mut self.making)
            && self.core.cut() == Some(*cut)
        {
            making.written.insert(*shard, stats);
        }
        self.feed(event);
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

    /// Reports from a task, unless the present request is over by then.
    fn wait(&mut self, event: impl Future<Output = Event> + Send + 'static) {
        let Some(making) = &mut self.making else { return };
        let myself = self.myself.clone();
        making.waits.spawn(async move {
            let event = event.await;
            let _ = myself.cast(CoordinatorMessage::Answer(event));
        });
    }

    /// One thing at a time.
    fn is_busy(&self) -> bool {
        self.core.is_busy() || self.rollbacks.is_busy()
    }

    fn done(&mut self, result: Result<VersionId, Failed>) {
        self.roots.clear();
        let Some(making) = self.making.take() else { return };
        let kind = making.kind;
        match result {
            Ok(version) => {
                tracing::info!(%version, ?kind, "version made");
                self.made(version, making);
            }
            Err(why) => {
                tracing::warn!(?kind, ?why, "no version");
                drop(making.pins);
                self.drop_unneeded();
                if let Some(reply) = making.reply {
                    let _ = reply.send(Err(error(why)));
                }
            }
        }
    }

    fn made(&mut self, version: VersionId, making: Making<M>) {
        if making.aside {
            self.commons.upkeep.aside.lock().insert(version);
        }
        if making.kind == Kind::Rewrite {
            let bytes = making.written.values().map(|stats| stats.bytes).sum();
            self.commons.upkeep.growth.lock().rewritten(making.log_bytes, bytes);
        }
        for (shard, stats) in making.written {
            if let Some(slot) = self.slot(shard) {
                slot.snapshots.lock().adopted(Some(stats));
            }
        }
        drop(making.pins);
        self.retain(version, making.reply);
    }
}

impl<M: StateMachine> Drop for CoordinatorState<M> {
    /// However it ends, its threads do not go on for long.
    fn drop(&mut self) {
        self.writing.values().for_each(|cancel| cancel.cancel());
        self.readings.values().for_each(|beside| beside.give_up());
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
