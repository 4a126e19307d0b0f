//! One shard's part of the manifest, and the edits of its log's life.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ColdRecord, Declined, Edit, SnapshotRecord};
use crate::model::{ColdSeq, Epoch, Incarnation, Lsn, Position, SegmentSeq, SnapshotSeq, Tail};

/// One shard's part of the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// The last incarnation whose writer began.
    pub incarnation: Incarnation,
    /// Timelines, ascending and contiguous: each ends where the next begins.
    pub epochs: Vec<EpochRecord>,
    /// What rollbacks have abandoned.
    pub abandoned: Vec<Abandoned>,
    /// The log's files, spares included.
    pub segments: BTreeMap<SegmentSeq, SegmentRecord>,
    /// The smallest number that was never registered.
    pub next_segment: SegmentSeq,
    /// Commands that every replay leaves out.
    pub poison: BTreeSet<Position>,
    /// Set by an orderly shutdown, cleared when a writer begins.
    pub closed: Option<Closed>,
    /// The end of the log files that were dropped: what is left follows it.
    pub base: Option<Tail>,
    /// Files that hold the state at a position.
    pub snapshots: BTreeMap<SnapshotSeq, SnapshotRecord>,
    /// The smallest snapshot number that was never adopted.
    pub next_snapshot: SnapshotSeq,
    /// Files that hold values which are not in memory.
    pub cold: BTreeMap<ColdSeq, ColdRecord>,
    /// The smallest number of a cold file that was never in there.
    pub next_cold: ColdSeq,
}

/// One timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Its number.
    pub epoch: Epoch,
    /// Its first lsn.
    pub first: Lsn,
    /// Its exclusive end, once it is over.
    pub end: Option<Lsn>,
    /// The file that its writer began with.
    pub segment: SegmentSeq,
}

/// A part of a timeline that is not part of the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandoned {
    /// The timeline.
    pub epoch: Epoch,
    /// From here on.
    pub from: Lsn,
    /// Up to here, if it had ended by then.
    pub until: Option<Lsn>,
}

/// One log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// Who registered it.
    pub incarnation: Incarnation,
    /// Its size, zero-filled when it was made.
    pub bytes: u64,
    /// Where it ends for ever, if an edit said so; otherwise its successor's header or its own frames say.
    pub valid_to: Option<Tail>,
    /// The file whose frames moved here after a failed write or sync.
    pub moved_from: Option<SegmentSeq>,
}

/// Mark of an orderly shutdown: proof that the log was durable up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The timeline that was closed.
    pub epoch: Epoch,
    /// Its end.
    pub tail: Tail,
}

impl ShardRecord {
    /// The newest timeline, abandoned or not; 0 before the first writer.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        let kept = self.epochs.iter().map(|record| record.epoch);
        kept.chain(self.abandoned.iter().map(|part| part.epoch)).max().unwrap_or(Epoch(0))
    }

    /// Was the position given out, and then abandoned by a rollback?
    #[must_use]
    pub fn is_abandoned(&self, position: Position) -> bool {
        let mut parts = self.abandoned.iter().filter(|part| part.epoch == position.epoch && part.from <= position.lsn);
        parts.any(|part| part.until.is_none_or(|until| position.lsn < until))
    }

    /// Applies an edit of the log's life.
    pub(super) fn apply(&mut self, edit: &Edit) -> Result<Vec<SegmentSeq>, Declined> {
        match *edit {
            Edit::Register { incarnation, segment, bytes, .. } => self.register(incarnation, segment, bytes),
            Edit::Begin { expects, sealed, incarnation, segment, .. } => {
                self.begin(expects, sealed, incarnation, segment)
            }
            Edit::Move { epoch, incarnation, from, to, .. } => {
                self.current(epoch, incarnation)?;
                self.move_frames(from, to)
            }
            Edit::Seal { epoch, incarnation, tail, .. } => {
                self.current(epoch, incarnation)?;
                self.seal(tail).map(|()| Vec::new())
            }
            Edit::Close { epoch, incarnation, tail, .. } => {
                self.current(epoch, incarnation)?;
                self.closed = Some(Closed { epoch, tail });
                Ok(Vec::new())
            }
            Edit::Skip { position, .. } => {
                self.poison.insert(position);
                Ok(Vec::new())
            }
            // Not of the log's life: see `history` and `cold`.
            Edit::Adopt { .. }
            | Edit::Discard { .. }
            | Edit::Prune { .. }
            | Edit::Mark { .. }
            | Edit::Retire { .. }
            | Edit::Outdate { .. }
            | Edit::Rollback { .. }
            | Edit::RollbackSpilled { .. }
            | Edit::Chill { .. }
            | Edit::Release { .. }
            | Edit::Claim { .. } => Ok(Vec::new()),
        }
    }

    /// The edit must come from the writer that began last, in an epoch that goes on.
    fn current(&self, epoch: Epoch, incarnation: Incarnation) -> Result<(), Declined> {
        let last = self.epochs.last().ok_or(Declined::Stale)?;
        if last.epoch != epoch || self.incarnation != incarnation {
            return Err(Declined::Stale);
        }
        if last.end.is_some() { Err(Declined::Ended) } else { Ok(()) }
    }

    fn register(
        &mut self,
        incarnation: Incarnation,
        segment: SegmentSeq,
        bytes: u64,
    ) -> Result<Vec<SegmentSeq>, Declined> {
        if incarnation < self.incarnation {
            return Err(Declined::Stale);
        }
        if segment < self.next_segment {
            return Err(Declined::SegmentInUse);
        }
        let record = SegmentRecord { incarnation, bytes, valid_to: None, moved_from: None };
        self.segments.insert(segment, record);
        self.next_segment = segment.next();
        Ok(Vec::new())
    }

    fn begin(
        &mut self,
        expects: (Epoch, Incarnation),
        sealed: Option<Tail>,
        incarnation: Incarnation,
        segment: SegmentSeq,
    ) -> Result<Vec<SegmentSeq>, Declined> {
        if expects != (self.epoch(), self.incarnation) || incarnation <= self.incarnation {
            return Err(Declined::Stale);
        }
        let fresh = self.segments.get(&segment).ok_or(Declined::UnknownSegment)?;
        if fresh.incarnation != incarnation || fresh.valid_to.is_some() {
            return Err(Declined::SegmentInUse);
        }
        let first = sealed.map_or(Lsn::FIRST, |tail| tail.end);
        if let Some(tail) = sealed {
            self.seal(tail)?;
        } else if self.epochs.iter().any(|record| record.end.is_some_and(|end| end > first)) {
            return Err(Declined::Backwards);
        }
        if let Some(last) = self.epochs.last_mut() {
            last.end.get_or_insert(first);
        }
        let log_ends = sealed.map_or(SegmentSeq(0), |tail| tail.segment);
        let dropped: Vec<_> = self
            .segments
            .iter()
            .filter(|(seq, record)| **seq > log_ends && record.incarnation < incarnation)
            .map(|(seq, _)| *seq)
            .collect();
        self.segments.retain(|seq, _| !dropped.contains(seq));
        let epoch = self.epoch().next();
        self.epochs.push(EpochRecord { epoch, first, end: None, segment });
        self.incarnation = incarnation;
        self.closed = None;
        Ok(dropped)
    }

    fn move_frames(&mut self, from: Tail, to: SegmentSeq) -> Result<Vec<SegmentSeq>, Declined> {
        let fresh = self.segments.get(&to).ok_or(Declined::UnknownSegment)?;
        if to <= from.segment || fresh.moved_from.is_some() || fresh.valid_to.is_some() {
            return Err(Declined::SegmentInUse);
        }
        let old = self.segments.get_mut(&from.segment).ok_or(Declined::UnknownSegment)?;
        if old.valid_to.is_some() {
            return Err(Declined::Ended);
        }
        old.valid_to = Some(from);
        if let Some(fresh) = self.segments.get_mut(&to) {
            fresh.moved_from = Some(from.segment);
        }
        // What lies between them was spent on attempts that failed.
        let spent = from.segment.next()..to;
        let dropped: Vec<_> = self.segments.range(spent).map(|(seq, _)| *seq).collect();
        self.segments.retain(|seq, _| !dropped.contains(seq));
        Ok(dropped)
    }

    /// Ends the running epoch at `tail`. Sealing again at the same place is harmless.
    fn seal(&mut self, tail: Tail) -> Result<(), Declined> {
        let segment = self.segments.get(&tail.segment).ok_or(Declined::UnknownSegment)?;
        if segment.valid_to.is_some_and(|sealed| sealed != tail) {
            return Err(Declined::Ended);
        }
        let last = self.epochs.last().ok_or(Declined::Stale)?;
        let closed_at = self.closed.map_or(Lsn(0), |closed| closed.tail.end);
        if last.end.is_some_and(|end| end != tail.end) {
            return Err(Declined::Ended);
        }
        if tail.end < last.first || tail.end < closed_at {
            return Err(Declined::Backwards);
        }
        if let Some(segment) = self.segments.get_mut(&tail.segment) {
            segment.valid_to = Some(tail);
        }
        if let Some(last) = self.epochs.last_mut() {
            last.end = Some(tail.end);
        }
        Ok(())
    }
}
