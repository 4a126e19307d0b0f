//! What can be gone back to: snapshots of a shard, versions across all of them, and what they need.
//!
//! A version needs, in every shard, the newest snapshot at or below its point (or the log from its beginning) and the
//! log from there to the point. The next recovery needs the newest snapshot and the log behind it. Everything older is
//! no longer needed, and [`Edit::Prune`](super::Edit::Prune) drops it.

use serde::{Deserialize, Serialize};

use super::{DataFile, Declined, Manifest, ShardRecord};
use crate::model::{Epoch, Lsn, Position, SegmentSeq, ShardId, SnapshotSeq, Tail, Time, VersionId};

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
    pub digest: Option<[u8; 32]>,
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
    pub digest: Option<[u8; 32]>,
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
        }
        self.versions.insert(version, record.clone());
        self.next_version = version.next();
        Ok(())
    }

    pub(super) fn retire(&mut self, version: VersionId) -> Result<(), Declined> {
        self.versions.remove(&version).map(drop).ok_or(Declined::Unknown)
    }

    pub(super) fn prune(&mut self, shard: ShardId, base: Option<Tail>) -> Result<Vec<DataFile>, Declined> {
        let needed = self.base_snapshot(shard).map(|(seq, record)| (record.end.lsn, seq));
        let record = self.shards.get_mut(shard.0 as usize).ok_or(Declined::UnknownShard)?;
        let mut dropped = Vec::new();
        if let Some(base) = base {
            if needed.is_none_or(|(lsn, _)| base.end > lsn) {
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

    pub(super) fn adopt(&mut self, snapshot: SnapshotSeq, record: &SnapshotRecord) -> Result<(), Declined> {
        if snapshot < self.next_snapshot {
            return Err(Declined::NumberInUse);
        }
        if !self.is_on_line(record.end) {
            return Err(Declined::Ended);
        }
        if self.base.is_some_and(|base| record.end.lsn < base.end) {
            return Err(Declined::Backwards);
        }
        self.snapshots.insert(snapshot, record.clone());
        self.next_snapshot = snapshot.next();
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
