//! What the coordinator does about a rollback: reads the version's files, commits, ends what lives and has it go on.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::beside::Beside;
use super::{CoordinatorMessage, CoordinatorState, Reply};
use crate::actor::keeper::Keeper;
use crate::actor::looking_back::{replaying, states_at};
use crate::actor::pins::Pins;
use crate::actor::replay::{Allowance, Replayed, Replaying};
use crate::actor::shard_supervisor::SupervisorMessage;
use crate::actor::slot::{Entity, Slot};
use crate::error::{OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{Edit, ShardId, SpilledFile, VersionId};
use crate::protocol::rollback::{Effect, Event, Failed, Loading, at_once};
use crate::storage::error::LogError;
use crate::sync::Arc;

/// The present rollback.
pub(super) struct GoingBack<M: StateMachine> {
    version: VersionId,
    reply: Reply,
    /// What it needs is not to go because a snapshot comes meanwhile that would do as well.
    #[expect(dead_code, reason = "held")]
    pins: Pins<M>,
    loading: Option<Loading>,
    states: BTreeMap<ShardId, Replayed<Entity<M>>>,
    unreadable: Option<VersionError>,
}

impl<M: StateMachine> CoordinatorState<M> {
    pub(super) fn go_back(&mut self, version: VersionId, reply: Reply) {
        if self.is_busy() {
            let _ = reply.send(Err(VersionError::Busy));
            return;
        }
        // A shard that takes no commands would not follow.
        if let Some(slot) = self.slots.iter().find(|slot| slot.refusal().is_some()) {
            let _ = reply.send(Err(VersionError::Shard(slot.shard)));
            return;
        }
        let (pins, states) = (Pins::new(&self.slots), BTreeMap::new());
        self.going_back = Some(GoingBack { version, reply, pins, loading: None, states, unreadable: None });
        let timeline = self.commons.keeper.manifest().timeline;
        self.feed_rollback(Event::Requested(version, timeline));
    }

    /// A coordinator that died behind the commit, or while that was on its way, has left shards that nobody has told.
    pub(super) fn finish_rollback(&mut self) {
        let timeline = self.commons.keeper.manifest().timeline;
        let is_left = |slot: &Arc<Slot<M>>| slot.refusal().is_none() && slot.life().timeline != timeline;
        if !self.rollbacks.is_busy() && self.slots.iter().any(is_left) {
            self.feed_rollback(Event::Unfinished);
        }
    }

    pub(super) fn loaded(&mut self, loading: Loading, loaded: Result<Vec<Replayed<Entity<M>>>, Box<OpenError>>) {
        let present = self.going_back.as_mut().filter(|going_back| going_back.loading == Some(loading));
        let Some(going_back) = present else {
            // Nobody wants it any more, nor what it has made.
            return self.feed_rollback(Event::Loaded(loading, Some(Vec::new())));
        };
        let made = match loaded {
            Ok(mut states) => {
                let made = states.iter_mut().flat_map(take_made).collect();
                going_back.states = (0..).map(ShardId).zip(states).collect();
                Some(made)
            }
            Err(error) => {
                tracing::error!(version = %going_back.version, %error, "the version cannot be gone back to");
                going_back.unreadable = Some(unreadable(going_back.version, &error));
                None
            }
        };
        self.feed_rollback(Event::Loaded(loading, made));
    }

    pub(super) fn feed_rollback(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.rollbacks.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out_rollback(effect);
        }
    }

    fn carry_out_rollback(&mut self, effect: Effect) {
        match effect {
            Effect::Load(loading, version) => self.load(loading, version),
            Effect::Commit(edit) => {
                let (keeper, myself) = (self.commons.keeper.clone(), self.myself.clone());
                let slots = self.slots.clone();
                tokio::spawn(async move {
                    let outcome = keeper.edit(edit).await;
                    match at_once(outcome) {
                        Some(Effect::Abandon) => abandon(&keeper, &slots),
                        Some(Effect::Fence) => fence(&slots),
                        _ => {}
                    }
                    let _ = myself.cast(CoordinatorMessage::Rollback(Event::Committed(outcome)));
                });
            }
            Effect::Sweep(loading) => {
                if let Some(beside) = self.readings.remove(&loading) {
                    tokio::spawn(async move { sweep(&beside).await });
                }
            }
            Effect::Abandon => abandon(&self.commons.keeper, &self.slots),
            Effect::Resume(shard, timeline) => {
                // From now on it counts for itself.
                self.readings.values().for_each(|beside| beside.give_back(shard));
                let state = self.going_back.as_mut().and_then(|going_back| going_back.states.remove(&shard));
                self.resume(shard, timeline, state);
            }
            Effect::Recover(shard) => self.resume(shard, self.commons.keeper.manifest().timeline, None),
            Effect::Fence => fence(&self.slots),
            Effect::Done(result) => self.went_back(result),
            // It is asked only when nothing runs.
            Effect::Busy => {}
        }
    }

    /// Reads the version's files on a thread where that is allowed.
    fn load(&mut self, loading: Loading, version: VersionId) {
        if let Some(going_back) = &mut self.going_back {
            going_back.loading = Some(loading);
        }
        let deadline = self.commons.options.versions.write_deadline;
        self.myself.send_after(deadline, move || CoordinatorMessage::Rollback(Event::Deadline(loading)));
        let beside = Beside::new(&self.commons, &self.slots);
        self.readings.insert(loading, Arc::clone(&beside));
        let (commons, myself) = (Arc::clone(&self.commons), self.myself.clone());
        tokio::spawn(async move {
            let (reading, number) = (Arc::clone(&beside), Arc::clone(&beside));
            let work = tokio::task::spawn_blocking(move || {
                let (manifest, number) = (commons.keeper.manifest(), move |shard| number.number(shard));
                let (machine, disk, follow) = (&commons.machine, commons.disk.as_ref(), commons.options.digest);
                let replaying = replaying(machine, disk, &commons.layout, &manifest, &commons.pages);
                let (spill, allowance) = (reading.spill(&number), Some(&*reading as &dyn Allowance));
                // The present state is given up for it: of whoever only looks, one key is the matter.
                let replaying = Replaying { spill, allowance, whole: true, ..replaying };
                states_at(replaying, version, follow)
            });
            let loaded = work.await.unwrap_or_else(|_| Err(OpenError::Actor { reason: "a panic".to_owned() }));
            if loaded.is_err() {
                sweep(&beside).await;
            }
            if myself.cast(CoordinatorMessage::Loaded(loading, loaded.map_err(Box::new))).is_err() {
                // Nobody is left who could commit it.
                sweep(&beside).await;
            }
        });
    }

    /// What is still read ends soon. Of files that may count after all nothing is removed.
    fn give_up_reading(&mut self, loading: Option<Loading>, why: Failed) {
        let Some(beside) = loading.and_then(|loading| self.readings.get(&loading)) else { return };
        beside.give_up();
        if let (Failed::Indeterminate | Failed::Unreachable, Some(loading)) = (why, loading) {
            self.readings.remove(&loading);
        }
    }

    fn resume(&self, shard: ShardId, timeline: u64, state: Option<Replayed<Entity<M>>>) {
        let supervisor = self.slot(shard).and_then(|slot| slot.supervisor.lock().clone());
        let (done, resumed) = oneshot::channel();
        if let Some(supervisor) = supervisor {
            let _ = supervisor.cast(SupervisorMessage::RolledBack { timeline, state: state.map(Box::new), done });
        }
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let resumed = resumed.await.unwrap_or(false);
            let _ = myself.cast(CoordinatorMessage::Rollback(Event::Resumed(shard, resumed)));
        });
    }

    fn went_back(&mut self, result: Result<VersionId, Failed>) {
        let Some(going_back) = self.going_back.take() else { return };
        match result {
            Ok(version) => tracing::info!(%version, "went back"),
            Err(why) => {
                tracing::error!(version = %going_back.version, ?why, "did not go back");
                self.give_up_reading(going_back.loading, why);
            }
        }
        let result = result.map_err(|why| match why {
            Failed::Unreachable => going_back.unreadable.unwrap_or(VersionError::Unknown(going_back.version)),
            Failed::Deadline => VersionError::Deadline,
            Failed::Cancelled => VersionError::Cancelled,
            Failed::NotCommitted => VersionError::NotCommitted,
            Failed::Indeterminate => VersionError::Indeterminate,
            Failed::Shard(shard) => VersionError::Shard(shard),
        });
        let _ = going_back.reply.send(result);
    }
}

/// On a thread where that is allowed.
async fn sweep<M: StateMachine>(beside: &Arc<Beside<M>>) {
    let beside = Arc::clone(beside);
    let _ = tokio::task::spawn_blocking(move || beside.sweep()).await;
}

/// The files that reading the state has made. Its commit names them, and not a recovery's.
fn take_made<E>(state: &mut Replayed<E>) -> Vec<SpilledFile> {
    let mut made = Vec::new();
    state.findings.retain(|finding| match *finding {
        Edit::Chill { shard, file, bytes, values, .. } => {
            made.push(SpilledFile { shard, file, bytes, values });
            false
        }
        _ => true,
    });
    made
}

fn abandon<M: StateMachine>(keeper: &Keeper, slots: &[Arc<Slot<M>>]) {
    let timeline = keeper.manifest().timeline;
    slots.iter().for_each(|slot| slot.abandon(timeline));
    // Whoever is answered by one that goes on can be sure that none of before answers any more.
    slots.iter().for_each(|slot| slot.open_timeline(timeline));
}

fn fence<M: StateMachine>(slots: &[Arc<Slot<M>>]) {
    for slot in slots {
        slot.fence();
        if let Some(supervisor) = &*slot.supervisor.lock() {
            // One that is gone begins nothing.
            let _ = supervisor.cast(SupervisorMessage::Fence);
        }
    }
}

fn unreadable(version: VersionId, error: &OpenError) -> VersionError {
    match error {
        OpenError::Shard { shard, error: LogError::OutOfMemory { bytes, allowed } } => {
            VersionError::OutOfMemory { version, shard: *shard, bytes: *bytes, allowed: *allowed }
        }
        OpenError::NoVersion { version } => VersionError::Unknown(*version),
        error => VersionError::Unreachable { version, reason: error.to_string() },
    }
}
