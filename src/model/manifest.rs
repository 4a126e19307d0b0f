//! The manifest's value and the typed edits that change it.
//!
//! The manifest is the only truth about which files make up the data. This file is the meaning of an edit: applying
//! it to a value either yields the next value or declines and leaves it as it was. How edits reach the disk is
//! `storage::manifest_log`; in which order things happen is `protocol::manifest`.
//!
//! Invariants: epochs and incarnations only go up; a segment number is never registered twice; a sealed segment's end
//! never changes; an edit of an incarnation older than the last that began is declined.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{DirectoryId, Epoch, Incarnation, Lsn, Position, SegmentSeq, ShardId, Tail};

/// How keys are mapped to shards; fixed when the directory is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// 1 = SipHash-1-3 of the key bytes, low 32 bits scaled to the shard count.
    pub id: u32,
    /// Random key of the hash.
    pub key: [u8; 16],
}

/// Everything the directory is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the directory.
    pub directory: DirectoryId,
    /// How keys find their shard.
    pub routing: Routing,
    /// One record a shard, in order.
    pub shards: Vec<ShardRecord>,
}

/// One shard's part of the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// The last incarnation whose writer began.
    pub incarnation: Incarnation,
    /// Timelines, ascending and contiguous: each ends where the next begins.
    pub epochs: Vec<EpochRecord>,
    /// The log's files, spares included.
    pub segments: BTreeMap<SegmentSeq, SegmentRecord>,
    /// The smallest number that was never registered.
    pub next_segment: SegmentSeq,
    /// Commands that every replay leaves out.
    pub poison: BTreeSet<Position>,
    /// Set by an orderly shutdown, cleared when a writer begins.
    pub closed: Option<Closed>,
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

/// One change. The order of variants is persisted: append only, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// A zero-filled file exists and may be used by this incarnation.
    Register {
        /// Whose log.
        shard: ShardId,
        /// Who made it.
        incarnation: Incarnation,
        /// Its number.
        segment: SegmentSeq,
        /// Its size.
        bytes: u64,
    },
    /// A writer's life starts: ends the epoch before at what was recovered and synced, and opens the next one in a
    /// fresh file. Spares of older incarnations are dropped.
    Begin {
        /// Whose log.
        shard: ShardId,
        /// The epoch and incarnation this was computed from.
        expects: (Epoch, Incarnation),
        /// End of everything before; none if nothing was ever written.
        sealed: Option<Tail>,
        /// The new incarnation.
        incarnation: Incarnation,
        /// The new epoch's file.
        segment: SegmentSeq,
    },
    /// After a failed write or sync: `from` ends at its durable position and `to`, which holds the rest, follows it.
    Move {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// The durable end of the failed file.
        from: Tail,
        /// The file that goes on.
        to: SegmentSeq,
    },
    /// The epoch ends here: what was not durable is certainly not executed.
    Seal {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// Its durable end.
        tail: Tail,
    },
    /// Orderly shutdown: the log is durable up to here.
    Close {
        /// Whose log.
        shard: ShardId,
        /// The writer's timeline.
        epoch: Epoch,
        /// The writer.
        incarnation: Incarnation,
        /// Its end.
        tail: Tail,
    },
    /// A command that cannot be decoded or applied is left out of every replay.
    Skip {
        /// Whose log.
        shard: ShardId,
        /// The command.
        position: Position,
    },
}

/// Why an edit changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// The directory has no such shard.
    #[error("there is no such shard")]
    UnknownShard,
    /// A newer incarnation has begun, or the expectation does not hold.
    #[error("the edit comes from an older incarnation")]
    Stale,
    /// The segment is not registered.
    #[error("the segment is not registered")]
    UnknownSegment,
    /// The segment number was used before, or the segment is already part of the log.
    #[error("the segment is already in use")]
    SegmentInUse,
    /// The epoch is over.
    #[error("the epoch has ended")]
    Ended,
    /// The new end lies before something that is known to be in the log.
    #[error("the edit would cut off what is known to be durable")]
    Backwards,
}

/// How a requested edit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditOutcome {
    /// It is durable.
    Committed,
    /// It is certainly not in the manifest, and this is why.
    Declined(Declined),
    /// It is certainly not in the manifest: it could not be written.
    Failed,
    /// Nobody knows whether a later open will find it.
    Indeterminate,
}

/// What applying an edit has made unreferenced: files to delete once the edit is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Log files that the manifest no longer names.
    pub dropped: Vec<(ShardId, SegmentSeq)>,
}

impl Manifest {
    /// The manifest of a directory in which nothing was ever written.
    #[must_use]
    pub fn new(directory: DirectoryId, routing: Routing, shards: u32) -> Self {
        let shard = ShardRecord { next_segment: SegmentSeq(1), ..ShardRecord::default() };
        Self { directory, routing, shards: vec![shard; shards as usize] }
    }

    /// One shard's record.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> Option<&ShardRecord> {
        self.shards.get(shard.0 as usize)
    }

    /// Applies one edit, or declines and leaves everything as it was.
    ///
    /// # Errors
    /// [`Declined`] says why.
    pub fn apply(&mut self, edit: &Edit) -> Result<Applied, Declined> {
        let id = edit.shard();
        let shard = self.shards.get_mut(id.0 as usize).ok_or(Declined::UnknownShard)?;
        let dropped = shard.apply(edit)?;
        Ok(Applied { dropped: dropped.into_iter().map(|segment| (id, segment)).collect() })
    }
}

impl Edit {
    /// The shard that the edit is about.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        match *self {
            Self::Register { shard, .. }
            | Self::Begin { shard, .. }
            | Self::Move { shard, .. }
            | Self::Seal { shard, .. }
            | Self::Close { shard, .. }
            | Self::Skip { shard, .. } => shard,
        }
    }
}

impl ShardRecord {
    /// The newest timeline; 0 before the first writer.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().map_or(Epoch(0), |record| record.epoch)
    }

    fn apply(&mut self, edit: &Edit) -> Result<Vec<SegmentSeq>, Declined> {
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
