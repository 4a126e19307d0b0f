//! The actors of one life of a shard: the shard, its WAL writer and its spiller, started and ended together.

use ractor::thread_local::ThreadLocalActor;
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::runtime::Handle;

use super::{Commons, SupervisorMessage};
use crate::actor::cold_files::ColdFiles;
use crate::actor::preparer::Preparer;
use crate::actor::replay::Replayed;
use crate::actor::shard::{Shard, ShardArguments, ShardMessage};
use crate::actor::slot::{Entity, Life, Slot};
use crate::actor::spiller::{Spiller, SpillerArguments};
use crate::actor::thread;
use crate::actor::wal_writer::{WalWriter, WriterArguments, WriterMessage};
use crate::machine::StateMachine;
use crate::model::Incarnation;
use crate::protocol::headroom::Headroom;
use crate::sync::Arc;

/// See the module.
pub(super) struct Pair {
    pub(super) incarnation: Incarnation,
    pub(super) shard: ActorRef<ShardMessage>,
    writer: ActorRef<WriterMessage>,
    spiller: ActorCell,
}

impl Pair {
    /// Starts the writer, on a thread of its own, and then the shard, both linked to the supervisor.
    pub(super) async fn start<M: StateMachine>(
        commons: &Arc<Commons<M>>,
        slot: &Arc<Slot<M>>,
        supervisor: &ActorRef<SupervisorMessage<M>>,
        life: Arc<Life<M>>,
        replayed: Replayed<Entity<M>>,
        eager: bool,
    ) -> Result<Self, SpawnErr> {
        let incarnation = life.incarnation;
        let name = |role: &str| Some(format!("{}/{}/{role}.{}", commons.name, slot.shard.0, incarnation.0));
        let parent = supervisor.get_cell();
        let arguments = writer_arguments(commons, slot, supervisor, &life, &replayed, eager);
        let thread = thread::spawner()?;
        let (writer, _) = WalWriter::spawn_linked(name("wal_writer"), arguments, parent.clone(), thread).await?;
        let spilling = SpillerArguments {
            commons: Arc::clone(commons),
            slot: Arc::clone(slot),
            life: Arc::clone(&life),
            uses: replayed.uses.clone(),
        };
        let cold_files =
            ColdFiles::new(slot.shard, Arc::clone(&commons.machine), replayed.cold_files, Arc::clone(&commons.pages));
        let spawned = Actor::spawn_linked(name("spiller"), Spiller::default(), spilling, parent.clone()).await;
        let spiller = match spawned {
            Ok((spiller, _)) => spiller,
            Err(error) => {
                writer.kill();
                return Err(error);
            }
        };
        let arguments = ShardArguments {
            slot: Arc::clone(slot),
            life,
            spiller: spiller.clone(),
            machine: Arc::clone(&commons.machine),
            options: Arc::clone(&commons.options),
            hasher: commons.hasher,
            headroom: Headroom::new(commons.memory.state_bytes, commons.memory.spill_from(&commons.options)),
            map: replayed.map,
            cold_files,
            uses: replayed.uses,
            digest: replayed.digest,
            time: replayed.time,
            reaper: Arc::clone(&commons.reaper),
            clock: commons.clock,
        };
        let spawned = Actor::spawn_linked(name("shard"), Shard::default(), arguments, parent).await;
        match spawned {
            Ok((shard, _)) => Ok(Self { incarnation, shard, writer, spiller: spiller.get_cell() }),
            Err(error) => {
                writer.kill();
                spiller.kill();
                Err(error)
            }
        }
    }

    /// Is this one of them?
    pub(super) fn has(&self, who: &ActorCell) -> bool {
        [self.shard.get_id(), self.writer.get_id(), self.spiller.get_id()].contains(&who.get_id())
    }

    /// Ends them without waiting: a thread inside the kernel ends when the kernel lets go.
    pub(super) fn kill(&self) {
        self.shard.kill();
        self.writer.kill();
        self.spiller.kill();
    }
}

fn writer_arguments<M: StateMachine>(
    commons: &Commons<M>,
    slot: &Arc<Slot<M>>,
    supervisor: &ActorRef<SupervisorMessage<M>>,
    life: &Arc<Life<M>>,
    replayed: &Replayed<Entity<M>>,
    eager: bool,
) -> WriterArguments<M> {
    WriterArguments {
        slot: Arc::clone(slot),
        life: Arc::clone(life),
        options: Arc::clone(&commons.options),
        kept_bytes_max: commons.memory.log_bytes,
        preparer: Preparer {
            disk: Arc::clone(&commons.disk),
            layout: commons.layout.clone(),
            keeper: commons.keeper.clone(),
            lock: Arc::clone(&commons.lock),
            shard: slot.shard,
            incarnation: life.incarnation,
            segment_bytes: commons.options.segment_bytes,
            unregistered: Arc::default(),
        },
        supervisor: supervisor.clone(),
        clock: commons.clock,
        callers_runtime: Handle::current(),
        tail: replayed.tail,
        eager,
    }
}
