//! What can be gone back to: snapshots of a shard, versions across all of them, and what they need.
//!
//! A version needs, in every shard, the newest snapshot at or below its point (or the log from its beginning) and the
//! log from there to the point. The next recovery needs the newest snapshot and the log behind it. Everything older is
//! no longer needed, and [`Edit::Prune`](super::Edit::Prune) drops it.

use serde::{Deserialize, Serialize};

use super::{Abandoned, DataFile, Declined, Manifest, SegmentRecord, ShardRecord};
use crate::model::{Epoch, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Tail, Time, VersionId};

/// The digest of a state, in its short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// It stands for the state wherever it is only compared.
    pub hash: [u8; 32],
    /// What the entities were encoded with: those of another schema are other bytes.
    pub schema: u32,
}

/// A file that holds a shard's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// The state is that of everything below.
    pub end: Position,
    /// Its length.
    pub bytes: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Hash of its footer, which covers all of it.
    pub hash: [u8; 32],
    /// Digest of the state, if one was taken.
    pub digest: Option<Digest>,
}

/// A cut across all shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// When it was taken.
    pub time: Time,
    /// Where it lies, one a shard, in order.
    pub points: Vec<Point>,
}

/// A place in a shard's log between two commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Everything below belongs to it.
    pub end: Position,
    /// Where the log has it; none if nothing was ever written.
    pub tail: Option<Tail>,
    /// Digest of the state there, if one was taken.
    pub digest: Option<Digest>,
}

impl Manifest {
    /// The oldest lsn that a retained version of the shard ends with; none without versions.
    #[must_use]
    pub fn oldest_point(&self, shard: ShardId) -> Option<Lsn> {
        let points = self.versions.values().filter_map(|version| version.points.get(shard.0 as usize));
        points.map(|point| point.end.lsn).min()
    }

    /// The oldest snapshot of a shard that is needed: what is older, and the log below it, is not.
    #[must_use]
    pub fn base_snapshot(&self, shard: ShardId) -> Option<(SnapshotSeq, &SnapshotRecord)> {
        let at_most = self.oldest_point(shard).unwrap_or(Lsn(u64::MAX));
        let usable = self.shard(shard)?.snapshots_oldest_first().into_iter().rev();
        usable.into_iter().find(|(_, record)| record.end.lsn <= at_most)
    }

    /// Does a version end in that file or in front of it? The log is taken up there again when it is gone back to.
    #[must_use]
    pub fn holds_tail(&self, shard: ShardId, segment: SegmentSeq) -> bool {
        let points = self.versions.values().filter_map(|version| version.points.get(shard.0 as usize));
        points.filter_map(|point| point.tail).any(|tail| tail.segment <= segment)
    }

    pub(super) fn mark(&mut self, version: VersionId, record: &VersionRecord) -> Result<(), Declined> {
        if version < self.next_version {
            return Err(Declined::NumberInUse);
        }
        if record.points.len() != self.shards.len() {
            return Err(Declined::UnknownShard);
        }
        for (shard, point) in self.shards.iter().zip(&record.points) {
            if !shard.is_on_line(point.end) {
                return Err(Declined::Ended);
            }
            if point.tail.is_some_and(|tail| !shard.segments.contains_key(&tail.segment)) {
                return Err(Declined::UnknownSegment);
            }
            if !shard.reaches(point.end.lsn) {
                return Err(Declined::Unreachable);
            }
        }
        self.versions.insert(version, record.clone());
        self.next_version = version.next();
        Ok(())
    }

    pub(super) fn retire(&mut self, version: VersionId) -> Result<(), Declined> {
        self.versions.remove(&version).map(drop).ok_or(Declined::Unknown)
    }

    pub(super) fn roll_back(&mut self, version: VersionId, timeline: u64) -> Result<Vec<DataFile>, Declined> {
        if timeline != self.timeline {
            return Err(Declined::Stale);
        }
        let points = self.versions.get(&version).ok_or(Declined::Unknown)?.points.clone();
        let mut dropped = Vec::new();
        for (id, (shard, point)) in (0..).map(ShardId).zip(self.shards.iter_mut().zip(&points)) {
            dropped.extend(shard.go_back(id, *point));
        }
        self.versions.retain(|other, _| *other <= version);
        self.timeline += 1;
        Ok(dropped)
    }

    pub(super) fn prune(&mut self, shard: ShardId, base: Option<Tail>) -> Result<Vec<DataFile>, Declined> {
        let needed = self.base_snapshot(shard).map(|(seq, record)| (record.end.lsn, seq));
        let held = base.is_some_and(|base| self.holds_tail(shard, base.segment));
        let record = self.shards.get_mut(shard.0 as usize).ok_or(Declined::UnknownShard)?;
        let mut dropped = Vec::new();
        if let Some(base) = base {
            if held || needed.is_none_or(|(lsn, _)| base.end > lsn) {
                return Err(Declined::Needed);
            }
            dropped.extend(record.drop_log(base)?.into_iter().map(|segment| DataFile::Segment(shard, segment)));
        }
        let Some(needed) = needed else { return Ok(dropped) };
        let older: Vec<_> =
            record.snapshots_oldest_first().into_iter().map(|(seq, record)| (record.end.lsn, seq)).collect();
        for (_, seq) in older.into_iter().filter(|older| *older < needed) {
            record.snapshots.remove(&seq);
            dropped.push(DataFile::Snapshot(shard, seq));
        }
        Ok(dropped)
    }
}

impl ShardRecord {
    /// Snapshots by what they hold, then by number.
    #[must_use]
    pub fn snapshots_oldest_first(&self) -> Vec<(SnapshotSeq, &SnapshotRecord)> {
        let mut snapshots: Vec<_> = self.snapshots.iter().map(|(seq, record)| (*seq, record)).collect();
        snapshots.sort_by_key(|(seq, record)| (record.end.lsn, *seq));
        snapshots
    }

    /// Is this a place between two commands of the log, as far as the manifest can say?
    #[must_use]
    pub fn is_on_line(&self, end: Position) -> bool {
        if end.epoch == Epoch(0) {
            return end.lsn == Lsn::FIRST;
        }
        let epoch = self.epochs.iter().find(|record| record.epoch == end.epoch);
        epoch.is_some_and(|epoch| epoch.first <= end.lsn && epoch.end.is_none_or(|over| end.lsn <= over))
    }

    /// The log ends at the point, which a version has kept. Whoever writes it now writes what nobody will read: its
    /// incarnation is over.
    fn go_back(&mut self, id: ShardId, point: Point) -> Vec<DataFile> {
        let last = self.epoch();
        let segment = point.tail.map_or(SegmentSeq(0), |tail| tail.segment);
        let gone = |epoch: Epoch| epoch > point.end.epoch;
        let abandoned = self.epochs.iter().filter(|record| gone(record.epoch));
        let mut abandoned: Vec<_> =
            abandoned.map(|record| Abandoned { epoch: record.epoch, from: record.first, until: record.end }).collect();
        self.epochs.retain(|record| !gone(record.epoch));
        if let Some(epoch) = self.epochs.last_mut() {
            abandoned.insert(0, Abandoned { epoch: epoch.epoch, from: point.end.lsn, until: epoch.end });
            epoch.end = Some(point.end.lsn);
        }
        self.abandoned.extend(abandoned);
        debug_assert_eq!(self.epoch(), last, "no timeline is forgotten");
        if let Some(record) = self.segments.get_mut(&segment) {
            record.valid_to = point.tail;
        }
        let segments: Vec<_> = self.segments.range(segment.next()..).map(|(segment, _)| *segment).collect();
        self.segments.retain(|other, _| *other <= segment);
        // Up to the point every line is this one.
        let snapshots = self.snapshots.iter().filter(|(_, record)| record.end.lsn > point.end.lsn);
        let snapshots: Vec<_> = snapshots.map(|(snapshot, _)| *snapshot).collect();
        self.snapshots.retain(|_, record| record.end.lsn <= point.end.lsn);
        self.incarnation = self.incarnation.next();
        self.closed = None;
        let segments = segments.into_iter().map(|segment| DataFile::Segment(id, segment));
        segments.chain(snapshots.into_iter().map(|snapshot| DataFile::Snapshot(id, snapshot))).collect()
    }

    /// Is everything there to make the state at `end` again? A snapshot and a prune may have overtaken a cut.
    fn reaches(&self, end: Lsn) -> bool {
        let Some(base) = self.base else { return true };
        self.snapshots.values().any(|snapshot| (base.end..=end).contains(&snapshot.end.lsn))
    }

    pub(super) fn adopt(&mut self, snapshot: SnapshotSeq, record: &SnapshotRecord) -> Result<(), Declined> {
        // Two that are written at the same time may end in either order.
        if self.snapshots.contains_key(&snapshot) {
            return Err(Declined::NumberInUse);
        }
        if !self.is_on_line(record.end) {
            return Err(Declined::Ended);
        }
        if self.base.is_some_and(|base| record.end.lsn < base.end) {
            return Err(Declined::Backwards);
        }
        self.snapshots.insert(snapshot, record.clone());
        self.next_snapshot = self.next_snapshot.max(snapshot.next());
        Ok(())
    }

    pub(super) fn discard(&mut self, snapshot: SnapshotSeq) -> Result<(), Declined> {
        if !self.snapshots.contains_key(&snapshot) {
            return Err(Declined::Unknown);
        }
        // Without its beginning the log is of use only behind another snapshot.
        if self.base.is_some() && self.snapshots.len() == 1 {
            return Err(Declined::Needed);
        }
        self.snapshots.remove(&snapshot);
        Ok(())
    }

    /// Drops the files up to the one that ends at `base`; the last file of the log always stays.
    fn drop_log(&mut self, base: Tail) -> Result<Vec<SegmentSeq>, Declined> {
        if self.base.is_some_and(|before| base.segment < before.segment || base.end < before.end) {
            return Err(Declined::Backwards);
        }
        // Computed on a line that a rollback has abandoned since.
        let is_there = |record: &SegmentRecord| record.valid_to.is_none_or(|end| end == base);
        if !self.segments.get(&base.segment).is_some_and(is_there) {
            return Err(Declined::UnknownSegment);
        }
        let last_used = self.epochs.last().map(|epoch| epoch.segment);
        let behind = self.segments.range(base.segment.next()..).next();
        if behind.is_none() || last_used.is_none() {
            return Err(Declined::Needed);
        }
        let dropped: Vec<_> = self.segments.range(..=base.segment).map(|(segment, _)| *segment).collect();
        self.segments.retain(|segment, _| *segment > base.segment);
        self.base = Some(base);
        Ok(dropped)
    }
}
