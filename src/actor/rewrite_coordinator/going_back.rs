//! What the coordinator does about a rollback: reads the version's files, commits, ends what lives and has it go on.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::{CoordinatorMessage, CoordinatorState, Reply};
use crate::actor::keeper::Keeper;
use crate::actor::looking_back::states_at;
use crate::actor::replay::Replayed;
use crate::actor::shard_supervisor::SupervisorMessage;
use crate::actor::slot::{Entity, Slot};
use crate::error::{OpenError, VersionError};
use crate::machine::StateMachine;
use crate::model::{ShardId, VersionId};
use crate::protocol::rollback::{Effect, Event, Failed, at_once};
use crate::sync::Arc;

/// The present rollback.
pub(super) struct GoingBack<M: StateMachine> {
    version: VersionId,
    reply: Reply,
    states: BTreeMap<ShardId, Replayed<Entity<M>>>,
    unreadable: Option<VersionError>,
}

impl<M: StateMachine> CoordinatorState<M> {
    pub(super) fn go_back(&mut self, version: VersionId, reply: Reply) {
        if self.core.is_busy() || self.rollbacks.is_busy() {
            let _ = reply.send(Err(VersionError::Busy));
            return;
        }
        // A shard that takes no commands would not follow.
        if let Some(slot) = self.slots.iter().find(|slot| slot.refusal().is_some()) {
            let _ = reply.send(Err(VersionError::Shard(slot.shard)));
            return;
        }
        self.going_back = Some(GoingBack { version, reply, states: BTreeMap::new(), unreadable: None });
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

    pub(super) fn loaded(&mut self, loaded: Result<Vec<Replayed<Entity<M>>>, Box<OpenError>>) {
        let Some(going_back) = &mut self.going_back else { return };
        let ok = loaded.is_ok();
        match loaded {
            Ok(states) => going_back.states = (0..).map(ShardId).zip(states).collect(),
            Err(error) => {
                tracing::error!(version = %going_back.version, %error, "the version cannot be gone back to");
                going_back.unreadable = Some(unreadable(going_back.version, &error));
            }
        }
        self.feed_rollback(Event::Loaded(ok));
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
            Effect::Load(version) => self.load(version),
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
            Effect::Abandon => abandon(&self.commons.keeper, &self.slots),
            Effect::Resume(shard, timeline) => {
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
    fn load(&self, version: VersionId) {
        let (commons, myself) = (Arc::clone(&self.commons), self.myself.clone());
        tokio::spawn(async move {
            let work = tokio::task::spawn_blocking(move || {
                let manifest = commons.keeper.manifest();
                let (machine, disk, follow) = (&*commons.machine, commons.disk.as_ref(), commons.options.digest);
                states_at(machine, disk, &commons.layout, &manifest, version, follow)
            });
            let loaded = work.await.unwrap_or_else(|_| Err(OpenError::Actor { reason: "a panic".to_owned() }));
            let _ = myself.cast(CoordinatorMessage::Loaded(loaded.map_err(Box::new)));
        });
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
            Err(why) => tracing::error!(version = %going_back.version, ?why, "did not go back"),
        }
        let result = result.map_err(|why| match why {
            Failed::Unreachable => going_back.unreadable.unwrap_or(VersionError::Unknown(going_back.version)),
            Failed::NotCommitted => VersionError::NotCommitted,
            Failed::Indeterminate => VersionError::Indeterminate,
            Failed::Shard(shard) => VersionError::Shard(shard),
        });
        let _ = going_back.reply.send(result);
    }
}

fn abandon<M: StateMachine>(keeper: &Keeper, slots: &[Arc<Slot<M>>]) {
    let timeline = keeper.manifest().timeline;
    slots.iter().for_each(|slot| slot.abandon(timeline));
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
        OpenError::NoVersion { version } => VersionError::Unknown(*version),
        error => VersionError::Unreachable { version, reason: error.to_string() },
    }
}
