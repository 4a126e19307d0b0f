//! What can be gone back to: snapshots of a shard, versions across all of them, and what they need.
//!
//! A version needs, in every shard, the newest snapshot at or below its point (or the log from its beginning) and the
//! log from there to the point. The next recovery needs the newest snapshot and the log behind it. Everything older is
//! no longer needed, and [`Edit::Prune`](super::Edit::Prune) drops it.

use serde::{Deserialize, Serialize};

use super::{Abandoned, DataFile, Declined, Manifest, SegmentRecord, ShardRecord, SpilledFile};
use crate::model::{ColdSeq, Digest, Epoch, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Tail, Time, VersionId};

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
    /// The cold files that it refers to, ascending.
    pub cold: Vec<ColdSeq>,
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

    /// Bytes of the newest snapshots of all shards.
    #[must_use]
    pub fn newest_snapshot_bytes(&self) -> u64 {
        self.shards.iter().filter_map(ShardRecord::newest_snapshot).map(|(_, snapshot)| snapshot.bytes).sum()
    }

    /// The digests that versions have recorded of a shard's state at `end`.
    pub fn digests_at(&self, shard: ShardId, end: Lsn) -> impl Iterator<Item = Digest> {
        let points = self.versions.values().filter_map(move |version| version.points.get(shard.0 as usize));
        points.filter(move |point| point.end.lsn == end).filter_map(|point| point.digest)
    }

    /// The oldest snapshot of a shard that is needed: what is older, and the log below it, is not.
    #[must_use]
    pub fn base_snapshot(&self, shard: ShardId) -> Option<(SnapshotSeq, &SnapshotRecord)> {
        let at_most = self.oldest_point(shard).unwrap_or(Lsn(u64::MAX));
        self.shard(shard)?.snapshots_up_to(at_most).next()
    }

    /// Does a version end in that file or in front of it? The log is taken up there again when it is gone back to.
    #[must_use]
    pub fn holds_tail(&self, shard: ShardId, segment: SegmentSeq) -> bool {
        let points = self.versions.values().filter_map(|version| version.points.get(shard.0 as usize));
        points.filter_map(|point| point.tail).any(|tail| tail.segment <= segment)
    }

    /// Which files a reader of a shard can count on: the timeline, where the log begins, and the snapshots. If that has
    /// changed, a file that it does not find may have been dropped in good order.
    #[must_use]
    pub fn kept_files(&self, shard: ShardId) -> Option<(u64, Option<Tail>, Vec<SnapshotSeq>)> {
        let record = self.shard(shard)?;
        Some((self.timeline, record.base, record.snapshots.keys().copied().collect()))
    }

    /// What can be dropped of a shard, if anything can: the log's new base, or only other files. `ends` are where files
    /// of the log end that another one follows.
    pub fn superfluous(&self, shard: ShardId, ends: impl Iterator<Item = Tail>) -> Option<Option<Tail>> {
        let record = self.shard(shard)?;
        let cold = record.unneeded_cold().next().is_some();
        let Some((newest_needed, needed)) = self.base_snapshot(shard) else { return cold.then_some(None) };
        let usable = |tail: &Tail| tail.end <= needed.end.lsn && !self.holds_tail(shard, tail.segment);
        let base = ends.filter(usable).max_by_key(|tail| tail.segment).filter(|base| record.base != Some(*base));
        let older = record.snapshots_oldest_first().first().is_some_and(|(oldest, _)| *oldest != newest_needed);
        (base.is_some() || older || cold).then_some(base)
    }

    pub(super) fn mark(&mut self, version: VersionId, record: &VersionRecord) -> Result<(), Declined> {
        if version < self.next_version {
            return Err(Declined::NumberInUse);
        }
        if record.points.len() != self.shards.len() {
            return Err(Declined::UnknownShard);
        }
        let mut record = record.clone();
        // One cut after the other: going back to a later one never takes away what an earlier one needs.
        let newest = self.versions.values().next_back();
        let place = |point: &Point| (point.end.lsn, point.tail.map(|tail| tail.segment));
        let mut before = newest.into_iter().flat_map(|newest| &newest.points).zip(&record.points);
        if before.any(|(before, point)| place(point) < place(before)) {
            return Err(Declined::Backwards);
        }
        for (shard, point) in self.shards.iter().zip(&mut record.points) {
            // The shard and its writer may have looked on either side of a `Begin`: the file decides.
            point.end.epoch = shard.epoch_of(point.tail);
            if point.tail.is_some() && point.end.epoch == Epoch(0) {
                return Err(Declined::UnknownSegment);
            }
            if point.tail.is_some_and(|tail| tail.end != point.end.lsn) || !shard.is_on_line(point.end) {
                return Err(Declined::Ended);
            }
            if point.tail.is_some_and(|tail| !shard.segments.contains_key(&tail.segment)) {
                return Err(Declined::UnknownSegment);
            }
            if !shard.reaches(point.end.lsn) {
                return Err(Declined::Unreachable);
            }
        }
        self.versions.insert(version, record);
        self.next_version = version.next();
        Ok(())
    }

    pub(super) fn retire(&mut self, version: VersionId) -> Result<(), Declined> {
        self.versions.remove(&version).map(drop).ok_or(Declined::Unknown)
    }

    pub(super) fn outdate(&mut self, version: VersionId, newest: VersionId) -> Result<(), Declined> {
        match self.versions.keys().next_back() {
            Some(last) if *last != newest => Err(Declined::Stale),
            Some(last) if *last == version => Err(Declined::Needed),
            _ => self.retire(version),
        }
    }

    pub(super) fn roll_back(
        &mut self,
        version: VersionId,
        timeline: u64,
        cold: &[SpilledFile],
    ) -> Result<Vec<DataFile>, Declined> {
        if timeline != self.timeline {
            return Err(Declined::Stale);
        }
        for made in cold {
            let record = self.shard(made.shard).ok_or(Declined::UnknownShard)?;
            if record.cold.contains_key(&made.file) {
                return Err(Declined::NumberInUse);
            }
        }
        let points = self.versions.get(&version).ok_or(Declined::Unknown)?.points.clone();
        let mut dropped = Vec::new();
        for (id, (shard, point)) in (0..).map(ShardId).zip(self.shards.iter_mut().zip(&points)) {
            dropped.extend(shard.go_back(id, *point));
            cold.iter().filter(|made| made.shard == id).for_each(|made| shard.take_in(made));
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
        let older: Vec<_> =
            record.snapshots_oldest_first().into_iter().map(|(seq, record)| (record.end.lsn, seq)).collect();
        for (_, seq) in older.into_iter().filter(|older| needed.is_some_and(|needed| *older < needed)) {
            record.snapshots.remove(&seq);
            dropped.push(DataFile::Snapshot(shard, seq));
        }
        // Last: the snapshots that are gone need nothing.
        dropped.extend(record.drop_cold().into_iter().map(|file| DataFile::Cold(shard, file)));
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

    /// The one that holds most.
    #[must_use]
    pub fn newest_snapshot(&self) -> Option<(SnapshotSeq, &SnapshotRecord)> {
        self.snapshots_oldest_first().pop()
    }

    /// Snapshots that hold nothing from `end` on, newest first: what the state there can be made from.
    pub fn snapshots_up_to(&self, end: Lsn) -> impl Iterator<Item = (SnapshotSeq, &SnapshotRecord)> {
        let newest_first = self.snapshots_oldest_first().into_iter().rev();
        newest_first.skip_while(move |(_, record)| record.end.lsn > end)
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

    /// The timeline of a place in the log's files.
    fn epoch_of(&self, tail: Option<Tail>) -> Epoch {
        let segment = tail.map_or(SegmentSeq(0), |tail| tail.segment);
        let began = self.epochs.iter().rev().find(|record| record.segment <= segment);
        began.map_or(Epoch(0), |record| record.epoch)
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
        self.claim_all();
        self.closed = None;
        if point.tail.is_none() {
            // The log begins anew: there is no end that it would go on from.
            self.base = None;
        }
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
        if record.cold.iter().any(|file| !self.cold.contains_key(file)) {
            return Err(Declined::Unreachable);
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
