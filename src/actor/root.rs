//! The root actor: opens the directory, starts everybody, and ends them leaf-last.
//!
//! It feeds [`protocol::shutdown`](crate::protocol::shutdown) and carries out what that says. Data does not pass through
//! it: a [`Runtime`] reaches the shards' lanes directly, and what [`RootMessage`] offers is a convenience for actors.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ractor::thread_local::{ThreadLocalActor, ThreadLocalActorSpawner};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use super::clock::Clock;
use super::credits::Credits;
use super::keeper::Keeper;
use super::manifest_keeper::{KeeperArguments, KeeperMessage, ManifestKeeper};
use super::opening::{self, Opened};
use super::replay::Replayed;
use super::shard_supervisor::{
    Commons, ShardSupervisor, SupervisorArguments, SupervisorMessage, next_life,
};
use super::slot::{Answer, Entity, Slot};
use super::{process_unique_name, reaper};
use crate::config::Options;
use crate::error::{DurableError, NotExecuted, OpenError, ShutdownError};
use crate::machine::StateMachine;
use crate::model::{Edit, EditOutcome, Incarnation, Lsn, Position, ShardId, ShardRecord, Time};
use crate::protocol::shutdown::{Effect, Event, Shutdown};
use crate::runtime::{Outcome, Runtime, Shared, Stats};
use crate::state::map::Map;
use crate::state::{Root as State, View};
use crate::storage::disk::{DirectoryLock, Disk, StandardDisk};
use crate::storage::layout::Layout;
use crate::storage::manifest_log;

/// The runtime's root, an ordinary ractor actor. [`Runtime::open`] spawns one; an application with supervisors of its
/// own spawns it linked, and asks it for the [`Runtime`].
///
/// ```no_run
/// # use std::borrow::Cow;
/// # use mainstay::{Abort, At, StateMachine, Txn};
/// # struct Machine;
/// # impl StateMachine for Machine {
/// #     type Command = u8; type Entity = u8; type Reply = ();
/// #     const SCHEMA: u32 = 1;
/// #     fn key<'a>(&self, _: &'a u8) -> Cow<'a, [u8]> { Cow::Borrowed(b"") }
/// #     fn apply(&self, _: At, _: &mut Txn<'_, u8>, _: u8) -> Result<(), Abort> { Ok(()) }
/// # }
/// use mainstay::ractor::{Actor, ActorCell, call};
/// use mainstay::{Options, Root, RootArguments, RootMessage};
///
/// # async fn example(supervisor: ActorCell) -> Result<(), Box<dyn std::error::Error>> {
/// let arguments = RootArguments::new(Machine, Options::new("/var/lib/app"));
/// let (root, _) = Root::spawn_linked(None, Root::default(), arguments, supervisor).await?;
/// let runtime = call!(root, RootMessage::Runtime)?;
/// # Ok(()) }
/// ```
pub struct Root<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for Root<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// What a [`Root`] starts with.
pub struct RootArguments<M> {
    pub(crate) name: String,
    machine: M,
    options: Options,
    disk: Arc<dyn Disk>,
}

impl<M: StateMachine> RootArguments<M> {
    /// Opens the options' directory with this machine.
    pub fn new(machine: M, options: Options) -> Self {
        Self { name: process_unique_name(), machine, options, disk: Arc::new(StandardDisk) }
    }

    /// Opens a directory of another disk.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn on_disk(mut self, disk: impl Disk + 'static) -> Self {
        self.disk = Arc::new(disk);
        self
    }
}

/// What a [`Root`] can be asked: all that a [`Runtime`] offers.
///
/// A mailbox has no backpressure, so `Submit` answers `Busy` where [`Runtime::submit`] would wait.
#[expect(missing_debug_implementations, reason = "commands need not be Debug")]
#[non_exhaustive]
pub enum RootMessage<M: StateMachine> {
    /// A handle for everything else.
    Runtime(RpcReplyPort<Runtime<M>>),
    /// See [`Runtime::try_submit`].
    Submit {
        /// The command.
        command: M::Command,
        /// Its answer.
        reply: RpcReplyPort<Answer<M>>,
    },
    /// See [`Runtime::submit_many`].
    SubmitMany {
        /// The commands.
        commands: Vec<M::Command>,
        /// Their answers, in order.
        reply: RpcReplyPort<Vec<Answer<M>>>,
    },
    /// See [`Runtime::submit_to`].
    SubmitTo {
        /// The shard.
        shard: ShardId,
        /// The command.
        command: M::Command,
        /// Its answer.
        reply: RpcReplyPort<Answer<M>>,
    },
    /// See [`Runtime::view`].
    View(RpcReplyPort<View<M::Entity>>),
    /// See [`Runtime::latest`].
    Latest(RpcReplyPort<View<M::Entity>>),
    /// See [`Runtime::outcome`].
    Outcome {
        /// The shard.
        shard: ShardId,
        /// The position.
        position: Position,
        /// What became of it.
        reply: RpcReplyPort<Outcome>,
    },
    /// See [`Runtime::durable`].
    Durable {
        /// The shard.
        shard: ShardId,
        /// The position.
        position: Position,
        /// When it is durable.
        reply: RpcReplyPort<Result<(), DurableError>>,
    },
    /// See [`Runtime::stats`].
    Stats(RpcReplyPort<Stats>),
    /// See [`Runtime::shutdown`].
    Shutdown(RpcReplyPort<Result<(), ShutdownError>>),
    /// From the actors below.
    #[doc(hidden)]
    Internal(Internal),
}

/// What the actors below tell the root.
#[doc(hidden)]
#[derive(Debug)]
pub struct Internal(pub(crate) Event);

/// The root's state. Opaque.
pub struct RootState<M: StateMachine> {
    shared: Arc<Shared<M>>,
    core: Shutdown,
    keeper: ActorRef<KeeperMessage>,
    supervisors: Vec<Option<ActorRef<SupervisorMessage<M>>>>,
    waiting: Vec<RpcReplyPort<Result<(), ShutdownError>>>,
    deadline: std::time::Duration,
}

impl<M: StateMachine> Actor for Root<M> {
    type Msg = RootMessage<M>;
    type State = RootState<M>;
    type Arguments = RootArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<RootMessage<M>>,
        arguments: RootArguments<M>,
    ) -> Result<RootState<M>, ActorProcessingErr> {
        let RootArguments { name, machine, options, disk } = arguments;
        let (machine, options) = (Arc::new(machine), Arc::new(options));
        let opened = {
            let (machine, options, disk) =
                (Arc::clone(&machine), Arc::clone(&options), Arc::clone(&disk));
            tokio::task::spawn_blocking(move || opening::open(&*machine, &disk, &options))
        };
        let opened = opened.await??;
        Starting { myself, name, machine, options, disk }.start(opened).await
    }

    async fn handle(
        &self,
        myself: ActorRef<RootMessage<M>>,
        message: RootMessage<M>,
        state: &mut RootState<M>,
    ) -> Result<(), ActorProcessingErr> {
        let runtime = || Runtime::unguarded(Arc::clone(&state.shared));
        match message {
            RootMessage::Runtime(reply) => drop(reply.send(runtime())),
            RootMessage::Latest(reply) => drop(reply.send(runtime().latest())),
            RootMessage::Stats(reply) => drop(reply.send(runtime().stats())),
            RootMessage::Submit { command, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.try_submit(command).await });
            }
            RootMessage::SubmitMany { commands, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.submit_many(commands).await });
            }
            RootMessage::SubmitTo { shard, command, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.submit_to(shard, command).await });
            }
            RootMessage::View(reply) => {
                let runtime = runtime();
                answer(reply, async move { runtime.view().await });
            }
            RootMessage::Outcome { shard, position, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.outcome(shard, position).await });
            }
            RootMessage::Durable { shard, position, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.durable(shard, position).await });
            }
            RootMessage::Shutdown(reply) => {
                state.waiting.push(reply);
                let deadline = || RootMessage::Internal(Internal(Event::Deadline));
                myself.send_after(state.deadline, deadline);
                state.feed(&myself, Event::Requested);
            }
            RootMessage::Internal(Internal(event)) => state.feed(&myself, event),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMessage<M>>,
        event: SupervisionEvent,
        state: &mut RootState<M>,
    ) -> Result<(), ActorProcessingErr> {
        let who = match &event {
            SupervisionEvent::ActorTerminated(who, ..) | SupervisionEvent::ActorFailed(who, _) => {
                who.get_id()
            }
            _ => return Ok(()),
        };
        if who == state.keeper.get_id() {
            if !state.core.is_requested() {
                return Err("the manifest keeper has died".into());
            }
            state.feed(&myself, Event::KeeperStopped);
            return Ok(());
        }
        let shard = state.supervisors.iter().position(|supervisor| {
            supervisor.as_ref().is_some_and(|supervisor| supervisor.get_id() == who)
        });
        if let Some(slot) = shard.and_then(|shard| state.shared.slots.get(shard)) {
            // After an orderly end there is nobody left to tell, and nothing changes.
            slot.life().revoke(slot.shard);
            slot.close(NotExecuted::Fenced);
            state.feed(&myself, Event::Lost(slot.shard));
        }
        Ok(())
    }
}

/// Answers from a task of its own, so that the root goes on.
fn answer<T: Send + 'static>(
    reply: RpcReplyPort<T>,
    work: impl Future<Output = T> + Send + 'static,
) {
    tokio::spawn(async move { drop(reply.send(work.await)) });
}

impl<M: StateMachine> RootState<M> {
    fn feed(&mut self, myself: &ActorRef<RootMessage<M>>, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(myself, effect);
        }
    }

    fn carry_out(&mut self, myself: &ActorRef<RootMessage<M>>, effect: Effect) {
        match effect {
            Effect::CloseGates => {
                for slot in &self.shared.slots {
                    slot.close_gate(NotExecuted::ShuttingDown);
                }
            }
            Effect::Finish(shard) => self.tell(shard, SupervisorMessage::Finish),
            Effect::Abandon(shard) => self.tell(shard, SupervisorMessage::Abandon),
            Effect::StopKeeper => self.keeper.stop(None),
            Effect::Done(unfinished) => {
                for reply in self.waiting.drain(..) {
                    let _ = reply.send(report(&unfinished));
                }
                myself.stop(None);
            }
        }
    }

    fn tell(&self, shard: ShardId, message: SupervisorMessage<M>) {
        if let Some(Some(supervisor)) = self.supervisors.get(shard.0 as usize) {
            // One that is gone has been reported as lost.
            let _ = supervisor.cast(message);
        }
    }
}

fn report(unfinished: &BTreeSet<ShardId>) -> Result<(), ShutdownError> {
    if unfinished.is_empty() {
        return Ok(());
    }
    Err(ShutdownError::Unfinished { shards: unfinished.iter().copied().collect() })
}

impl<M: StateMachine> Drop for RootState<M> {
    /// However the root ends, nobody waits for an answer that will never come.
    fn drop(&mut self) {
        for slot in &self.shared.slots {
            slot.close(NotExecuted::ShuttingDown);
            slot.life().revoke(slot.shard);
            slot.changed.notify_waiters();
        }
    }
}

/// An opened directory whose actors are being started.
struct Starting<M: StateMachine> {
    myself: ActorRef<RootMessage<M>>,
    name: String,
    machine: Arc<M>,
    options: Arc<Options>,
    disk: Arc<dyn Disk>,
}

impl<M: StateMachine> Starting<M> {
    async fn start(self, opened: Opened<Entity<M>>) -> Result<RootState<M>, ActorProcessingErr> {
        let name = self.name.clone();
        let Opened { layout, lock, manifest, hasher, shards, report } = opened;
        let (keeper, keeper_actor) = self.start_keeper(&name, &layout, &lock, manifest).await?;
        remember_poison(&keeper, &shards).await?;
        let commons = Arc::new(Commons {
            reaper: reaper::start(&name),
            name,
            machine: Arc::clone(&self.machine),
            options: Arc::clone(&self.options),
            hasher,
            disk: Arc::clone(&self.disk),
            layout,
            lock,
            keeper: keeper.clone(),
            clock: Clock::start(),
        });
        let mut slots = Vec::new();
        for (shard, replayed) in (0..).map(ShardId).zip(&shards) {
            slots.push(Arc::new(self.slot(&commons, shard, replayed.as_ref())));
        }
        let shared = Arc::new(Shared {
            slots,
            machine: self.machine,
            options: self.options,
            hasher,
            keeper,
            report,
            root: self.myself.clone(),
        });
        let mut state = RootState {
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
            ThreadLocalActorSpawner::new(),
        )
        .await
        .map_err(failed_to_start)?;
        Ok((Keeper::new(actor.clone(), published), actor))
    }

    /// A shard's slot, with its first life and what was recovered published.
    fn slot(
        &self,
        commons: &Commons<M>,
        shard: ShardId,
        replayed: Option<&Replayed<Entity<M>>>,
    ) -> Slot<M> {
        let (map, first, time) = replayed.map_or_else(
            || (Map::new(), Lsn::FIRST, Time(0)),
            |replayed| (replayed.map.clone(), replayed.end, replayed.time),
        );
        let manifest = commons.keeper.manifest();
        let mut life = next_life(&manifest, shard, Incarnation(0), first);
        if replayed.is_none() {
            // A refused shard begins no timeline, and what became of the last one is not known.
            life.epoch = manifest.shard(shard).map_or(life.epoch, ShardRecord::epoch);
        }
        let end = Position { epoch: life.epoch, lsn: first };
        let root = Arc::new(State::new(map, end, time, Arc::clone(&commons.reaper)));
        let credits = Credits::new(self.options.lane_commands, self.options.lane_bytes);
        Slot::new(shard, credits, root, life)
    }
}

/// Poison that was found now is left out of every later replay too, before anybody sees this one's result.
async fn remember_poison<E>(
    keeper: &Keeper,
    shards: &[Option<Replayed<E>>],
) -> Result<(), ActorProcessingErr> {
    for (shard, replayed) in (0..).map(ShardId).zip(shards) {
        for position in replayed.iter().flat_map(|replayed| &replayed.skipped) {
            let edit = Edit::Skip { shard, position: *position };
            if keeper.edit(edit).await != EditOutcome::Committed {
                return Err("the manifest could not remember skipped commands".into());
            }
        }
    }
    Ok(())
}

async fn start_shard<M: StateMachine>(
    commons: &Arc<Commons<M>>,
    slot: &Arc<Slot<M>>,
    root: &ActorRef<RootMessage<M>>,
    replayed: Replayed<Entity<M>>,
) -> Result<ActorRef<SupervisorMessage<M>>, ActorProcessingErr> {
    let name = format!("{}/{}/supervisor", commons.name, slot.shard.0);
    let arguments = SupervisorArguments {
        commons: Arc::clone(commons),
        slot: Arc::clone(slot),
        root: root.clone(),
        replayed,
    };
    let (supervisor, _) =
        Actor::spawn_linked(Some(name), ShardSupervisor::default(), arguments, root.get_cell())
            .await
            .map_err(failed_to_start)?;
    Ok(supervisor)
}

fn failed_to_start(error: ractor::SpawnErr) -> ActorProcessingErr {
    Box::new(OpenError::Actor { reason: error.to_string() })
}
