//! Orderly end: who is drained after whom, and when waiting ends.
//!
//! ```text
//! requested --> close gates, finish every shard --each ended--> stop keeper --stopped--> done
//!                          |                                           |
//!                          +-- deadline --> abandon what is owed       +-- deadline --> done
//! ```
//! Leaf-last: a shard takes what waits in its lane, then its writer writes, syncs and answers, and only when every
//! shard has ended is the manifest keeper stopped, whom they may still ask.
//!
//! Invariants: everything accepted is answered, with the truth or with `Unconfirmed` at the deadline; a shard counts
//! once, however often its end is reported; the keeper is stopped after the last shard; done is said once; whatever is
//! waited for has a deadline.

use std::collections::BTreeSet;

use crate::model::ShardId;

/// What happens while stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants the runtime to end.
    Requested,
    /// A shard's writer has written, synced and answered everything.
    Finished(ShardId),
    /// A shard has no writer: it is fenced, or died while finishing.
    Lost(ShardId),
    /// Enough waited.
    Deadline,
    /// The manifest keeper has ended.
    KeeperStopped,
}

/// What the root does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Report [`Event::Deadline`] after the shutdown's deadline from now.
    Arm,
    /// Refuse new commands on every shard.
    CloseGates,
    /// Drain this shard and its writer.
    Finish(ShardId),
    /// Revoke this shard: its callers learn `Unconfirmed`.
    Abandon(ShardId),
    /// Stop the manifest keeper.
    StopKeeper,
    /// Tell whoever asked. These shards ended without having finished.
    Done(BTreeSet<ShardId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    StoppingKeeper,
    Done,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    phase: Phase,
    owed: BTreeSet<ShardId>,
    unfinished: BTreeSet<ShardId>,
}

impl Shutdown {
    /// A running runtime with these shards.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let owed = (0..shards).map(ShardId).collect();
        Self { phase: Phase::Running, owed, unfinished: BTreeSet::new() }
    }

    /// Has somebody asked for the end?
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match (event, self.phase) {
            (Event::Requested, Phase::Running) => {
                self.phase = Phase::Draining;
                effects.extend([Effect::Arm, Effect::CloseGates]);
                effects.extend(self.owed.iter().copied().map(Effect::Finish));
            }
            (Event::Finished(shard), Phase::Draining) => {
                self.owed.remove(&shard);
            }
            (Event::Lost(shard), Phase::Running | Phase::Draining) if self.owed.remove(&shard) => {
                self.unfinished.insert(shard);
            }
            (Event::Deadline, Phase::Draining) => {
                // The keeper gets one of its own: this one is used up.
                effects.push(Effect::Arm);
                effects.extend(self.owed.iter().copied().map(Effect::Abandon));
                self.unfinished.append(&mut self.owed);
            }
            (Event::Deadline, Phase::StoppingKeeper)
            | (Event::KeeperStopped, Phase::StoppingKeeper | Phase::Draining) => {
                self.phase = Phase::Done;
                self.unfinished.append(&mut self.owed);
                return effects.push(Effect::Done(self.unfinished.clone()));
            }
            _ => {}
        }
        if self.phase == Phase::Draining && self.owed.is_empty() {
            self.phase = Phase::StoppingKeeper;
            effects.push(Effect::StopKeeper);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
