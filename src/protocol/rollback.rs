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
//! shards go on with: after the commit nothing is left that could fail for lack of a file. What is too much for the
//! memory is written to cold files meanwhile, which the same commit names.
//!
//! Invariants:
//! - a version that cannot be read changes nothing;
//! - files that a reading has made are swept only if no commit names them, or it is certain whether that counts;
//! - one commit for all shards, in the timeline that the files were read in: no other rollback has come in between;
//! - no shard goes on before all have been abandoned: whoever is answered by a new life can be sure that nothing old
//!   answers any more;
//! - if nobody knows whether the commit counts, nobody goes on: what an old life confirmed could be gone after a crash;
//! - a coordinator that begins anew finishes what the manifest says was committed.

use std::collections::BTreeSet;

use crate::model::{Edit, EditOutcome, ShardId, SpilledFile, VersionId};

/// Why the state is not that of the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is not there, or what it needs cannot be read. Nothing was touched.
    Unreachable,
    /// To read what it needs took too long. Nothing was touched.
    Deadline,
    /// Somebody wanted it no more before it was read. Nothing was touched.
    Cancelled,
    /// The manifest did not take it. Nothing was touched.
    NotCommitted,
    /// Nobody knows what the next open will find; all shards are fenced.
    Indeterminate,
    /// This shard did not go on. The version counts all the same.
    Shard(ShardId),
}

/// Names one reading of a version's files: what comes of one that was given up is of no use.
pub type Loading = u64;

/// What happens to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to go back to this version, in this timeline.
    Requested(VersionId, u64),
    /// Every shard's state at the version was read and checked, and these cold files were made for it; or not, and
    /// nothing is left of it.
    Loaded(Loading, Option<Vec<SpilledFile>>),
    /// The reading has taken as long as it may.
    Deadline(Loading),
    /// Nobody wants it any more. Once the commit is on its way it counts all the same.
    Cancel,
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
    /// Read every shard's state at the version; report [`Event::Loaded`], or [`Event::Deadline`] if that takes too
    /// long.
    Load(Loading, VersionId),
    /// Commit this, carry out what [`at_once`] says of the outcome, whatever has become of the coordinator by then, and
    /// report [`Event::Committed`].
    Commit(Edit),
    /// It is certain what the manifest says of the files that this reading has made: remove those that it does not
    /// name.
    Sweep(Loading),
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
    Loading(Loading, VersionId, u64),
    Committing(Loading, VersionId, u64),
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
    next: Loading,
}

impl Rollbacks {
    /// A coordinator of so many shards.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        Self { shards: (0..shards).map(ShardId).collect(), phase: Phase::Idle, next: 1 }
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
                let loading = self.next;
                self.next += 1;
                self.phase = Phase::Loading(loading, version, timeline);
                effects.push(Effect::Load(loading, version));
            }
            (Event::Requested(..), _) => effects.push(Effect::Busy),
            (Event::Unfinished, Phase::Idle) => {
                effects.push(Effect::Abandon);
                effects.extend(self.shards.iter().copied().map(Effect::Recover));
            }
            (Event::Loaded(loading, Some(cold)), Phase::Loading(present, version, timeline)) if loading == *present => {
                let (version, timeline) = (*version, *timeline);
                self.phase = Phase::Committing(loading, version, timeline);
                effects.push(Effect::Commit(edit(version, timeline, cold)));
            }
            (Event::Loaded(loading, None), Phase::Loading(present, ..)) if loading == *present => {
                self.end(Err(Failed::Unreachable), effects);
            }
            // Nobody waits for it any more.
            (Event::Loaded(loading, Some(_)), _) => effects.push(Effect::Sweep(loading)),
            (Event::Deadline(loading), Phase::Loading(present, ..)) if loading == *present => {
                self.end(Err(Failed::Deadline), effects);
            }
            (Event::Cancel, Phase::Loading(..)) => self.end(Err(Failed::Cancelled), effects),
            (Event::Committed(outcome), Phase::Committing(loading, version, timeline)) => {
                let (loading, version, timeline) = (*loading, *version, *timeline);
                self.on_commit(version, timeline + 1, outcome, effects);
                if outcome != EditOutcome::Indeterminate {
                    effects.push(Effect::Sweep(loading));
                }
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

/// A directory that never spills has nothing in its manifest that older code does not read.
fn edit(version: VersionId, timeline: u64, cold: Vec<SpilledFile>) -> Edit {
    if cold.is_empty() {
        Edit::Rollback { version, timeline }
    } else {
        Edit::RollbackSpilled { version, timeline, cold }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
