//! One shard: what the manifest says about it, and what its files say about themselves.

use mainstay::model::{Manifest, SegmentRecord, SegmentSeq, ShardId, ShardRecord, SnapshotRecord, SnapshotSeq, Tail};
use mainstay::storage::disk::Disk;
use mainstay::storage::segment::{HEADER_BYTES, HeaderState, Opened, SegmentHeader};
use mainstay::storage::snapshot;
use serde::Serialize;

use super::super::directory::Directory;
use super::super::finding::Finding;
use super::super::text::{hex, utc};
use super::cold::Cold;

/// One shard.
#[derive(Debug, Serialize)]
pub struct Shard {
    pub shard: u32,
    pub incarnation: u64,
    pub epochs: Vec<Epoch>,
    pub abandoned: Vec<Abandoned>,
    /// The files up to this end were dropped.
    pub base: Option<End>,
    /// An orderly shutdown ended here.
    pub closed: Option<End>,
    /// Commands that every replay leaves out, as epoch and lsn.
    pub poison: Vec<(u64, u64)>,
    pub segments: Vec<Segment>,
    pub snapshots: Vec<Snapshot>,
    pub cold: Vec<Cold>,
}

#[derive(Debug, Serialize)]
pub struct Epoch {
    pub epoch: u64,
    pub first: u64,
    pub end: Option<u64>,
    pub segment: u64,
}

#[derive(Debug, Serialize)]
pub struct Abandoned {
    pub epoch: u64,
    pub from: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct End {
    pub segment: u64,
    pub offset: u64,
    pub lsn: u64,
}

/// A log file. A spare has no `opened`.
#[derive(Debug, Serialize)]
pub struct Segment {
    pub segment: u64,
    pub bytes: u64,
    pub opened: Option<Start>,
    pub sealed: Option<End>,
    pub moved_from: Option<u64>,
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Start {
    pub how: &'static str,
    pub epoch: u64,
    pub first: u64,
    pub follows: u64,
}

#[derive(Debug, Serialize)]
pub struct Snapshot {
    pub snapshot: u64,
    pub epoch: u64,
    pub end: u64,
    pub entries: u64,
    pub bytes: u64,
    pub time: Option<String>,
    pub digest: Option<String>,
    pub error: Option<String>,
}

impl From<Tail> for End {
    fn from(tail: Tail) -> Self {
        Self { segment: tail.segment.0, offset: tail.offset, lsn: tail.end.0 }
    }
}

impl Shard {
    /// Looks at the shard's files.
    pub fn new(dir: &Directory, manifest: &Manifest, shard: ShardId, record: &ShardRecord) -> Self {
        let epochs = record.epochs.iter().map(|epoch| Epoch {
            epoch: epoch.epoch.0,
            first: epoch.first.0,
            end: epoch.end.map(|end| end.0),
            segment: epoch.segment.0,
        });
        let abandoned = record.abandoned.iter().map(|part| Abandoned { epoch: part.epoch.0, from: part.from.0 });
        let segments = record.segments.iter();
        let snapshots = record.snapshots.iter();
        Self {
            shard: shard.0,
            incarnation: record.incarnation.0,
            epochs: epochs.collect(),
            abandoned: abandoned.collect(),
            base: record.base.map(End::from),
            closed: record.closed.map(|closed| closed.tail.into()),
            poison: record.poison.iter().map(|position| (position.epoch.0, position.lsn.0)).collect(),
            segments: segments.map(|(number, record)| Segment::new(dir, manifest, shard, *number, record)).collect(),
            snapshots: snapshots.map(|(number, record)| Snapshot::new(dir, shard, *number, record)).collect(),
            cold: Cold::all(dir, manifest, shard, record),
        }
    }

    /// Could all of its files be read?
    pub fn is_whole(&self) -> bool {
        let segments = self.segments.iter().all(|segment| segment.error.is_none());
        let snapshots = self.snapshots.iter().all(|snapshot| snapshot.error.is_none());
        segments && snapshots && self.cold.iter().all(|file| file.error.is_none())
    }
}

impl Segment {
    fn new(dir: &Directory, manifest: &Manifest, shard: ShardId, number: SegmentSeq, record: &SegmentRecord) -> Self {
        let (opened, error) = match header(dir, shard, number) {
            Ok(HeaderState::Unused) => (None, None),
            Ok(HeaderState::Valid(header, _)) => {
                let is_own = (header.directory, header.shard, header.segment) == (manifest.directory, shard, number);
                let foreign = || "it does not belong here: its header names another place".to_owned();
                (Some(Start::from(header)), (!is_own).then(foreign))
            }
            Ok(HeaderState::Newer(found)) => (None, Some(format!("newer code has written it, in format {found}"))),
            Ok(HeaderState::Invalid) => (None, Some("its header does not verify: cut short, or damaged".to_owned())),
            Err(finding) => (None, Some(finding.reason)),
        };
        Self {
            segment: number.0,
            bytes: record.bytes,
            opened,
            sealed: record.valid_to.map(End::from),
            moved_from: record.moved_from.map(|segment| segment.0),
            error,
        }
    }
}

impl From<SegmentHeader> for Start {
    fn from(header: SegmentHeader) -> Self {
        let how = match header.opened {
            Opened::Begin => "begin",
            Opened::Roll => "roll",
            Opened::Move => "move",
        };
        let follows = header.follows;
        Self { how, epoch: header.epoch.0, first: follows.end.0, follows: follows.segment.0 }
    }
}

/// What the first bytes of a segment are.
fn header(dir: &Directory, shard: ShardId, number: SegmentSeq) -> Result<HeaderState, Finding> {
    let path = dir.layout.segment(shard, number);
    let unreadable =
        |error: std::io::Error| Finding::new(super::super::finding::Kind::Unreadable, &path, &error.to_string());
    let file = dir.disk.open(&path).map_err(unreadable)?;
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(&mut header, 0).map_err(unreadable)?;
    Ok(if read < HEADER_BYTES { HeaderState::Invalid } else { SegmentHeader::decode(&header) })
}

impl Snapshot {
    fn new(dir: &Directory, shard: ShardId, number: SnapshotSeq, record: &SnapshotRecord) -> Self {
        let header = snapshot::peek_header(&dir.disk, &dir.layout.snapshot(shard, number));
        Self {
            snapshot: number.0,
            epoch: record.end.epoch.0,
            end: record.end.lsn.0,
            entries: record.entries,
            bytes: record.bytes,
            time: header.as_ref().ok().map(|header| utc(header.time)),
            digest: record.digest.map(|digest| hex(&digest.hash)),
            error: header.err().map(|error| Finding::from(&error).reason),
        }
    }
}
