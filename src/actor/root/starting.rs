//! From an opened directory to running actors: the keeper first, then a supervisor for every shard that can be served.

use std::io;

use arc_swap::ArcSwap;
use flume::Sender;
use ractor::thread_local::ThreadLocalActor;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Semaphore;

use super::{RootMessage, RootState};
use crate::actor::clock::Clock;
use crate::actor::credits::Credits;
use crate::actor::keeper::Keeper;
use crate::actor::manifest_keeper::{KeeperArguments, KeeperMessage, ManifestKeeper};
use crate::actor::opening::Opened;
use crate::actor::overdue::{self, Deadlines, Watched};
use crate::actor::reaper;
use crate::actor::replay::Replayed;
use crate::actor::rewrite_coordinator::{CoordinatorArguments, CoordinatorMessage, RewriteCoordinator};
use crate::actor::shard_supervisor::{Commons, ShardSupervisor, SupervisorArguments, SupervisorMessage, next_life};
use crate::actor::slot::{Entity, Slot};
use crate::actor::thread;
use crate::actor::upkeep::Upkeep;
use crate::config::Options;
use crate::error::{NotExecuted, OpenError};
use crate::machine::StateMachine;
use crate::model::{EditOutcome, Incarnation, Lsn, Position, ShardId, ShardRecord, Time};
use crate::protocol::cut::Growth;
use crate::protocol::shutdown::{Event, Shutdown};
use crate::runtime::Shared;
use crate::runtime::decodes::Decodes;
use crate::state::map::Map;
use crate::state::{Root as State, StateDigest};
use crate::storage::disk::{DirectoryLock, Disk};
use crate::storage::layout::Layout;
use crate::storage::manifest_log;
use crate::sync::Arc;

/// An opened directory whose actors are being started.
pub(super) struct Starting<M: StateMachine> {
    pub(super) myself: ActorRef<RootMessage<M>>,
    pub(super) name: String,
    pub(super) machine: Arc<M>,
    pub(super) options: Arc<Options>,
    pub(super) disk: Arc<dyn Disk>,
}

impl<M: StateMachine> Starting<M> {
    pub(super) async fn start(self, opened: Opened<Entity<M>>) -> Result<RootState<M>, ActorProcessingErr> {
        let name = self.name.clone();
        let Opened { layout, lock, manifest, hasher, memory, pages, shards, report } = opened;
        let watch = overdue::start(&name).map_err(no_thread)?;
        let (keeper, keeper_actor) = self.start_keeper(&name, &layout, &lock, manifest).await?;
        remember(&keeper, &shards).await?;
        let found = shards.iter().flatten().map(|replayed| replayed.report.bytes).sum();
        let growth = Growth::new(found, keeper.manifest().newest_snapshot_bytes());
        let commons = Arc::new(Commons {
            reaper: reaper::start(&name),
            name,
            machine: Arc::clone(&self.machine),
            options: Arc::clone(&self.options),
            hasher,
            memory,
            pages: Arc::clone(&pages),
            disk: Arc::clone(&self.disk),
            layout,
            lock,
            keeper: keeper.clone(),
            clock: Clock::start(),
            upkeep: Upkeep::new(growth),
            turns: Arc::new(Semaphore::new(self.options.snapshots.turns())),
        });
        let mut slots = Vec::new();
        for (shard, replayed) in (0..).map(ShardId).zip(&shards) {
            slots.push(Arc::new(self.slot(&commons, &watch, shard, replayed.as_ref())));
        }
        let shared = Arc::new(Shared {
            slots,
            machine: self.machine,
            options: self.options,
            hasher,
            memory,
            pages,
            keeper,
            disk: self.disk,
            decodes: Decodes::new(),
            report,
            root: self.myself.clone(),
        });
        let life = Incarnation(1);
        let coordinator = start_coordinator(&commons, shared.slots.clone(), &self.myself, life).await?;
        let mut state = RootState {
            commons: Arc::clone(&commons),
            coordinator,
            life,
            core: Shutdown::new(hasher.shards()),
            shared: Arc::clone(&shared),
            keeper: keeper_actor,
            supervisors: Vec::new(),
            waiting: Vec::new(),
            deadline: shared.options.shutdown_deadline,
        };
        for (slot, replayed) in shared.slots.iter().zip(shards) {
            let supervisor = match replayed {
                Some(replayed) => Some(start_shard(&commons, slot, &self.myself, replayed).await?),
                None => {
                    slot.close(NotExecuted::Refused);
                    slot.life().revoke(slot.shard);
                    state.feed(&self.myself, Event::Lost(slot.shard));
                    None
                }
            };
            state.supervisors.push(supervisor);
        }
        Ok(state)
    }

    async fn start_keeper(
        &self,
        name: &str,
        layout: &Layout,
        lock: &Arc<dyn DirectoryLock>,
        opened: manifest_log::Opened,
    ) -> Result<(Keeper, ActorRef<KeeperMessage>), ActorProcessingErr> {
        let published = Arc::new(ArcSwap::from_pointee(opened.manifest.clone()));
        let arguments = KeeperArguments {
            disk: Arc::clone(&self.disk),
            layout: layout.clone(),
            log: opened.log,
            manifest: opened.manifest,
            torn: opened.torn,
            published: Arc::clone(&published),
            lock: Arc::clone(lock),
        };
        let (actor, _) = ManifestKeeper::spawn_linked(
            Some(format!("{name}/manifest_keeper")),
            arguments,
            self.myself.get_cell(),
            thread::spawner().map_err(failed_to_start)?,
        )
        .await
        .map_err(failed_to_start)?;
        Ok((Keeper::new(actor.clone(), published), actor))
    }

    /// A shard's slot, with its first life and what was recovered published.
    fn slot(
        &self,
        commons: &Commons<M>,
        watch: &Sender<Watched<M>>,
        shard: ShardId,
        replayed: Option<&Replayed<Entity<M>>>,
    ) -> Slot<M> {
        let (map, first, time) = replayed.map_or_else(
            || (Map::new(), Lsn::FIRST, Time(0)),
            |replayed| (replayed.map.clone(), replayed.end, replayed.time),
        );
        let manifest = commons.keeper.manifest();
        let begins = replayed.map(|replayed| replayed.begins.clone()).unwrap_or_default();
        let mut life = next_life(&manifest, shard, Incarnation(0), first, begins);
        if replayed.is_none() {
            // A refused shard begins no timeline, and what became of the last one is not known.
            life.epoch = manifest.shard(shard).map_or(life.epoch, ShardRecord::epoch);
        }
        let end = Position { epoch: life.epoch, lsn: first };
        let digest = replayed.and_then(|replayed| replayed.digest.as_ref()).map(StateDigest::hash);
        let root = State::new(map, end, time, Arc::clone(&commons.reaper));
        let cold = replayed.and_then(|replayed| replayed.cold.clone());
        let root = root.of_timeline(life.timeline).with_cold(cold).with_digest(digest);
        let credits = Credits::new(self.options.lane_commands, self.options.lane_bytes, commons.memory.lane_bytes);
        let deadlines = Deadlines::new(self.options.submit_deadline, watch.clone());
        Slot::new(shard, credits, deadlines, Arc::new(root), life)
    }
}

/// What was found now holds for every later opening too, before anybody sees this one's result: poison is left out,
/// damaged snapshots are not relied on.
async fn remember<E>(keeper: &Keeper, shards: &[Option<Replayed<E>>]) -> Result<(), ActorProcessingErr> {
    for edit in shards.iter().flatten().flat_map(|replayed| &replayed.findings) {
        if keeper.edit(edit.clone()).await != EditOutcome::Committed {
            let reason = "the manifest could not remember what was found".to_owned();
            return Err(Box::new(OpenError::Actor { reason }));
        }
    }
    Ok(())
}

pub(super) async fn start_coordinator<M: StateMachine>(
    commons: &Arc<Commons<M>>,
    slots: Vec<Arc<Slot<M>>>,
    root: &ActorRef<RootMessage<M>>,
    life: Incarnation,
) -> Result<ActorRef<CoordinatorMessage<M>>, ActorProcessingErr> {
    let name = format!("{}/rewrite_coordinator.{}", commons.name, life.0);
    let arguments = CoordinatorArguments { commons: Arc::clone(commons), slots, life };
    let parent = root.get_cell();
    let started = Actor::spawn_linked(Some(name), RewriteCoordinator::default(), arguments, parent).await;
    Ok(started.map_err(failed_to_start)?.0)
}

async fn start_shard<M: StateMachine>(
    commons: &Arc<Commons<M>>,
    slot: &Arc<Slot<M>>,
    root: &ActorRef<RootMessage<M>>,
    replayed: Replayed<Entity<M>>,
) -> Result<ActorRef<SupervisorMessage<M>>, ActorProcessingErr> {
    let name = format!("{}/{}/supervisor", commons.name, slot.shard.0);
    let arguments =
        SupervisorArguments { commons: Arc::clone(commons), slot: Arc::clone(slot), root: root.clone(), replayed };
    let (supervisor, _) = Actor::spawn_linked(Some(name), ShardSupervisor::default(), arguments, root.get_cell())
        .await
        .map_err(failed_to_start)?;
    Ok(supervisor)
}

fn no_thread(error: io::Error) -> ActorProcessingErr {
    Box::new(OpenError::Actor { reason: format!("no thread for deadlines: {error}") })
}

fn failed_to_start(error: ractor::SpawnErr) -> ActorProcessingErr {
    Box::new(OpenError::Actor { reason: error.to_string() })
}
