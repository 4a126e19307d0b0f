//! What the coordinator does about a cut: asks shards, writes their states, commits.

use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{CoordinatorMessage, CoordinatorState};
use crate::actor::progress;
use crate::actor::shard::ShardMessage;
use crate::actor::snapshotter::worker::{self, Work};
use crate::machine::StateMachine;
use crate::model::{Digest, Point, Position, ShardId, Tail};
use crate::protocol::cut::{Effect, Event};
use crate::protocol::hold::CutId;
use crate::sync::Arc;

impl<M: StateMachine> CoordinatorState<M> {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Arm { cut, stage, after_ms } => {
                let deadline = move || CoordinatorMessage::Answer(Event::Deadline { cut, stage });
                self.myself.send_after(Duration::from_millis(after_ms), deadline);
            }
            Effect::Prepare(cut, shard) => self.prepare(cut, shard),
            Effect::Hold(cut, shard) => self.tell(cut, shard, ShardMessage::Hold(cut)),
            Effect::Release(cut, shard) => self.tell(cut, shard, ShardMessage::Release(cut)),
            Effect::Snapshot(cut, shard) => self.snapshot(cut, shard),
            Effect::CancelSnapshot(cut, shard) => {
                if let Some(cancel) = self.writing.get(&(cut, shard)) {
                    cancel.cancel();
                }
            }
            Effect::Remove(_, shard, snapshot) => worker::remove(&self.commons, shard, snapshot),
            Effect::Commit(cut, edits) => {
                let (keeper, myself) = (self.commons.keeper.clone(), self.myself.clone());
                tokio::spawn(async move {
                    let outcome = keeper.edits(edits).await;
                    let _ = myself.cast(CoordinatorMessage::Answer(Event::Committed { cut, outcome }));
                });
            }
            Effect::Done(result) => self.done(result),
            // It is asked only when nothing runs.
            Effect::Busy => {}
        }
    }

    fn prepare(&mut self, cut: CutId, shard: ShardId) {
        let slot = self.slot(shard);
        self.wait(async move {
            let ok = match slot {
                Some(slot) if slot.refusal().is_none() => {
                    let answered = slot.life().answered();
                    progress::synced(&slot, answered).await.is_ok()
                }
                _ => false,
            };
            Event::Prepared { cut, shard, ok }
        });
    }

    /// A shard that is gone holds nothing.
    fn tell(&self, cut: CutId, shard: ShardId, message: ShardMessage) {
        let actor = self.slot(shard).and_then(|slot| slot.actor.lock().clone());
        if actor.is_none_or(|actor: ActorRef<ShardMessage>| actor.cast(message).is_err()) {
            let gone = CoordinatorMessage::Answer(Event::Released { cut, shard, held: false });
            let _ = self.myself.cast(gone);
        }
    }

    pub(super) fn wait_for_point(
        &mut self,
        cut: CutId,
        shard: ShardId,
        (end, digest): (Position, Option<[u8; 32]>),
        told: oneshot::Receiver<Option<Tail>>,
    ) {
        self.wait(async move {
            match told.await {
                Ok(tail) => {
                    let digest = digest.map(|hash| Digest { hash, schema: M::SCHEMA });
                    Event::Point { cut, shard, point: Point { end, tail, digest } }
                }
                // The writer is gone, and with it what it had not synced.
                Err(_) => Event::NoPoint { cut, shard },
            }
        });
    }

    fn snapshot(&mut self, cut: CutId, shard: ShardId) {
        let Some((root, end)) = self.roots.remove(&shard) else {
            // Not now: the effects of what has led here are still being carried out.
            let failed = CoordinatorMessage::Answer(Event::SnapshotFailed { cut, shard });
            return drop(self.myself.cast(failed));
        };
        self.writing.insert((cut, shard), Arc::clone(root.cancel()));
        let (myself, slot) = (self.myself.clone(), Arc::clone(root.slot()));
        let work = Work { commons: Arc::clone(&self.commons), root, end, scan: true };
        tokio::spawn(async move {
            let written = match worker::turn(&work.commons, work.root.cancel()).await {
                Ok(turn) => worker::start(work, turn).await,
                Err(why) => Err(why),
            };
            let message = match written {
                Ok((snapshot, record, stats)) => {
                    CoordinatorMessage::Written(Event::Written { cut, shard, snapshot, record }, stats)
                }
                Err(_) => {
                    slot.snapshots.lock().failed += 1;
                    CoordinatorMessage::Answer(Event::SnapshotFailed { cut, shard })
                }
            };
            let _ = myself.cast(message);
        });
    }
}
