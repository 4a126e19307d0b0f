//! Reading a shard's log back: every chained frame in order, and a verdict on how it ends.
//!
//! # Recovery
//! Files before the last must verify up to where their successor or the manifest says they end, and so must the last
//! one after an orderly shutdown; nothing behind that is looked at. Otherwise the first frame of the last file that
//! does not verify ends the log, and *evidence* decides what that means: if anything valid says that the lsn it should
//! have held was durable (a later frame's `durable_end`, the header of a file to which frames were to move, a snapshot
//! or version that reaches further), the file is damaged and the shard refused; if not, the tail was torn by a crash
//! and is left in place. The mere existence of a later frame says nothing: unsynced pages reach the disk in any order.
//!
//! The last file is synced and its cached pages dropped before it is read, so that what is accepted is on the disk and
//! not only in memory that an earlier failed sync has left behind.
//!
//! With a snapshot, only what it does not hold is read: of files in front of that only the headers are.
//!
//! Memory: one segment at a time.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use super::chain::{self, Link};
use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext, LogError};
use super::frame::{self, ALIGNMENT, FrameHeader, align};
use super::layout::{Layout, parse_cold, parse_snapshot, parse_snapshot_temporary};
use super::segment::HEADER_BYTES;
use crate::model::{Batch, Epoch, Lsn, Manifest, SegmentSeq, ShardId, Tail};

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// End of the log; none if no writer ever wrote a header.
    pub tail: Option<Tail>,
    /// Where each file of the log begins: the end that it follows. None for the first of all.
    pub begins: BTreeMap<SegmentSeq, Tail>,
    /// Commands that were read.
    pub commands: u64,
    /// Bytes of frames, headers included.
    pub bytes: u64,
    /// Bytes behind the end that a crash has torn, left in place, or that the file has lost.
    pub torn_bytes: u64,
}

impl Recovered {
    fn note_begin(&mut self, link: &Link) {
        if link.header.follows.segment > SegmentSeq(0) {
            self.begins.insert(link.header.segment, link.header.follows);
        }
    }

    fn add(&mut self, reader: &Reader<'_>) {
        self.commands += reader.commands;
        self.bytes += reader.offset - HEADER_BYTES as u64;
    }
}

/// What of a log is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Commands below are known: a snapshot holds them.
    pub from: Lsn,
    /// See [`recover`].
    pub known_end: Option<Tail>,
}

/// Reads a shard's log and hands every batch with a command that is wanted to `visit`, in order.
///
/// `known_end` is an end that this process has already chosen, because a sync of that file has failed or because what
/// lies in front of it was published: unless an edit has moved the log on since, it ends exactly there again, whatever
/// a thread that woke late has written behind it.
///
/// # Errors
/// [`LogError`], also from `visit`. Nothing was changed.
pub fn recover(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
    wanted: Wanted,
    visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>,
) -> Result<Recovered, LogError> {
    let chain = chain::find(disk, layout, manifest, shard)?;
    let mut recovered = Recovered::default();
    let mut next = chain.first().map_or(Lsn::FIRST, |link| link.header.follows.end);
    if chain.is_empty() && wanted.from > next {
        let path = layout.shard(shard);
        return Err(LogError::Damaged { path, offset: 0, lsn: next, reason: "nothing is left of the log" });
    }
    for (at, link) in chain.iter().enumerate() {
        if link.header.follows.end != next {
            return Err(LogError::Foreign { path: link.path.clone(), reason: "its first lsn is not the log's next" });
        }
        recovered.note_begin(link);
        if let Some(ends) = link.ends.filter(|ends| at + 1 < chain.len() && ends.end <= wanted.from) {
            next = ends.end;
            continue;
        }
        let file = disk.open(&link.path).context("open", &link.path)?;
        let ends = link.ends.or(wanted.known_end.filter(|tail| tail.segment == link.header.segment));
        // Never a file whose sync has failed: another one proves nothing.
        if at + 1 == chain.len() && ends.is_none() {
            file.sync().context("sync", &link.path)?;
        }
        file.drop_cache().context("drop the cache of", &link.path)?;
        let bytes = read(Ok(file), link)?;
        let mut reader = Reader::new(link, bytes, next, wanted.from);
        recovered.torn_bytes = reader.read_to(ends, visit)?;
        recovered.add(&reader);
        next = reader.next;
        recovered.tail = Some(reader.tail());
        tracing::debug!(%shard, file = %link.path.display(), %next, "segment read");
    }
    Ok(recovered)
}

/// Reads a shard's log up to a place in the middle, where a version lies: at least the file in which that is, which the
/// log would go on from. Nothing behind it is looked at, so it does not matter who writes there.
///
/// # Errors
/// As [`recover`].
pub fn recover_up_to(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
    (from, tail): (Lsn, Tail),
    visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>,
) -> Result<Recovered, LogError> {
    let mut recovered = Recovered { tail: Some(tail), ..Recovered::default() };
    for link in chain::back_from(disk, layout, manifest, shard, tail, from)? {
        let file = disk.open(&link.path).context("open", &link.path)?;
        file.drop_cache().context("drop the cache of", &link.path)?;
        let bytes = read(Ok(file), &link)?;
        let mut reader = Reader::new(&link, bytes, link.header.follows.end, from);
        reader.read_to(link.ends, visit)?;
        recovered.note_begin(&link);
        recovered.add(&reader);
    }
    Ok(recovered)
}

/// Reads one file of the log by itself, whatever there is to the others: can it be read up to where it has to end, or,
/// if nothing but its own frames says where, is its tail torn and not damaged?
///
/// # Errors
/// As [`recover`].
pub fn check_one(disk: &dyn Disk, link: &Link) -> Result<(), LogError> {
    let bytes = read(disk.open(&link.path), link)?;
    let from = link.header.follows.end;
    let mut reader = Reader::new(link, bytes, from, from);
    reader.read_to(link.ends, &mut |_, _| Ok(())).map(drop)
}

/// Reads one segment frame by frame.
struct Reader<'a> {
    link: &'a Link,
    bytes: Bytes,
    offset: u64,
    next: Lsn,
    from: Lsn,
    hash: [u8; 32],
    commands: u64,
}

impl<'a> Reader<'a> {
    fn new(link: &'a Link, bytes: Bytes, next: Lsn, from: Lsn) -> Self {
        let (offset, hash) = (HEADER_BYTES as u64, link.header_hash);
        Self { link, bytes, offset, next, from, hash, commands: 0 }
    }

    /// Reads every frame up to where the file must end; without that, as long as they go on. Returns how many bytes
    /// behind them were torn.
    fn read_to(
        &mut self,
        ends: Option<Tail>,
        visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>,
    ) -> Result<u64, LogError> {
        while ends.is_none_or(|tail| self.offset < tail.offset) && self.frame(visit)? {}
        match ends {
            Some(tail) => self.must_end_at(tail).map(|()| 0),
            None => self.verdict(),
        }
    }

    /// Reads the next chained frame; `false` if there is none.
    fn frame(&mut self, visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>) -> Result<bool, LogError> {
        let start = self.offset as usize;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some((header, payload)) = frame::verify(rest, &self.link.header.salt) else {
            return Ok(false);
        };
        if header.previous != self.hash {
            return Ok(false);
        }
        if header.first != self.next || header.epoch != self.link.header.epoch {
            return Err(self.damaged("a verified frame does not continue the log"));
        }
        let payload = self.bytes.slice_ref(payload);
        let batches =
            frame::decode_batches(&header, &payload).ok_or_else(|| self.damaged("a verified frame does not add up"))?;
        for batch in batches.into_iter().filter(|batch| batch.end() > self.from) {
            visit(header.epoch, batch)?;
        }
        self.offset += header.bytes();
        (self.next, self.hash) = (header.end(), header.hash);
        self.commands += header.end().since(header.first.max(self.from));
        Ok(true)
    }

    /// A sealed or closed file, or one that has a successor, ends exactly where that says.
    fn must_end_at(&self, tail: Tail) -> Result<(), LogError> {
        if self.tail() == tail { Ok(()) } else { Err(self.damaged("it cannot be read up to its recorded end")) }
    }

    /// Torn or damaged? Returns how many bytes were torn.
    fn verdict(&self) -> Result<u64, LogError> {
        if self.link.vouched > self.next {
            return Err(self.damaged("a snapshot, a version or a file that was to follow says that it was durable"));
        }
        let start = self.offset as usize;
        let says_durable =
            self_valid_frames(&self.bytes, start, &self.link.header.salt).any(|header| header.durable_end > self.next);
        if says_durable {
            return Err(self.damaged("a later frame says that this point was durable"));
        }
        if (self.bytes.len() as u64) < self.link.bytes {
            // No crash shortens a file: what is gone is at least told of.
            return Ok(self.link.bytes - self.offset);
        }
        let rest = self.bytes.get(start..).unwrap_or_default();
        Ok(rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1))
    }

    fn tail(&self) -> Tail {
        let segment = self.link.header.segment;
        Tail { segment, offset: self.offset, end: self.next, hash: self.hash }
    }

    fn damaged(&self, reason: &'static str) -> LogError {
        LogError::Damaged { path: self.link.path.clone(), offset: self.offset, lsn: self.next, reason }
    }
}

/// Headers of all frames from `start` on that verify by themselves, wherever they lie.
pub fn self_valid_frames<'a>(
    bytes: &'a [u8],
    start: usize,
    salt: &'a [u8; 32],
) -> impl Iterator<Item = FrameHeader> + 'a {
    let first = align(start as u64) as usize;
    (first..bytes.len())
        .step_by(ALIGNMENT as usize)
        .filter_map(move |at| Some(frame::verify(bytes.get(at..)?, salt)?.0))
}

/// Reads a whole segment, as far as it was registered; no more is allocated, whatever the file's length says.
///
/// # Errors
/// A call failed.
pub fn read(file: io::Result<Box<dyn DiskFile>>, link: &Link) -> Result<Bytes, LogError> {
    let path = &link.path;
    let file = file.context("open", path)?;
    let size = file.size().context("measure", path)?.min(link.bytes);
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(&mut bytes, 0).context("read", path)?;
    bytes.truncate(read);
    file.drop_cache().context("drop the cache of", path)?;
    Ok(Bytes::from(bytes))
}

/// Removes a shard's [`left_overs`]. Only for a shard whose log was read without an error. Returns how many.
///
/// # Errors
/// A call failed; trying again is safe.
pub fn sweep(disk: &dyn Disk, layout: &Layout, manifest: &Manifest, shard: ShardId) -> Result<usize, DiskError> {
    let orphans = left_overs(disk, layout, manifest, shard)?;
    for path in &orphans {
        disk.remove(path).context("remove", path)?;
    }
    Ok(orphans.len())
}

/// Files of a shard that are provably left-overs of its own, if its log can be read without an error: spares that were
/// never registered, snapshots and cold files that were never adopted, and files that an edit has dropped.
///
/// # Errors
/// A call failed.
pub fn left_overs(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
) -> Result<Vec<PathBuf>, DiskError> {
    let Some(record) = manifest.shard(shard) else { return Ok(Vec::new()) };
    let segments = chain::unknown_files(disk, layout, record, shard)?;
    let segments = segments.into_iter().map(|segment| layout.segment(shard, segment));
    let dir = layout.shard(shard);
    let names = disk.list(&dir).context("list", &dir)?;
    let unfinished = names.iter().filter_map(|name| parse_snapshot_temporary(name));
    let unfinished = unfinished.map(|snapshot| layout.snapshot_temporary(shard, snapshot));
    let snapshots = names.iter().filter_map(|name| parse_snapshot(name));
    let snapshots = snapshots.filter(|snapshot| !record.snapshots.contains_key(snapshot));
    let snapshots = snapshots.map(|snapshot| layout.snapshot(shard, snapshot));
    let cold = names.iter().filter_map(|name| parse_cold(name));
    let cold = cold.filter(|cold| !record.cold.contains_key(cold)).map(|cold| layout.cold(shard, cold));
    Ok(segments.chain(unfinished).chain(snapshots).chain(cold).collect())
}
