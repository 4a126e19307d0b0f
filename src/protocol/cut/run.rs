//! One request on its way: who is owed, what is known, and what follows when nobody is owed any more.
//!
//! Invariants: a shard counts once in every phase; what comes for another cut or phase changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{CutId, Effect, Event, Failed, Kind, Limits, Stage};
use crate::model::{
    Edit, EditOutcome, Point, Position, ShardId, SnapshotRecord, SnapshotSeq, Time, VersionId, VersionRecord,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Holding,
    Releasing,
    Syncing,
    Writing,
    Committing,
}

/// What an event means for whoever owns the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Perhaps nobody is owed any more.
    Wait,
    /// There will be no version.
    Abort(Failed),
    /// The commit has ended.
    Ended(EditOutcome),
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) cut: CutId,
    kind: Kind,
    pub(super) version: VersionId,
    /// When the last shard held.
    time: Time,
    phase: Phase,
    shards: BTreeSet<ShardId>,
    /// Who has not yet answered in this phase. In `Syncing` the points say that.
    owed: BTreeSet<ShardId>,
    /// Told to hold, and not yet to release.
    holding: BTreeSet<ShardId>,
    /// Where the shards held.
    ends: BTreeMap<ShardId, Position>,
    points: BTreeMap<ShardId, Point>,
    written: BTreeMap<ShardId, (SnapshotSeq, SnapshotRecord)>,
}

impl Run {
    pub(super) fn new(cut: CutId, kind: Kind, version: VersionId, shards: BTreeSet<ShardId>) -> Self {
        Self {
            cut,
            kind,
            version,
            time: Time(0),
            phase: Phase::Preparing,
            owed: shards.clone(),
            shards,
            holding: BTreeSet::new(),
            ends: BTreeMap::new(),
            points: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// Shards to release if it ends here.
    pub(super) fn held(&self) -> impl Iterator<Item = ShardId> {
        self.holding.iter().copied()
    }

    /// Shards whose snapshot is under way.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = ShardId> {
        self.owed.iter().copied().filter(|_| self.phase == Phase::Writing)
    }

    /// Files that only this run knows.
    pub(super) fn files(&self) -> impl Iterator<Item = (ShardId, SnapshotSeq)> {
        self.written.iter().map(|(shard, (snapshot, _))| (*shard, *snapshot))
    }

    /// Takes what is for this cut and phase.
    pub(super) fn on_event(&mut self, event: Event) -> Next {
        if cut_of(&event).is_some_and(|cut| cut != self.cut) {
            return Next::Wait;
        }
        match (event, self.phase) {
            (Event::Committed { outcome, .. }, Phase::Committing) => return Next::Ended(outcome),
            (_, Phase::Committing) => {}
            (Event::Cancel, _) => return Next::Abort(Failed::Cancelled),
            (Event::Deadline { stage, .. }, phase) if Some(stage) == phase.stage() => {
                return Next::Abort(Failed::Deadline);
            }
            (Event::Died(shard), _) if self.needs(shard) => return Next::Abort(Failed::Shard(shard)),
            (Event::Prepared { shard, ok, .. }, Phase::Preparing) if self.owed.remove(&shard) && !ok => {
                return Next::Abort(Failed::Shard(shard));
            }
            (Event::Held { shard, end, time, .. }, Phase::Holding) if self.owed.remove(&shard) => {
                self.ends.insert(shard, end);
                self.time = time;
                return self.compared(shard);
            }
            (Event::Released { shard, held: false, .. }, Phase::Holding) => return Next::Abort(Failed::Lapsed(shard)),
            (Event::Released { shard, held, .. }, Phase::Releasing) if self.owed.remove(&shard) && !held => {
                return Next::Abort(Failed::Lapsed(shard));
            }
            (Event::Point { shard, point, .. }, Phase::Holding | Phase::Releasing | Phase::Syncing) => {
                self.points.entry(shard).or_insert(point);
                return self.compared(shard);
            }
            (Event::NoPoint { shard, .. }, Phase::Holding | Phase::Releasing | Phase::Syncing) => {
                return Next::Abort(Failed::Shard(shard));
            }
            (Event::Written { shard, snapshot, record, .. }, Phase::Writing) if self.owed.remove(&shard) => {
                let is_there = self.ends.get(&shard) == Some(&record.end);
                self.written.insert(shard, (snapshot, record));
                if !is_there {
                    return Next::Abort(Failed::Shard(shard));
                }
            }
            (Event::SnapshotFailed { shard, .. }, Phase::Writing) if self.owed.remove(&shard) => {
                return Next::Abort(Failed::Shard(shard));
            }
            _ => {}
        }
        Next::Wait
    }

    /// The shard and its writer speak of one boundary; whoever comes first waits for the other.
    fn compared(&self, shard: ShardId) -> Next {
        match (self.ends.get(&shard), self.points.get(&shard)) {
            (Some(end), Some(point)) if *end != point.end => Next::Abort(Failed::Shard(shard)),
            _ => Next::Wait,
        }
    }

    /// Can there be no version if this shard dies now?
    fn needs(&self, shard: ShardId) -> bool {
        match (self.phase, self.kind) {
            (Phase::Preparing | Phase::Holding, _) | (Phase::Releasing | Phase::Syncing, Kind::Rewrite) => true,
            // Once it is certain that it held, and durable what it had, it is on the disk, whoever serves it.
            (Phase::Releasing | Phase::Syncing, Kind::Mark) => {
                self.owed.contains(&shard) || !self.points.contains_key(&shard)
            }
            (Phase::Writing, _) => self.owed.contains(&shard),
            (Phase::Committing, _) => false,
        }
    }

    /// Is nobody owed any more in this phase?
    pub(super) fn is_settled(&self) -> bool {
        match self.phase {
            Phase::Syncing => self.shards.iter().all(|shard| self.points.contains_key(shard)),
            Phase::Committing => false,
            _ => self.owed.is_empty(),
        }
    }

    /// Begins the next phase.
    pub(super) fn advance(&mut self, limits: Limits, effects: &mut Vec<Effect>) {
        let cut = self.cut;
        match self.phase {
            Phase::Preparing => {
                self.phase = Phase::Holding;
                (self.owed, self.holding) = (self.shards.clone(), self.shards.clone());
                effects.push(Effect::Arm { cut, stage: Stage::Hold, after_ms: limits.hold_ms });
                effects.extend(self.shards.iter().map(|shard| Effect::Hold(cut, *shard)));
            }
            Phase::Holding => {
                self.phase = Phase::Releasing;
                self.owed = std::mem::take(&mut self.holding);
                effects.extend(self.owed.iter().map(|shard| Effect::Release(cut, *shard)));
            }
            Phase::Releasing => {
                self.phase = Phase::Syncing;
                if !self.is_settled() {
                    effects.push(Effect::Arm { cut, stage: Stage::Sync, after_ms: limits.sync_ms });
                }
            }
            Phase::Syncing if self.kind == Kind::Rewrite => {
                self.phase = Phase::Writing;
                self.owed = self.shards.clone();
                effects.push(Effect::Arm { cut, stage: Stage::Write, after_ms: limits.write_ms });
                effects.extend(self.shards.iter().map(|shard| Effect::Snapshot(cut, *shard)));
            }
            Phase::Syncing | Phase::Writing => {
                self.phase = Phase::Committing;
                effects.push(Effect::Commit(cut, self.edits()));
            }
            Phase::Committing => {}
        }
    }

    /// All that changes, in one commit.
    fn edits(&self) -> Vec<Edit> {
        debug_assert!(self.holding.is_empty() && self.owed.is_empty(), "somebody is owed");
        // Who has written the state may have taken its digest on the way.
        let taken = |shard| self.written.get(shard).and_then(|(_, record)| record.digest);
        let points = self.points.iter();
        let points: Vec<_> =
            points.map(|(shard, point)| Point { digest: point.digest.or_else(|| taken(shard)), ..*point }).collect();
        debug_assert!(points.iter().map(|point| point.end).eq(self.ends.values().copied()), "not where they held");
        let adopt = |(shard, (snapshot, record)): (&ShardId, &(SnapshotSeq, SnapshotRecord))| Edit::Adopt {
            shard: *shard,
            snapshot: *snapshot,
            record: record.clone(),
        };
        let mark = Edit::Mark { version: self.version, record: VersionRecord { time: self.time, points } };
        self.written.iter().map(adopt).chain([mark]).collect()
    }
}

impl Phase {
    /// What its deadline is called.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Preparing => Some(Stage::Prepare),
            Self::Holding | Self::Releasing => Some(Stage::Hold),
            Self::Syncing => Some(Stage::Sync),
            Self::Writing => Some(Stage::Write),
            Self::Committing => None,
        }
    }
}

/// The cut that an event is about.
fn cut_of(event: &Event) -> Option<CutId> {
    match event {
        Event::Prepared { cut, .. }
        | Event::Held { cut, .. }
        | Event::Released { cut, .. }
        | Event::Point { cut, .. }
        | Event::NoPoint { cut, .. }
        | Event::Written { cut, .. }
        | Event::SnapshotFailed { cut, .. }
        | Event::Committed { cut, .. }
        | Event::Deadline { cut, .. } => Some(*cut),
        Event::Requested { .. } | Event::Died(_) | Event::Cancel => None,
    }
}
