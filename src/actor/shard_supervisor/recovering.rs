//! What a life begins with: the shard's files, read on a thread of their own, or what a rollback has read.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{SupervisorMessage, SupervisorState, next_life, reading};
use crate::actor::replay::Replayed;
use crate::actor::slot::{Entity, Life};
use crate::machine::StateMachine;
use crate::model::{ColdFault, Edit, EditOutcome, Incarnation, Position, Unreadable};
use crate::protocol::restart::Event;
use crate::state::{Root, StateDigest};
use crate::storage::error::{DiskError, LogError};
use crate::sync::Arc;

/// What came of reading the log for a life.
pub(crate) struct Recovered<E> {
    incarnation: Incarnation,
    /// Of the manifest that was followed.
    timeline: u64,
    result: Result<Box<Replayed<E>>, LogError>,
}

impl<M: StateMachine> SupervisorState<M> {
    /// Has a rollback ended the timeline of the present life?
    pub(super) fn is_abandoned(&self) -> bool {
        self.slot.life().timeline != self.commons.keeper.manifest().timeline
    }

    /// Reads the log on a thread of its own.
    pub(super) fn recover(&self, incarnation: Incarnation) {
        let (commons, slot, shard) = (Arc::clone(&self.commons), Arc::clone(&self.slot), self.slot.shard);
        let known_end = self.known_end;
        let myself = self.myself.clone();
        let dir = commons.layout.shard(shard);
        let failed = move |source| LogError::from(DiskError { operation: "recover", path: dir.clone(), source });
        let not_started = failed.clone();
        let timeline = commons.keeper.manifest().timeline;
        let work = move || {
            // Whatever panics in there, the supervisor hears of it.
            let recovered = catch_unwind(AssertUnwindSafe(|| reading::replay(&commons, &slot, known_end, incarnation)));
            let panicked = |_| (timeline, Err(failed(io::Error::other("a panic"))));
            let (timeline, result) = recovered.unwrap_or_else(panicked);
            let recovered = Recovered { incarnation, timeline, result: result.map(Box::new) };
            let _ = myself.cast(SupervisorMessage::Recovered(recovered));
        };
        let name = format!("{}/{}/recovery.{}", self.commons.name, shard.0, incarnation.0);
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            let recovered = Recovered { incarnation, timeline, result: Err(not_started(error)) };
            let _ = self.myself.cast(SupervisorMessage::Recovered(recovered));
        }
    }

    pub(super) async fn recovered(&mut self, recovered: Recovered<Entity<M>>) {
        let Recovered { incarnation, timeline, result } = recovered;
        if incarnation != self.core.incarnation() {
            // A rollback has overtaken it.
            return;
        }
        let now_ms = self.commons.clock.now_ms();
        let event = match result {
            // Neither the state nor why there is none means anything: the rollback removes files, too.
            _ if timeline != self.commons.keeper.manifest().timeline => Event::Abandoned(incarnation),
            Ok(replayed) => {
                if self.remember(&replayed.findings).await {
                    self.known_end = replayed.tail;
                    self.replayed = Some(replayed);
                    Event::Recovered(incarnation)
                } else {
                    Event::Died { incarnation, now_ms }
                }
            }
            Err(error) => {
                tracing::error!(shard = self.slot.shard.0, %error, "recovery failed");
                match error {
                    // What the disk does not give now it may give the next time.
                    LogError::Disk(_) | LogError::Cold(Unreadable { why: ColdFault::Disk(_), .. }) => {
                        Event::Died { incarnation, now_ms }
                    }
                    _ => Event::Refused(incarnation),
                }
            }
        };
        self.feed(event).await;
    }

    /// What a rollback has left is the state. A life that has read the files since has it already.
    pub(super) async fn rolled_back(&mut self, timeline: u64, replayed: Option<Box<Replayed<Entity<M>>>>) -> bool {
        let remembered = match &replayed {
            Some(replayed) => self.remember(&replayed.findings).await,
            None => false,
        };
        let (shard, manifest) = (self.slot.shard, self.commons.keeper.manifest());
        if manifest.timeline != timeline {
            // Another rollback has come since. Whoever carries that out will see to this shard.
            return false;
        }
        if !self.is_abandoned() {
            return self.core.is_serving();
        }
        let incarnation = self.core.incarnation();
        match replayed {
            Some(replayed) if remembered => {
                self.known_end = replayed.tail;
                self.replayed = Some(Box::new(Replayed { timeline, ..*replayed }));
                let recorded = manifest.shard(shard).map_or(Incarnation(0), |record| record.incarnation);
                self.feed(Event::RolledBack(recorded.max(incarnation).next())).await;
            }
            // Whoever is reading the files finds out by itself.
            _ if self.core.is_serving() => self.feed(Event::Abandoned(incarnation)).await,
            _ => {}
        }
        self.core.is_serving()
    }

    async fn remember(&self, findings: &[Edit]) -> bool {
        for edit in findings {
            if self.commons.keeper.edit(edit.clone()).await != EditOutcome::Committed {
                return false;
            }
        }
        true
    }

    /// A life after a death: a new tenure over what was recovered, which is published. None: a rollback came in
    /// between, and what was read is not the state any more.
    pub(super) fn begin_life(&mut self, incarnation: Incarnation) -> Option<Arc<Life<M>>> {
        let replayed = self.replayed.as_ref()?;
        let manifest = self.commons.keeper.manifest();
        // It would expect an epoch of the new line, and could begin there with the state of the old one.
        if manifest.timeline != replayed.timeline {
            return None;
        }
        let begins = replayed.begins.clone();
        let mut life = next_life(&manifest, self.slot.shard, incarnation, replayed.end, begins);
        life.restarted = true;
        let life = Arc::new(life);
        let end = Position { epoch: life.epoch, lsn: replayed.end };
        let reaper = Arc::clone(&self.commons.reaper);
        let root = Root::new(replayed.map.clone(), end, replayed.time, reaper).of_timeline(life.timeline);
        let root = root.with_cold(replayed.cold.clone()).with_digest(replayed.digest.as_ref().map(StateDigest::hash));
        if !self.slot.begin_life(Arc::clone(&life), Arc::new(root)) {
            return None;
        }
        self.core.renumber(life.incarnation);
        Some(life)
    }
}
