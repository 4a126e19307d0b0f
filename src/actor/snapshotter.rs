//! The snapshotter's shell: takes snapshots of one shard, when they are due or asked for.
//!
//! It feeds [`protocol::snapshot`](crate::protocol::snapshot) and carries out what that says. What takes long runs in
//! tasks, and the writing on a [thread](worker) of its own; the shard takes no part in it. It dies and is replaced
//! alone.

mod cancel;
mod job;
pub(crate) mod prune;
mod streaming;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) use cancel::Cancel;
pub(crate) use job::recorded_end;
use job::{Finished, TakeJob};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::shard_supervisor::Commons;
use super::slot::Slot;
use crate::error::{NoSnapshot, SnapshotFailed};
use crate::machine::StateMachine;
use crate::model::{Declined, Edit, EditOutcome, Lsn, Manifest, ShardId, ShardRecord};
use crate::protocol::snapshot::{Effect, Event, Failure, Job, Progress, Snapshots, Taken, Token};
use crate::sync::Arc;

/// How often the shard is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a snapshotter is told.
pub(crate) enum SnapshotMessage<M: StateMachine> {
    /// Is one due, or too late?
    Look,
    /// Take one now.
    Take(RpcReplyPort<Result<(), SnapshotFailed>>),
    /// A job's turn has come.
    Begun(Job),
    /// A job is over.
    Ended(Job, Result<Option<Box<Finished<M>>>, Failure>),
    /// The edit that adopts a job's file has ended so.
    Adopted(Job, EditOutcome),
    /// End what is running.
    Cancel,
}

/// What a snapshotter starts with.
pub(crate) struct SnapshotterArguments<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) slot: Arc<Slot<M>>,
    /// Bytes of log that the last recovery has read.
    pub(crate) log_bytes: u64,
}

pub(crate) struct SnapshotterState<M: StateMachine> {
    commons: Arc<Commons<M>>,
    slot: Arc<Slot<M>>,
    myself: ActorRef<SnapshotMessage<M>>,
    core: Snapshots,
    /// Bytes of log from before this opening.
    log_bytes: u64,
    running: BTreeMap<Job, Arc<Cancel>>,
    finished: BTreeMap<Job, Box<Finished<M>>>,
    asked: BTreeMap<Token, RpcReplyPort<Result<(), SnapshotFailed>>>,
    next_token: Token,
}

/// See the module.
pub(crate) struct Snapshotter<M>(std::marker::PhantomData<fn() -> M>);

impl<M> Default for Snapshotter<M> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<M: StateMachine> Actor for Snapshotter<M> {
    type Msg = SnapshotMessage<M>;
    type State = SnapshotterState<M>;
    type Arguments = SnapshotterArguments<M>;

    async fn pre_start(
        &self,
        myself: ActorRef<SnapshotMessage<M>>,
        arguments: SnapshotterArguments<M>,
    ) -> Result<SnapshotterState<M>, ActorProcessingErr> {
        let SnapshotterArguments { commons, slot, log_bytes } = arguments;
        let last = newest(&commons.keeper.manifest(), slot.shard, 0);
        let core = Snapshots::new(commons.options.snapshots.plan(), last, commons.clock.now_ms());
        myself.send_interval(LOOK, || SnapshotMessage::Look);
        *slot.snapshotter.lock() = Some(myself.clone());
        Ok(SnapshotterState {
            commons,
            slot,
            myself,
            core,
            log_bytes,
            running: BTreeMap::new(),
            finished: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_token: 0,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<SnapshotMessage<M>>,
        message: SnapshotMessage<M>,
        state: &mut SnapshotterState<M>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SnapshotMessage::Look => {
                let progress = state.progress();
                let newest = newest(&state.commons.keeper.manifest(), state.slot.shard, progress.log_bytes);
                state.feed(Event::Found(newest));
                state.feed(Event::Looked(progress));
            }
            SnapshotMessage::Take(reply) => {
                state.next_token += 1;
                state.asked.insert(state.next_token, reply);
                state.feed(Event::Requested(state.next_token));
            }
            SnapshotMessage::Begun(job) => state.feed(Event::Begun(job)),
            SnapshotMessage::Ended(job, ended) => state.ended(job, ended),
            SnapshotMessage::Adopted(job, outcome) => {
                // Whoever is answered finds it counted.
                state.adopted(job, outcome);
                state.feed(Event::Adopted(job, outcome));
                state.finished.remove(&job);
            }
            SnapshotMessage::Cancel => state.feed(Event::Cancel(Failure::Cancelled)),
        }
        Ok(())
    }
}

impl<M: StateMachine> Drop for SnapshotterState<M> {
    /// However it ends, its threads do not go on for long.
    fn drop(&mut self) {
        self.running.values().for_each(|cancel| cancel.cancel());
    }
}

impl<M: StateMachine> SnapshotterState<M> {
    fn progress(&self) -> Progress {
        let log_bytes = self.log_bytes + self.slot.counters.wal_bytes.get();
        Progress { end: self.slot.life().answered().lsn, log_bytes }
    }

    fn ended(&mut self, job: Job, ended: Result<Option<Box<Finished<M>>>, Failure>) {
        self.running.remove(&job);
        let event = match ended {
            Ok(Some(finished)) => {
                let taken = finished.taken;
                self.finished.insert(job, finished);
                Event::Written(job, Some(taken))
            }
            Ok(None) => Event::Written(job, None),
            Err(failure) => {
                self.slot.snapshots.lock().failed += 1;
                Event::Failed(job, failure)
            }
        };
        self.feed(event);
    }

    fn adopted(&mut self, job: Job, outcome: EditOutcome) {
        let mut known = self.slot.snapshots.lock();
        if outcome == EditOutcome::Committed {
            let stats = self.finished.remove(&job).map(|finished| {
                drop(finished.pins);
                finished.stats
            });
            known.adopted(stats);
        } else if outcome != EditOutcome::Declined(Declined::Backwards) {
            known.failed += 1;
        }
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(self.commons.clock.now_ms(), event, &mut effects);
        {
            let mut known = self.slot.snapshots.lock();
            let begins = effects.iter().any(|effect| matches!(effect, Effect::Take(_)));
            let since = known.running.filter(|_| !begins).unwrap_or_else(Instant::now);
            known.running = self.core.is_busy().then_some(since);
            known.last_failed = self.core.has_failed();
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Take(job) => self.take(job),
            Effect::Cancel(job) => {
                if let Some(cancel) = self.running.get(&job) {
                    cancel.cancel();
                }
            }
            Effect::Adopt(job) => {
                let Some(finished) = self.finished.get(&job) else { return };
                let (shard, snapshot) = (self.slot.shard, finished.snapshot);
                let edit = Edit::Adopt { shard, snapshot, record: finished.record.clone() };
                let (keeper, myself) = (self.commons.keeper.clone(), self.myself.clone());
                tokio::spawn(async move {
                    let outcome = keeper.edit(edit).await;
                    tracing::debug!(shard = shard.0, %snapshot, ?outcome, "snapshot");
                    let _ = myself.cast(SnapshotMessage::Adopted(job, outcome));
                });
            }
            Effect::Remove(job) => {
                if let Some(finished) = self.finished.remove(&job) {
                    worker::remove(&self.commons, self.slot.shard, finished.snapshot);
                }
            }
            Effect::Prune => {
                let (commons, slot) = (Arc::clone(&self.commons), Arc::clone(&self.slot));
                tokio::spawn(async move { prune::prune(&commons.keeper, &slot).await });
            }
            Effect::Answer(token, result) => {
                if let Some(reply) = self.asked.remove(&token) {
                    // Who does not wait any more needs no answer.
                    let _ =
                        reply.send(result.map_err(|why| SnapshotFailed { shard: self.slot.shard, why: reason(why) }));
                }
            }
        }
    }

    fn take(&mut self, job: Job) {
        let cancel = Cancel::new();
        self.running.insert(job, Arc::clone(&cancel));
        let take = TakeJob {
            commons: Arc::clone(&self.commons),
            slot: Arc::clone(&self.slot),
            cancel,
            log_bytes: self.log_bytes,
        };
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let begun = || drop(myself.cast(SnapshotMessage::Begun(job)));
            let ended = take.run(begun).await;
            let _ = myself.cast(SnapshotMessage::Ended(job, ended));
        });
    }
}

/// The newest snapshot that the manifest has, with the log as it is now: a rewrite makes snapshots too, and a rollback
/// drops some.
fn newest(manifest: &Manifest, shard: ShardId, log_bytes: u64) -> Taken {
    let newest = manifest.shard(shard).and_then(ShardRecord::newest_snapshot);
    let (end, bytes) = newest.map_or((Lsn::FIRST, 0), |(_, record)| (record.end.lsn, record.bytes));
    Taken { at: Progress { end, log_bytes }, bytes }
}

fn reason(failure: Failure) -> NoSnapshot {
    match failure {
        Failure::Failed => NoSnapshot::Failed,
        Failure::Deadline => NoSnapshot::Deadline,
        Failure::Cancelled => NoSnapshot::Cancelled,
        Failure::Memory => NoSnapshot::Memory,
        Failure::Declined => NoSnapshot::Declined,
        Failure::Indeterminate => NoSnapshot::Indeterminate,
    }
}
