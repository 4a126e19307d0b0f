//! Cuts and rewrites: how a version comes to be, one at a time.
//!
//! ```text
//!             prepared by all          held by all            released by all          all points known
//! preparing -----------------> holding ------------> releasing --------------> syncing -----+----------+
//! sync, no hold                hold                  release                                |          |
//!                                                              Mark                         |  Rewrite |
//!         done <---committed--- committing <------------------------------------------------+          |
//!                                    ^            written by all                                       |
//!                                    +---------------------------------- writing <---------------------+
//! ```
//! In every state before `committing` a death, a deadline, a lapsed hold or a cancel aborts. An abort needs no undo:
//! it releases, stops snapshots, and removes files that nothing names.
//!
//! Invariants:
//! - a shard that was asked to hold is told to release exactly once, also if its answer has not come: the release
//!   follows the hold in the same mailbox;
//! - nobody is released for a version before all have held, and there is no version unless all were still holding when
//!   their release came: there is an instant at which nothing was applied anywhere;
//! - a version's points are durable, and lie where the shards held;
//! - one commit for a request, of everything or nothing;
//! - a file that may be adopted is never removed: not after a commit whose outcome is not known;
//! - every accepted request is done once; who is owed is a set, so a message that comes twice, late or for another cut
//!   changes nothing.
//!
//! Whoever asks for a snapshot keeps the root that the shard held with until `Done`; what a coordinator that died left
//! behind, nobody has adopted, and the next open removes it.

use std::collections::BTreeSet;

use super::hold::CutId;
use crate::model::{EditOutcome, ShardId, VersionId};

mod event;
mod retention;
mod run;

pub use event::{Effect, Event, Failed, Kind, Stage};
pub use retention::{Growth, Retention};
use run::{Next, Run};

/// How long the steps may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The syncs before the hold, and again those behind it.
    pub sync_ms: u64,
    /// From the first request to hold to the last release.
    pub hold_ms: u64,
    /// All snapshots.
    pub write_ms: u64,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuts {
    limits: Limits,
    shards: BTreeSet<ShardId>,
    next: CutId,
    run: Option<Run>,
    /// Snapshots that were cancelled and have not ended: what they still write is not wanted.
    cancelled: BTreeSet<(CutId, ShardId)>,
}

impl Cuts {
    /// A coordinator of these shards whose first cut is `first`: above all that any life before it has used.
    #[must_use]
    pub fn new(limits: Limits, shards: u32, first: CutId) -> Self {
        let shards = (0..shards).map(ShardId).collect();
        Self { limits, shards, next: first, run: None, cancelled: BTreeSet::new() }
    }

    /// Does something run?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.run.is_some()
    }

    /// The cut that runs.
    #[must_use]
    pub fn cut(&self) -> Option<CutId> {
        self.run.as_ref().map(|run| run.cut)
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Requested { kind, version } => return self.begin(kind, version, effects),
            // A cancelled snapshot ends, and its file is nobody's: it was not in a commit and never will be.
            Event::Written { cut, shard, snapshot, .. } if self.cancelled.remove(&(cut, shard)) => {
                return effects.push(Effect::Remove(cut, shard, snapshot));
            }
            Event::SnapshotFailed { cut, shard } if self.cancelled.remove(&(cut, shard)) => return,
            _ => {}
        }
        let Some(run) = &mut self.run else { return };
        match run.on_event(event) {
            Next::Wait => self.proceed(effects),
            Next::Abort(why) => self.abort(why, effects),
            Next::Ended(outcome) => self.end(outcome, effects),
        }
    }

    fn begin(&mut self, kind: Kind, version: VersionId, effects: &mut Vec<Effect>) {
        if self.run.is_some() {
            return effects.push(Effect::Busy);
        }
        let cut = self.next;
        self.next = cut.next();
        self.run = Some(Run::new(cut, kind, version, self.shards.clone()));
        effects.push(Effect::Arm { cut, stage: Stage::Prepare, after_ms: self.limits.sync_ms });
        effects.extend(self.shards.iter().map(|shard| Effect::Prepare(cut, *shard)));
    }

    /// Goes on as long as nobody is owed anything.
    fn proceed(&mut self, effects: &mut Vec<Effect>) {
        let Some(run) = &mut self.run else { return };
        while run.is_settled() {
            run.advance(self.limits, effects);
        }
    }

    /// Nothing is in the manifest: as if nobody had asked.
    fn abort(&mut self, why: Failed, effects: &mut Vec<Effect>) {
        let Some(run) = self.run.take() else { return };
        effects.extend(run.held().map(|shard| Effect::Release(run.cut, shard)));
        effects.extend(run.unwritten().map(|shard| Effect::CancelSnapshot(run.cut, shard)));
        self.cancelled.extend(run.unwritten().map(|shard| (run.cut, shard)));
        effects.extend(run.files().map(|(shard, snapshot)| Effect::Remove(run.cut, shard, snapshot)));
        effects.push(Effect::Done(Err(why)));
    }

    fn end(&mut self, outcome: EditOutcome, effects: &mut Vec<Effect>) {
        match outcome {
            EditOutcome::Declined(why) => self.abort(Failed::Declined(why), effects),
            EditOutcome::Failed => self.abort(Failed::NotCommitted, effects),
            EditOutcome::Committed | EditOutcome::Indeterminate => {
                let Some(run) = self.run.take() else { return };
                let is_committed = outcome == EditOutcome::Committed;
                effects.push(Effect::Done(if is_committed { Ok(run.version) } else { Err(Failed::Indeterminate) }));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
