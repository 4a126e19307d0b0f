//! The shard's part in a cut: feeds [`protocol::hold`](crate::protocol::hold) and carries out what that says.

use std::time::Instant;

use ractor::ActorRef;
use tokio::sync::oneshot;

use super::{ShardMessage, ShardState};
use crate::actor::rewrite_coordinator::{CoordinatorMessage, Held};
use crate::actor::slot::ToWriter;
use crate::machine::StateMachine;
use crate::model::Position;
use crate::protocol::cut;
use crate::protocol::hold::{CutId, Effect, Event};
use crate::sync::Arc;

impl<M: StateMachine> ShardState<M> {
    pub(super) fn hold(&mut self, myself: &ActorRef<ShardMessage>, event: Event) {
        let mut effects = Vec::new();
        self.holder.on_event(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Arm { at_ms } => {
                    // A millisecond more: the timer must not come before the clock has got there.
                    let pause = self.clock.until(at_ms.saturating_add(1));
                    myself.send_after(pause, || ShardMessage::HoldOver);
                }
                Effect::Held(cut) => self.held(cut),
                Effect::Released { cut, held } => {
                    let shard = self.slot.shard;
                    self.tell(CoordinatorMessage::Answer(cut::Event::Released { cut, shard, held }));
                }
                // The turn that follows every message drains the lane.
                Effect::Resume => self.resumed(),
            }
        }
    }

    /// Everything that was applied is with the writer: here the cut lies.
    fn held(&mut self, cut: CutId) {
        self.held_since = Some(Instant::now());
        let (tell, told) = oneshot::channel();
        let _ = self.life.boundary.ring();
        let _ = self.life.log.push(ToWriter::Boundary(tell));
        let end = Position { epoch: self.life.epoch, lsn: self.next };
        let root = self.root(end, self.time);
        self.tell(CoordinatorMessage::Held(Held { cut, shard: self.slot.shard, root: Arc::new(root), told }));
    }

    fn resumed(&mut self) {
        if let Some(since) = self.held_since.take() {
            let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.slot.counters.last_hold_us.set(micros);
            self.slot.counters.longest_hold_us.set(micros.max(self.slot.counters.longest_hold_us.get()));
        }
    }

    /// A coordinator that is gone has nothing to be told.
    fn tell(&self, message: CoordinatorMessage<M>) {
        if let Some(coordinator) = &*self.slot.coordinator.lock() {
            let _ = coordinator.cast(message);
        }
    }
}
