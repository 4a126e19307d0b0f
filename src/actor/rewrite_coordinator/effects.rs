//! What the coordinator does about a cut: asks shards, writes their states, commits.

use std::time::Duration;

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{CoordinatorMessage, CoordinatorState};
use crate::actor::progress;
use crate::actor::shard::ShardMessage;
use crate::actor::snapshotter::worker::{self, Cancel, Work};
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
                let keeper = self.commons.keeper.clone();
                self.later(async move { Event::Committed { cut, outcome: keeper.edits(edits).await } });
            }
            Effect::Done(result) => self.done(result),
            // It is asked only when nothing runs.
            Effect::Busy => {}
        }
    }

    fn prepare(&self, cut: CutId, shard: ShardId) {
        let slot = self.slot(shard);
        self.later(async move {
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
        &self,
        cut: CutId,
        shard: ShardId,
        (end, digest): (Position, Option<[u8; 32]>),
        told: oneshot::Receiver<Option<Tail>>,
    ) {
        self.later(async move {
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
        let (Some(slot), Some((root, end))) = (self.slot(shard), self.roots.remove(&shard)) else {
            // Not now: the effects of what has led here are still being carried out.
            let failed = CoordinatorMessage::Answer(Event::SnapshotFailed { cut, shard });
            return drop(self.myself.cast(failed));
        };
        let cancel = Arc::new(Cancel::default());
        self.writing.insert((cut, shard), Arc::clone(&cancel));
        let work = Work { commons: Arc::clone(&self.commons), slot, root, end, scan: true };
        self.later(async move {
            match worker::start(work, cancel).await {
                Ok((snapshot, record, _)) => Event::Written { cut, shard, snapshot, record },
                Err(_) => Event::SnapshotFailed { cut, shard },
            }
        });
    }
}
