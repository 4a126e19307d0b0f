//! The WAL writer's shell: a thread that carries out what the [commit](crate::protocol::commit) protocol says.
//!
//! It owns the file that is written and the frames that a move would have to write again. It decides nothing: it
//! reports how each action went and asks for the next.

mod answering;
mod files;

use std::collections::VecDeque;

use ractor::thread_local::ThreadLocalActor;
use ractor::{ActorProcessingErr, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::keeper::Keeper;
use super::preparer::{NoSpare, Preparer};
use super::shard::frame_payload;
use super::shard_supervisor::SupervisorMessage;
use super::slot::{HandedBatch, Life, Slot, ToWriter};
use crate::config::Options;
use crate::machine::StateMachine;
use crate::model::{Edit, EditOutcome, Tail};
use crate::protocol::commit::{Action, Commit, Handed, Limits, Stop};
use crate::storage::segment_file::Spare;
use crate::sync::Arc;
use crate::sync::mutants;
use files::Files;

/// So many callers are answered by the writer's own thread, if nobody waits for a root.
const ANSWERED_HERE: usize = 4;

/// What the writer is told.
#[derive(Debug)]
pub(crate) enum WriterMessage {
    /// There is something in the log lane.
    Drain,
    /// This deadline of the protocol has come.
    Tick(u64),
    /// The preparer is done.
    Prepared(Result<Spare, NoSpare>),
}

/// What a writer starts with.
pub(crate) struct WriterArguments<M: StateMachine> {
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) life: Arc<Life<M>>,
    pub(crate) options: Arc<Options>,
    /// With so much that is kept it is time for a sync.
    pub(crate) kept_bytes_max: u64,
    pub(crate) preparer: Preparer,
    pub(crate) supervisor: ActorRef<SupervisorMessage<M>>,
    pub(crate) clock: Clock,
    /// Where the callers' tasks run.
    pub(crate) callers_runtime: Handle,
    /// Where the recovered log ends.
    pub(crate) tail: Option<Tail>,
    /// A life after a death begins at once.
    pub(crate) eager: bool,
}

pub(crate) struct WriterState<M: StateMachine> {
    myself: ActorRef<WriterMessage>,
    slot: Arc<Slot<M>>,
    life: Arc<Life<M>>,
    supervisor: ActorRef<SupervisorMessage<M>>,
    keeper: Keeper,
    preparer: Preparer,
    clock: Clock,
    callers_runtime: Handle,
    core: Commit,
    files: Files,
    /// Handed over, not yet written; mirrors the core's queue.
    queue: VecDeque<HandedBatch<M>>,
    /// Written, not yet complete.
    written: Vec<HandedBatch<M>>,
    /// Cuts that lie in what was handed over, in order; mirrors the core's boundaries.
    cuts: VecDeque<oneshot::Sender<Option<Tail>>>,
    /// The shard waits for more than this grant.
    wanted: Option<u64>,
    /// The deadline that a timer runs for.
    tick: Option<(u64, AbortHandle)>,
}

/// See the module.
pub(crate) struct WalWriter<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for WalWriter<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

/// The writer has stopped, for a reason that the supervisor has to act on.
#[derive(Debug, thiserror::Error)]
#[error("the WAL writer stopped: {0:?}")]
struct Stopped(Stop);

impl<M: StateMachine> ThreadLocalActor for WalWriter<M> {
    type Msg = WriterMessage;
    type State = WriterState<M>;
    type Arguments = WriterArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<WriterMessage>,
        arguments: WriterArguments<M>,
    ) -> Result<WriterState<M>, ActorProcessingErr> {
        let WriterArguments { slot, life, options, kept_bytes_max, preparer, supervisor, clock, .. } = arguments;
        let policy = mutants::policy(options.sync);
        let limits = Limits { kept_bytes_max, ..options.limits() };
        let core = Commit::new(policy, limits, life.first, arguments.eager);
        let keeper = preparer.keeper.clone();
        let files = Files::new(&keeper.manifest(), &preparer, life.epoch, arguments.tail);
        let address = myself.clone();
        life.log.attach(Box::new(move || {
            let _ = address.cast(WriterMessage::Drain);
        }));
        Ok(WriterState {
            myself,
            slot,
            life,
            supervisor,
            keeper,
            preparer,
            clock,
            callers_runtime: arguments.callers_runtime,
            core,
            files,
            queue: VecDeque::new(),
            written: Vec::new(),
            cuts: VecDeque::new(),
            wanted: None,
            tick: None,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<WriterMessage>,
        message: WriterMessage,
        state: &mut WriterState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WriterMessage::Drain => state.life.log.clear(),
            WriterMessage::Tick(at_ms) => {
                state.tick.take_if(|(armed_ms, _)| *armed_ms == at_ms);
            }
            WriterMessage::Prepared(Ok(spare)) => {
                state.core.on_spare(spare.segment, spare.bytes);
                state.files.add(spare);
            }
            WriterMessage::Prepared(Err(error)) => {
                tracing::warn!(shard = state.slot.shard.0, %error, "no spare segment");
                state.files.no_space = error.is_full();
                state.core.on_no_spare();
            }
        }
        state.run().await
    }
}

impl<M: StateMachine> WriterState<M> {
    /// Carries out actions until there is nothing to do.
    async fn run(&mut self) -> Result<(), ActorProcessingErr> {
        loop {
            self.take_handed();
            self.core.on_time(self.clock.now_ms());
            let Some(action) = self.core.next() else { break };
            self.carry_out(action).await?;
            self.slot.counters.kept_bytes.set(self.core.kept());
            self.grant();
        }
        self.grant();
        self.arm_tick();
        Ok(())
    }

    fn take_handed(&mut self) {
        while let Some(message) = self.life.log.pop() {
            match message {
                ToWriter::Batch(handed) => {
                    let bytes = frame_payload(&handed.batch);
                    self.core.on_queued(Handed { end: handed.batch.end(), bytes });
                    self.queue.push_back(handed);
                }
                ToWriter::Wanted { granted } => {
                    self.life.wants_room.clear();
                    self.core.on_wanted();
                    self.wanted = Some(granted);
                }
                ToWriter::Sync => {
                    // Before the rest of the lane is taken: whoever finds it rung is served by this.
                    self.life.wants_sync.clear();
                    self.core.on_sync_wanted();
                }
                ToWriter::Boundary(cut) => {
                    self.core.on_boundary();
                    self.cuts.push_back(cut);
                }
                ToWriter::Finish => self.core.on_finish(),
            }
        }
    }

    /// Tells the shard how much the log can take, and wakes it if it waits for that.
    fn grant(&mut self) {
        let (granted, full) = (self.core.granted(), self.core.lacks_spare() && self.files.no_space);
        self.life.room.set(granted, full);
        if self.wanted.is_some_and(|seen| granted > seen || full) {
            self.wanted = None;
            let _ = self.slot.lane.ring();
        }
    }

    fn arm_tick(&mut self) {
        let Some(deadline_ms) = self.core.deadline_ms() else { return };
        if self.tick.as_ref().is_some_and(|(armed_ms, _)| *armed_ms <= deadline_ms) {
            return;
        }
        // A millisecond more: the timer must not come before the core's clock has got there.
        let pause = self.clock.until(deadline_ms.saturating_add(1));
        let timer = self.myself.send_after(pause, move || WriterMessage::Tick(deadline_ms));
        if let Some((_, overtaken)) = self.tick.replace((deadline_ms, timer.abort_handle())) {
            overtaken.abort();
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<(), ActorProcessingErr> {
        if matches!(action, Action::Seal) {
            // From here on the log may end there, whatever becomes of this writer and of the edit: so it does.
            *self.life.failed_tail.lock() = self.files.durable_tail();
        }
        if !matches!(action, Action::Stop(_)) && self.life.tenure.is_revoked() {
            // An old thread that has woken late: whatever it was about to do is no longer its to do.
            self.core.on_revoked();
            return Ok(());
        }
        match action {
            Action::Prepare => {
                let myself = self.myself.clone();
                let gently = self.files.is_writing();
                self.preparer.start(self.files.take_full(), gently, move |spare| {
                    let _ = myself.cast(WriterMessage::Prepared(spare));
                });
            }
            Action::Open(segment, opening) => {
                let opened = self.files.open(segment, opening);
                self.slot.counters.syncs.add(1);
                if opened.is_ok() {
                    self.note_begin();
                }
                self.done(opened);
            }
            Action::Write { batches, durable_end } => {
                let taken = self.queue.drain(..batches);
                let first = self.written.len();
                self.written.extend(taken);
                let frame: Vec<_> = self
                    .written
                    .get(first..)
                    .unwrap_or_default()
                    .iter()
                    .map(|handed| &handed.batch)
                    .filter(|batch| !batch.is_empty())
                    .collect();
                let written = self.files.write(&frame, durable_end);
                self.slot.counters.frames.add(1);
                self.slot.counters.wal_bytes.add(self.files.last_frame_bytes());
                self.done(written);
            }
            Action::Sync => {
                let synced = mutants::sync(|| self.files.sync());
                self.slot.counters.syncs.add(1);
                if synced.is_err() {
                    *self.life.failed_tail.lock() = self.files.durable_tail();
                }
                self.done(synced);
            }
            Action::Rewrite { durable_end } => {
                let rewritten = self.files.rewrite(durable_end);
                self.slot.counters.syncs.add(1);
                self.done(rewritten);
            }
            Action::Complete(completion) => self.complete(completion),
            Action::Boundary => self.tell_boundary(),
            Action::Begin(_) | Action::Move(_) | Action::Seal | Action::Close => {
                self.commit(&action).await;
            }
            Action::Stop(why) => return self.stop(why),
        }
        Ok(())
    }

    /// Reports how an action on the file went.
    fn done(&mut self, result: Result<(), crate::storage::error::DiskError>) {
        if let Err(error) = &result {
            let shard = self.slot.shard.0;
            tracing::error!(shard, %error, "the log's file failed; its frames move to another");
        }
        self.core.on_done(result.is_ok());
        self.raise_durable();
    }

    /// The file that is written is part of the log: whoever drops old files has to know where it begins.
    fn note_begin(&self) {
        if let Some((segment, follows)) = self.files.active_begins() {
            self.life.begins.lock().insert(segment, follows);
        }
    }

    fn raise_durable(&mut self) {
        if self.core.durable() > self.life.tenure.durable() {
            self.life.tenure.synced(self.core.durable());
            self.slot.changed.notify_waiters();
        }
    }

    /// Commits an edit of the log's life.
    async fn commit(&mut self, action: &Action) {
        let (shard, epoch) = (self.slot.shard, self.life.epoch);
        let incarnation = self.life.incarnation;
        let edit = match *action {
            Action::Begin(segment) => {
                let (expects, sealed) = (self.life.expects, self.files.recovered_tail());
                Some(Edit::Begin { shard, expects, sealed, incarnation, segment })
            }
            Action::Move(to) => {
                self.files.durable_tail().map(|from| Edit::Move { shard, epoch, incarnation, from, to })
            }
            Action::Seal => self.files.durable_tail().map(|tail| Edit::Seal { shard, epoch, incarnation, tail }),
            Action::Close => self.files.durable_tail().map(|tail| Edit::Close { shard, epoch, incarnation, tail }),
            _ => None,
        };
        let outcome = match edit {
            Some(edit) => self.keeper.edit(edit).await,
            None => EditOutcome::Failed,
        };
        tracing::debug!(shard = shard.0, ?action, ?outcome, "edit");
        if outcome == EditOutcome::Committed
            && let Action::Move(_) = action
        {
            self.slot.counters.moves.add(1);
            self.files.moved();
            self.note_begin();
            *self.life.failed_tail.lock() = None;
        }
        self.core.on_edit(outcome);
        self.raise_durable();
        // The end of an epoch decides what became of its positions.
        self.slot.changed.notify_waiters();
    }
}
