//! The root actor: opens the directory, starts everybody, and ends them leaf-last.
//!
//! It feeds [`protocol::shutdown`](crate::protocol::shutdown) and carries out what that says. Data does not pass
//! through it: a [`Runtime`] reaches the shards' lanes directly, and what [`RootMessage`] offers is a convenience for
//! actors.

mod message;
mod starting;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::time::Duration;

pub(crate) use message::News;
pub use message::{Internal, RootMessage};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use starting::Starting;

use super::manifest_keeper::KeeperMessage;
use super::rewrite_coordinator::CoordinatorMessage;
use super::shard_supervisor::{Commons, SupervisorMessage};
use super::{opening, process_unique_name};
use crate::config::Options;
use crate::error::{NotExecuted, OpenError, ShutdownError};
use crate::machine::StateMachine;
use crate::model::{Incarnation, ShardId};
use crate::protocol::shutdown::{Effect, Event, Shutdown};
use crate::runtime::{Runtime, Shared};
use crate::storage::disk::{Disk, StandardDisk};
use crate::sync::Arc;

/// The runtime's root, an ordinary ractor actor. [`Runtime::open`] spawns one; an application with supervisors of its
/// own spawns it linked, and asks it for the [`Runtime`].
///
/// Spawning it opens the directory and returns when everything is recovered and running.
/// - An opening that fails is `SpawnErr::StartupFailed` for whoever spawns, and no event for the supervisor. The error
///   in it is an [`OpenError`](crate::OpenError), by `downcast_ref`, but for what [`Runtime::open`] would call
///   [`OpenError::Actor`](crate::OpenError::Actor), which may be ractor's own.
/// - Stopped (`stop`, the end of its supervisor) or killed, it takes all its actors along and waits for nothing:
///   commands on their way are `Unconfirmed` if a shard has taken them up, all others `NotExecuted(ShuttingDown)`. As
///   far as the data is concerned it is a crash. [`RootMessage::Shutdown`] is the orderly end. After either the
///   supervisor hears `ActorTerminated`.
/// - It fails only if its manifest keeper dies: `ActorFailed` for the supervisor, and the same as being stopped for
///   callers.
/// - It does not restart itself. To go on, spawn another with new arguments;
///   [`Options::lock_wait`](crate::Options::lock_wait) covers the threads that the old one has left.
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
/// // In the supervisor's `pre_start`, say.
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

/// What a [`Root`] starts with: for one start, since the machine goes with it.
pub struct RootArguments<M> {
    pub(crate) name: String,
    machine: M,
    options: Options,
    disk: Arc<dyn Disk>,
}

impl<M: StateMachine> RootArguments<M> {
    /// Opens the options' directory with this machine. Options are checked when the root starts.
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

/// The root's state. Opaque.
pub struct RootState<M: StateMachine> {
    shared: Arc<Shared<M>>,
    core: Shutdown,
    keeper: ActorRef<KeeperMessage>,
    supervisors: Vec<Option<ActorRef<SupervisorMessage<M>>>>,
    commons: Arc<Commons<M>>,
    coordinator: ActorRef<CoordinatorMessage<M>>,
    /// Of the coordinator.
    life: Incarnation,
    waiting: Vec<RpcReplyPort<Result<(), ShutdownError>>>,
    deadline: Duration,
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
        // Without them the first deadline would panic, in whoever submits.
        if catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
            let reason = "the tokio runtime has no timers".to_owned();
            return Err(Box::new(OpenError::Actor { reason }));
        }
        let RootArguments { name, machine, options, disk } = arguments;
        let (machine, options) = (Arc::new(machine), Arc::new(options));
        let opened = {
            let (machine, options, disk) = (Arc::clone(&machine), Arc::clone(&options), Arc::clone(&disk));
            tokio::task::spawn_blocking(move || opening::open(&machine, &disk, &options))
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
            RootMessage::Versions(reply) => drop(reply.send(runtime().versions())),
            RootMessage::Snapshot(reply) => {
                let runtime = runtime();
                answer(reply, async move { runtime.snapshot().await });
            }
            RootMessage::Mark(reply) => {
                let runtime = runtime();
                answer(reply, async move { runtime.mark().await });
            }
            RootMessage::Rewrite(reply) => {
                let runtime = runtime();
                answer(reply, async move { runtime.rewrite().await });
            }
            RootMessage::Retire { version, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.retire(version).await });
            }
            RootMessage::Rollback { version, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.rollback(version).await });
            }
            RootMessage::Backup { dir, reply } => {
                let runtime = runtime();
                answer(reply, async move { runtime.backup(dir).await });
            }
            RootMessage::Shutdown(reply) => {
                state.waiting.push(reply);
                state.feed(&myself, Event::Requested);
            }
            RootMessage::Internal(Internal(News::Shutdown(event))) => state.feed(&myself, event),
            RootMessage::Internal(Internal(News::NoCoordinator)) => state.restart_coordinator(&myself).await,
        }
        Ok(())
    }

    /// The state outlives the actor: ractor hands it to whoever supervises the root.
    async fn post_stop(
        &self,
        _myself: ActorRef<RootMessage<M>>,
        state: &mut RootState<M>,
    ) -> Result<(), ActorProcessingErr> {
        state.release_callers();
        // Whoever waits for a shutdown learns from this that the runtime has ended.
        state.waiting.clear();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootMessage<M>>,
        event: SupervisionEvent,
        state: &mut RootState<M>,
    ) -> Result<(), ActorProcessingErr> {
        let who = match &event {
            SupervisionEvent::ActorTerminated(who, ..) | SupervisionEvent::ActorFailed(who, _) => who.get_id(),
            _ => return Ok(()),
        };
        if who == state.keeper.get_id() {
            if !state.core.is_requested() {
                return Err("the manifest keeper has died".into());
            }
            state.feed(&myself, Event::KeeperStopped);
            return Ok(());
        }
        if who == state.coordinator.get_id() {
            state.restart_coordinator(&myself).await;
            return Ok(());
        }
        let shard = state
            .supervisors
            .iter()
            .position(|supervisor| supervisor.as_ref().is_some_and(|supervisor| supervisor.get_id() == who));
        if let Some(slot) = shard.and_then(|shard| state.shared.slots.get(shard)) {
            // After an orderly end there is nobody left to tell, and nothing changes.
            slot.life().revoke(slot.shard);
            slot.close(NotExecuted::Fenced);
            state.feed(&myself, Event::Lost(slot.shard));
        }
        Ok(())
    }
}

/// When no rewrite coordinator could be started, it is tried again after this.
const COORDINATOR_PAUSE: Duration = Duration::from_secs(1);

/// Answers from a task of its own, so that the root goes on.
fn answer<T: Send + 'static>(reply: RpcReplyPort<T>, work: impl Future<Output = T> + Send + 'static) {
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
            Effect::Arm => {
                let deadline = || RootMessage::Internal(Internal(News::Shutdown(Event::Deadline)));
                myself.send_after(self.deadline, deadline);
            }
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

    /// Nothing is lost with it but what it was about: shards release themselves, files of nobody's are removed later.
    /// If there is no room for another one now, there is later; until then no version is made.
    async fn restart_coordinator(&mut self, myself: &ActorRef<RootMessage<M>>) {
        if self.core.is_requested() {
            return;
        }
        tracing::error!("the rewrite coordinator has ended");
        self.life = self.life.next();
        let slots = self.shared.slots.clone();
        match starting::start_coordinator(&self.commons, slots, myself, self.life).await {
            Ok(coordinator) => self.coordinator = coordinator,
            Err(error) => {
                tracing::error!(%error, "no rewrite coordinator");
                myself.send_after(COORDINATOR_PAUSE, || RootMessage::Internal(Internal(News::NoCoordinator)));
            }
        }
    }

    /// However the root ends, nobody waits for an answer that will never come.
    fn release_callers(&self) {
        for slot in &self.shared.slots {
            slot.close(NotExecuted::ShuttingDown);
            slot.life().revoke(slot.shard);
            slot.changed.notify_waiters();
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
    fn drop(&mut self) {
        self.release_callers();
    }
}
