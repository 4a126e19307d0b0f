//! A shard's place in the runtime: everything that outlives its actors.
//!
//! Callers, readers, the shard, its writer and its supervisor meet here: the lane, the published root, credits, and the
//! present [`Life`]. A restart swaps the life; what waits in the lane stays.

mod numbers;

use std::collections::BTreeMap;
use std::time::Instant;

use arc_swap::ArcSwap;
pub use numbers::SnapshotStats;
pub(crate) use numbers::{Counters, SnapshotsTaken};
use ractor::ActorRef;
use tokio::sync::{Notify, oneshot};

use super::credits::{Credits, Held};
use super::overdue::Deadlines;
use super::overlap::Overlaps;
use super::rewrite_coordinator::CoordinatorMessage;
use super::shard::ShardMessage;
use super::shard_supervisor::SupervisorMessage;
use super::snapshotter::SnapshotMessage;
use super::spiller::worker::Copied;
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::model::{
    Batch, ColdSeq, Durability, Epoch, Incarnation, Lsn, Manifest, Position, SegmentSeq, ShardId, SnapshotSeq, Tail,
};
use crate::protocol::spill::Job;
use crate::state::Root;
use crate::storage::codec::Encoded;
use crate::sync::Arc;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::claim::Port;
use crate::sync::doorbell::{Doorbell, Ring};
use crate::sync::lane::Lane;
use crate::sync::published::Published;
use crate::sync::room::Room;
use crate::sync::spill_gate::SpillGate;
use crate::sync::tenure::Tenure;
use crate::sync::timeline::Timeline;

/// What a caller gets for a command that was executed. Every view taken from then on shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt<R> {
    /// What `apply` returned.
    pub reply: R,
    /// The shard that executed it.
    pub shard: ShardId,
    /// Its position in the shard's log, for ever.
    pub position: Position,
    /// How safe it was when this receipt was made; it does not get less safe.
    pub durability: Durability,
}

pub(crate) type Answer<M> = Result<Receipt<<M as StateMachine>::Reply>, SubmitError>;
pub(crate) type Entity<M> = <M as StateMachine>::Entity;

/// A command on its way to the shard.
pub(crate) struct Submission<M: StateMachine> {
    pub(crate) command: M::Command,
    /// Of its key: where it will look first.
    pub(crate) hash: u64,
    pub(crate) bytes: Encoded,
    pub(crate) port: Port<Answer<M>>,
    pub(crate) charge: u32,
    /// Until then the shard may take it up.
    pub(crate) deadline: Instant,
}

/// An applied command whose caller waits for the log.
pub(crate) struct Applied<M: StateMachine> {
    pub(crate) port: Port<Answer<M>>,
    pub(crate) reply: M::Reply,
    pub(crate) position: Position,
}

/// What travels from the shard to its WAL writer.
pub(crate) enum ToWriter<M: StateMachine> {
    /// A batch; its callers are parked in the tenure.
    Batch(HandedBatch<M>),
    /// The shard has commands, and no room for them beyond this grant. One at a time, see [`Life::wants_room`].
    Wanted { granted: u64 },
    /// Somebody waits for everything so far to be synced. One at a time, see [`Life::wants_sync`].
    Sync,
    /// A cut lies here: told where the log has it, once everything in front of it is synced. One at a time, see
    /// [`Life::boundary`].
    Boundary(oneshot::Sender<Option<Tail>>),
    /// Nothing follows.
    Finish,
}

/// See [`ToWriter::Batch`].
pub(crate) struct HandedBatch<M: StateMachine> {
    pub(crate) batch: Batch,
    pub(crate) root: Option<Arc<Root<Entity<M>>>>,
    #[expect(dead_code, reason = "its drop gives the credits back")]
    pub(crate) held: Held,
}

/// One incarnation's part of a slot.
pub(crate) struct Life<M: StateMachine> {
    pub(crate) incarnation: Incarnation,
    /// The timeline of everything that this life accepts: the one after what the manifest is expected to say.
    pub(crate) epoch: Epoch,
    /// The manifest's last epoch and incarnation when this life's were chosen. If they have changed by the time it
    /// begins, another life has begun in between, and this one's positions would be of the wrong epoch.
    pub(crate) expects: (Epoch, Incarnation),
    /// It follows a life of this very process.
    pub(crate) restarted: bool,
    /// The runtime's timeline that it belongs to.
    pub(crate) timeline: u64,
    /// Where its log began.
    pub(crate) first: Lsn,
    pub(crate) tenure: Tenure<Vec<Applied<M>>>,
    pub(crate) room: Room,
    pub(crate) log: Lane<ToWriter<M>>,
    /// While one of these is rung, its message waits in `log`: nothing there piles up that has no credits.
    pub(crate) wants_room: Doorbell,
    pub(crate) wants_sync: Doorbell,
    /// Rung while a cut's boundary is on its way to the disk. One at a time.
    pub(crate) boundary: Doorbell,
    /// Where each file of the log begins: the end that it follows.
    pub(crate) begins: Mutex<BTreeMap<SegmentSeq, Tail>>,
    /// What the shard does at its limit, as the spiller sees it.
    pub(crate) gate: SpillGate,
    /// What the spiller has copied, for the shard.
    pub(crate) handing_over: Mutex<Option<(Job, Copied<M>)>>,
    /// Durable end of a file whose sync has failed or whose seal was sent, until an edit says where the log goes on.
    pub(crate) failed_tail: Mutex<Option<Tail>>,
}

/// See the module.
pub(crate) struct Slot<M: StateMachine> {
    pub(crate) shard: ShardId,
    pub(crate) lane: Lane<Submission<M>>,
    /// Those of what waits there.
    pub(crate) deadlines: Deadlines<M>,
    pub(crate) published: Published<Root<Entity<M>>>,
    /// Something that waiters look at has changed: the published root, a watermark, the life, the gate.
    pub(crate) changed: Notify,
    pub(crate) credits: Arc<Credits>,
    pub(crate) counters: Counters,
    life: ArcSwap<Life<M>>,
    /// The timeline that lives may begin in.
    timeline: Timeline,
    gate: Mutex<Option<NotExecuted>>,
    /// Commands that were answered before they were durable, and lost.
    pub(crate) lost: Mutex<Vec<LostRange>>,
    pub(crate) snapshots: Mutex<SnapshotsTaken>,
    /// What running ones keep alive.
    pub(crate) overlaps: Overlaps<M>,
    /// Whom to ask for one.
    pub(crate) snapshotter: Mutex<Option<ActorRef<SnapshotMessage<M>>>>,
    /// The shard's supervisor, its actor of the present life, and who makes cuts.
    pub(crate) supervisor: Mutex<Option<ActorRef<SupervisorMessage<M>>>>,
    pub(crate) actor: Mutex<Option<ActorRef<ShardMessage>>>,
    pub(crate) coordinator: Mutex<Option<ActorRef<CoordinatorMessage<M>>>>,
    /// How many [pins](super::pins) are held.
    pub(crate) pins: AtomicU32,
    /// What a state takes of the share that a rollback reads beside the present one, in bytes.
    pub(crate) beside: AtomicU64,
    /// The smallest numbers of a snapshot and of a cold file that this process has not used.
    snapshot_numbers: Mutex<SnapshotSeq>,
    cold_numbers: Mutex<ColdSeq>,
}

/// Commands that were answered `Accepted` or `Written` and are not in the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostRange {
    /// Their epoch.
    pub epoch: Epoch,
    /// The first.
    pub first: Lsn,
    /// The one after the last. The numbers from `first` to here may be given to other commands, in a later epoch.
    pub end: Lsn,
}

impl<M: StateMachine> Life<M> {
    pub(crate) fn new(
        incarnation: Incarnation,
        expects: (Epoch, Incarnation),
        timeline: u64,
        first: Lsn,
        begins: BTreeMap<SegmentSeq, Tail>,
    ) -> Self {
        Self {
            incarnation,
            epoch: expects.0.next(),
            expects,
            restarted: false,
            timeline,
            first,
            tenure: Tenure::new(first),
            room: Room::new(),
            log: Lane::new(),
            wants_room: Doorbell::new(),
            wants_sync: Doorbell::new(),
            boundary: Doorbell::new(),
            begins: Mutex::new(begins),
            gate: SpillGate::default(),
            handing_over: Mutex::new(None),
            failed_tail: Mutex::new(None),
        }
    }

    /// Ends the life. Its callers, whoever they are, learn that the outcome is open.
    pub(crate) fn revoke(&self, shard: ShardId) {
        answer_unconfirmed(shard, self.end());
    }

    /// Ends the life, and hands out its callers, who are owed an answer.
    fn end(&self) -> Vec<Vec<Applied<M>>> {
        self.log.close();
        self.tenure.revoke()
    }

    /// Has the writer look for room beyond this grant.
    pub(crate) fn want_room(&self, granted: u64) {
        if self.wants_room.ring() == Ring::First {
            let _ = self.log.push(ToWriter::Wanted { granted });
        }
    }

    /// Has the writer sync everything so far.
    pub(crate) fn want_sync(&self) {
        if self.wants_sync.ring() == Ring::First {
            let _ = self.log.push(ToWriter::Sync);
        }
    }

    /// The exclusive end of what has been answered.
    pub(crate) fn answered(&self) -> Position {
        Position { epoch: self.epoch, lsn: self.tenure.answered() }
    }
}

/// Tells callers that the outcome of their commands is open.
pub(crate) fn answer_unconfirmed<M: StateMachine>(shard: ShardId, callers: Vec<Vec<Applied<M>>>) {
    for caller in callers.into_iter().flatten() {
        let position = caller.position;
        caller.port.answer(Err(SubmitError::Unconfirmed { shard, position }));
    }
}

impl<M: StateMachine> Slot<M> {
    pub(crate) fn new(
        shard: ShardId,
        credits: Credits,
        deadlines: Deadlines<M>,
        root: Arc<Root<Entity<M>>>,
        life: Life<M>,
    ) -> Self {
        Self {
            shard,
            lane: Lane::new(),
            deadlines,
            published: Published::new(root),
            changed: Notify::new(),
            credits: Arc::new(credits),
            counters: Counters::default(),
            timeline: Timeline::new(life.timeline),
            life: ArcSwap::from_pointee(life),
            gate: Mutex::new(None),
            lost: Mutex::new(Vec::new()),
            snapshots: Mutex::default(),
            overlaps: Overlaps::default(),
            snapshotter: Mutex::new(None),
            supervisor: Mutex::new(None),
            actor: Mutex::new(None),
            coordinator: Mutex::new(None),
            pins: AtomicU32::new(0),
            beside: AtomicU64::new(0),
            snapshot_numbers: Mutex::new(SnapshotSeq(1)),
            cold_numbers: Mutex::new(ColdSeq(1)),
        }
    }

    /// The present life.
    pub(crate) fn life(&self) -> arc_swap::Guard<Arc<Life<M>>> {
        self.life.load()
    }

    /// A new life begins with a recovered root; not in a timeline that a rollback has ended.
    pub(crate) fn begin_life(&self, life: Arc<Life<M>>, root: Arc<Root<Entity<M>>>) -> bool {
        let begun = self.timeline.begin(life.timeline, || {
            let before = self.life();
            if before.timeline == life.timeline {
                self.name_the_lost(&before, life.first);
            }
            // A root of the old life may be ahead of the recovered one only by what was never answered durably.
            self.published.replace(root);
            self.life.store(life);
        });
        self.changed.notify_waiters();
        begun
    }

    /// A rollback has ended the timeline of whatever lives here: nothing of it is answered or begins any more, and what
    /// waits was meant for a state that is gone.
    pub(crate) fn abandon(&self, timeline: u64) {
        if let Some(callers) = self.timeline.end(timeline, || self.life().end()) {
            answer_unconfirmed(self.shard, callers);
            self.refuse_all(&NotExecuted::RolledBack);
            self.changed.notify_waiters();
        }
    }

    /// Every shard was abandoned: lives may begin in this timeline.
    pub(crate) fn open_timeline(&self, timeline: u64) {
        self.timeline.open(timeline);
    }

    /// Nobody knows what the next open will find: nothing is accepted, answered or published any more.
    pub(crate) fn fence(&self) {
        self.close(NotExecuted::Fenced);
        self.life().revoke(self.shard);
        // Whoever looked in between has seen the log still open.
        self.changed.notify_waiters();
    }

    /// Under a policy that answers before it syncs, a failed file may end the log in front of what was answered: that
    /// is never silent. An epoch ends once.
    pub(crate) fn name_the_lost(&self, life: &Life<M>, log_ends: Lsn) {
        let lost = LostRange { epoch: life.epoch, first: log_ends, end: life.tenure.answered() };
        let mut named = self.lost.lock();
        if lost.first < lost.end && named.iter().all(|known| known.epoch != lost.epoch) {
            tracing::error!(shard = self.shard.0, ?lost, "answered commands are lost");
            named.push(lost);
        }
    }

    /// A number that no snapshot has.
    pub(crate) fn next_snapshot(&self, manifest: &Manifest) -> SnapshotSeq {
        let mut next = self.snapshot_numbers.lock();
        let number = manifest.shard(self.shard).map_or(*next, |record| record.next_snapshot.max(*next));
        *next = number.next();
        number
    }

    /// A number that no cold file has.
    pub(crate) fn next_cold(&self, manifest: &Manifest) -> ColdSeq {
        let mut next = self.cold_numbers.lock();
        let number = manifest.shard(self.shard).map_or(*next, |record| record.next_cold.max(*next));
        *next = number.next();
        number
    }

    /// Refuses new commands from now on, unless it does already. What waits in the lane is left there.
    pub(crate) fn close_gate(&self, reason: NotExecuted) {
        self.gate.lock().get_or_insert(reason);
        self.credits.close();
        self.changed.notify_waiters();
    }

    /// Why new commands are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<NotExecuted> {
        self.gate.lock().clone()
    }

    /// Refuses new commands, and everything that waits in the lane.
    pub(crate) fn close(&self, reason: NotExecuted) {
        self.close_gate(reason);
        self.lane.close();
        self.refuse_waiting();
        // Again: who woke at the gate may have seen the lane still open, and waits.
        self.changed.notify_waiters();
    }

    /// Answers everything that waits in the lane with the gate's reason.
    pub(crate) fn refuse_waiting(&self) {
        self.refuse_all(&self.refusal().unwrap_or(NotExecuted::ShuttingDown));
    }

    fn refuse_all(&self, reason: &NotExecuted) {
        while let Some(waiting) = self.lane.pop() {
            waiting.refuse(&self.credits, reason.clone());
        }
    }
}

impl<M: StateMachine> Submission<M> {
    /// Answers a command that nobody has applied.
    pub(crate) fn refuse(self, credits: &Credits, reason: NotExecuted) {
        credits.give_back(self.charge as usize);
        self.port.answer(Err(SubmitError::NotExecuted(reason)));
    }
}
