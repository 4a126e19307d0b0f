//! Going back to a version: in which order its files are read, the manifest is changed and the shards follow.
//!
//! ```text
//! requested --> load --loaded--> commit --committed--> abandon all --> resume each --resumed by all--> done
//!                |                  |   \
//!                | failed           |    indeterminate --> fence all --> done
//!                v                  v
//!              done: nothing     declined, failed
//!              was touched       --> done: nothing was touched
//! ```
//! Every file that the version needs is read and checked before anything is touched, and what was read is what the
//! shards go on with: after the commit nothing is left that could fail for lack of a file.
//!
//! Invariants:
//! - a version that cannot be read changes nothing;
//! - one commit for all shards, in the timeline that the files were read in: no other rollback has come in between;
//! - no shard goes on before all have been abandoned: whoever is answered by a new life can be sure that nothing old
//!   answers any more;
//! - if nobody knows whether the commit counts, nobody goes on: what an old life confirmed could be gone after a crash;
//! - a coordinator that begins anew finishes what the manifest says was committed.

use std::collections::BTreeSet;

use crate::model::{Edit, EditOutcome, ShardId, VersionId};

/// Why the state is not that of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is not there, or what it needs cannot be read. Nothing was touched.
    Unreachable,
    /// The manifest did not take it. Nothing was touched.
    NotCommitted,
    /// Nobody knows what the next open will find; all shards are fenced.
    Indeterminate,
    /// This shard did not go on. The version counts all the same.
    Shard(ShardId),
}

/// What happens to the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to go back to this version, in this timeline.
    Requested(VersionId, u64),
    /// Every shard's state at the version was read and checked, or not.
    Loaded(bool),
    /// The commit has ended.
    Committed(EditOutcome),
    /// The shard shows the version and takes commands, or does not and never will.
    Resumed(ShardId, bool),
    /// A coordinator begins, and finds shards that have not followed a commit of the life before.
    Unfinished,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read every shard's state at the version; report [`Event::Loaded`].
    Load(VersionId),
    /// Commit this, carry out what [`at_once`] says of the outcome, whatever has become of the coordinator by then, and
    /// report [`Event::Committed`].
    Commit(Edit),
    /// End what lives in every shard, at once: nothing of it answers, publishes or begins any more.
    Abandon,
    /// Have the shard go on with what was read, in this timeline; report [`Event::Resumed`].
    Resume(ShardId, u64),
    /// Have the shard read its files again, under the manifest as it is now.
    Recover(ShardId),
    /// Refuse writes in every shard, for good.
    Fence,
    /// Tell whoever asked.
    Done(Result<VersionId, Failed>),
    /// Tell whoever asks now that something runs.
    Busy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Loading(VersionId, u64),
    Committing(VersionId, u64),
    Resuming { version: VersionId, owed: BTreeSet<ShardId>, failed: Option<ShardId> },
}

/// What a commit's outcome asks for without delay: a coordinator that dies meanwhile must not leave the old lives
/// confirming what is lost already. To do it twice is harmless.
#[must_use]
pub fn at_once(outcome: EditOutcome) -> Option<Effect> {
    match outcome {
        EditOutcome::Committed => Some(Effect::Abandon),
        EditOutcome::Indeterminate => Some(Effect::Fence),
        EditOutcome::Declined(_) | EditOutcome::Failed => None,
    }
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollbacks {
    shards: BTreeSet<ShardId>,
    phase: Phase,
}

impl Rollbacks {
    /// A coordinator of so many shards.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        Self { shards: (0..shards).map(ShardId).collect(), phase: Phase::Idle }
    }

    /// Does something run?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match (event, &mut self.phase) {
            (Event::Requested(version, timeline), Phase::Idle) => {
                self.phase = Phase::Loading(version, timeline);
                effects.push(Effect::Load(version));
            }
            (Event::Requested(..), _) => effects.push(Effect::Busy),
            (Event::Unfinished, Phase::Idle) => {
                effects.push(Effect::Abandon);
                effects.extend(self.shards.iter().copied().map(Effect::Recover));
            }
            (Event::Loaded(true), Phase::Loading(version, timeline)) => {
                let (version, timeline) = (*version, *timeline);
                self.phase = Phase::Committing(version, timeline);
                effects.push(Effect::Commit(Edit::Rollback { version, timeline }));
            }
            (Event::Loaded(false), Phase::Loading(..)) => self.end(Err(Failed::Unreachable), effects),
            (Event::Committed(outcome), Phase::Committing(version, timeline)) => {
                let (version, timeline) = (*version, *timeline);
                self.on_commit(version, timeline + 1, outcome, effects);
            }
            (Event::Resumed(shard, ok), Phase::Resuming { version, owed, failed }) => {
                if owed.remove(&shard) && !ok {
                    failed.get_or_insert(shard);
                }
                if owed.is_empty() {
                    let result = failed.map_or(Ok(*version), |shard| Err(Failed::Shard(shard)));
                    self.end(result, effects);
                }
            }
            _ => {}
        }
    }

    fn on_commit(&mut self, version: VersionId, next: u64, outcome: EditOutcome, effects: &mut Vec<Effect>) {
        match outcome {
            EditOutcome::Committed => {
                effects.extend(at_once(outcome));
                effects.extend(self.shards.iter().map(|shard| Effect::Resume(*shard, next)));
                self.phase = Phase::Resuming { version, owed: self.shards.clone(), failed: None };
            }
            EditOutcome::Declined(_) | EditOutcome::Failed => self.end(Err(Failed::NotCommitted), effects),
            EditOutcome::Indeterminate => {
                effects.extend(at_once(outcome));
                self.end(Err(Failed::Indeterminate), effects);
            }
        }
    }

    fn end(&mut self, result: Result<VersionId, Failed>, effects: &mut Vec<Effect>) {
        self.phase = Phase::Idle;
        effects.push(Effect::Done(result));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
