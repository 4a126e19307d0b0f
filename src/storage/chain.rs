//! Which files make up a shard's log, and where each of them ends.
//!
//! The manifest names the files and the beginnings of epochs; the headers say who follows whom. A file is part of the
//! log if it is linked to what comes before it *and* the manifest explains it: a begin by the epoch table, a move by
//! the move's edit, a roll because its predecessor goes on. What is left over is either a spare that was never adopted,
//! which is ignored, or proof that the manifest has lost an edit, which is refused. A log whose oldest files were
//! dropped begins with the file that follows the last of them.

use std::io;
use std::path::PathBuf;

use super::bytes::all_zero;
use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext, LogError};
use super::layout::{Layout, parse_segment};
use super::segment::{HEADER_BYTES, HeaderState, Opened, SegmentHeader, VERSION};
use crate::model::{Lsn, Manifest, SegmentRecord, SegmentSeq, ShardId, ShardRecord, Tail};

/// How far behind a header that is not there a spare is told from a log, and in which pieces: as far as the largest
/// frame goes.
const LOOKED_AT_BYTES: u64 = 4 << 20;
const LOOK_BYTES: usize = 64 * 1024;

/// A file of the log.
#[derive(Debug)]
pub struct Link {
    /// Its verified header.
    pub header: SegmentHeader,
    /// Hash of the header.
    pub header_hash: [u8; 32],
    /// Where it is.
    pub path: PathBuf,
    /// Its registered size: nothing behind it is read.
    pub bytes: u64,
    /// Where it must end; `None` for the last of a log that was not closed, whose own frames decide.
    pub ends: Option<Tail>,
    /// Everything below was durable, says a snapshot, a version, or the header of a file that was to follow and was
    /// never adopted. Only of the last file.
    pub vouched: Lsn,
}

/// Finds the chain of files that make up a shard's log, oldest first. Reads headers only, except of left-overs.
///
/// # Errors
/// A file is missing, foreign or damaged, or the manifest cannot explain it.
pub fn find(disk: &dyn Disk, layout: &Layout, manifest: &Manifest, shard: ShardId) -> Result<Vec<Link>, LogError> {
    let Some(record) = manifest.shard(shard) else { return Ok(Vec::new()) };
    refuse_unknown_files(disk, layout, record, shard)?;
    let mut used: Vec<Link> = Vec::new();
    let mut reaches = record.base.map_or(Lsn::FIRST, |base| base.end);
    for (segment, entry) in &record.segments {
        let link = read_header(disk, layout, manifest, shard, (*segment, entry), reaches)?;
        let follows = link.as_ref().map(|link| link.header.follows);
        reaches = follows.into_iter().chain(entry.valid_to).fold(reaches, |reaches, tail| reaches.max(tail.end));
        used.extend(link);
    }
    let mut chain: Vec<Link> = Vec::new();
    while let Some(at) = successor(record, chain.last(), &used) {
        let mut link = used.remove(at);
        link.ends = record.segments.get(&link.header.segment).and_then(|entry| entry.valid_to);
        let ends = match chain.last_mut() {
            Some(last) => Some(*last.ends.get_or_insert(link.header.follows)),
            None => record.base,
        };
        if ends.is_some_and(|ends| ends != link.header.follows) {
            return Err(foreign(&link, "it follows another end than the log's"));
        }
        chain.push(link);
    }
    // The mark of an orderly end says where the last file ends, as a seal does.
    if let (Some(last), Some(closed)) = (chain.last_mut(), record.closed)
        && last.header.segment == closed.tail.segment
    {
        last.ends.get_or_insert(closed.tail);
    }
    if let Some(last) = chain.last_mut() {
        let follow = used.iter().map(|left_over| left_over.header.follows);
        let ends = follow.filter(|follows| follows.segment == last.header.segment).map(|follows| follows.end);
        last.vouched = ends.max().unwrap_or(Lsn::FIRST).max(recorded(manifest, shard));
    }
    used.iter().try_for_each(|left_over| refuse_adopted(disk, record, &chain, left_over))?;
    check_complete(layout, record, shard, &chain)?;
    Ok(chain)
}

/// Finds the files that hold what lies between `from` and `tail`, oldest first, by walking back from the tail: each
/// header says whom it follows, and hashes chain all of it to the tail's. Whatever else is going on in the directory
/// does not matter.
///
/// # Errors
/// A file is missing, foreign or damaged.
pub fn back_from(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
    tail: Tail,
    from: Lsn,
) -> Result<Vec<Link>, LogError> {
    let (mut links, mut ends) = (Vec::new(), tail);
    while ends.segment > SegmentSeq(0) && (links.is_empty() || ends.end > from) {
        let segment = ends.segment;
        let entry = manifest.shard(shard).and_then(|record| record.segments.get(&segment));
        let missing = || LogError::SegmentMissing { path: layout.segment(shard, segment), segment };
        let entry = entry.ok_or_else(missing)?;
        let link = read_header(disk, layout, manifest, shard, (segment, entry), ends.end)?.ok_or_else(missing)?;
        let follows = link.header.follows;
        if follows.segment >= segment || follows.end > ends.end {
            return Err(foreign(&link, "it does not follow an earlier file"));
        }
        links.push(Link { ends: Some(ends), ..link });
        ends = follows;
    }
    links.reverse();
    Ok(links)
}

/// Snapshots and versions are recorded only when the log is synced up to them.
fn recorded(manifest: &Manifest, shard: ShardId) -> Lsn {
    let versions = manifest.versions.values().filter_map(|version| version.points.get(shard.0 as usize));
    let snapshots = manifest.shard(shard).into_iter().flat_map(|record| record.snapshots.values());
    let ends = versions.map(|point| point.end).chain(snapshots.map(|snapshot| snapshot.end));
    ends.map(|end| end.lsn).max().unwrap_or(Lsn::FIRST)
}

/// The file that comes next: the newest one that is linked to the chain's end and explained by the manifest.
fn successor(record: &ShardRecord, last: Option<&Link>, used: &[Link]) -> Option<usize> {
    let dropped = record.base.map_or(SegmentSeq(0), |base| base.segment);
    let follows = last.map_or(dropped, |link| link.header.segment);
    let sealed = |link: &Link| record.segments.get(&link.header.segment).is_some_and(|entry| entry.valid_to.is_some());
    used.iter().rposition(|link| {
        let header = &link.header;
        let explained = || match header.opened {
            Opened::Begin => {
                record.epochs.iter().any(|epoch| epoch.epoch == header.epoch && epoch.segment == header.segment)
            }
            Opened::Roll => match last {
                Some(last) => last.header.epoch == header.epoch && !sealed(last),
                // The manifest says where the dropped one ended, and that is held against the header.
                None => record.base.is_some(),
            },
            Opened::Move => {
                let entry = record.segments.get(&header.segment);
                entry.is_some_and(|entry| entry.moved_from == Some(follows))
            }
        };
        header.follows.segment == follows && explained()
    })
}

/// A used file outside the chain must be one that was never adopted.
fn refuse_adopted(disk: &dyn Disk, record: &ShardRecord, chain: &[Link], link: &Link) -> Result<(), LogError> {
    let lost = |reason| Err(LogError::ManifestLost { path: link.path.clone(), reason });
    if link.header.epoch > record.epoch() {
        return lost("its epoch is newer than the last one recorded");
    }
    if link.header.opened == Opened::Begin {
        return lost("no writer is recorded to have begun with it");
    }
    // Its header was written when all of that one was durable.
    if !chain.iter().any(|before| before.header.segment == link.header.follows.segment) {
        return lost("it follows a file that is not part of the log");
    }
    // Frames of a file that was never adopted were written before anything in them was durable.
    let bytes = super::recovery::read(disk.open(&link.path), link)?;
    let adopted = super::recovery::self_valid_frames(&bytes, HEADER_BYTES, &link.header.salt)
        .any(|header| header.durable_end > link.header.follows.end);
    if adopted { lost("it was part of the log") } else { Ok(()) }
}

/// Whatever the manifest says was durable must lie within the chain.
fn check_complete(layout: &Layout, record: &ShardRecord, shard: ShardId, chain: &[Link]) -> Result<(), LogError> {
    let sealed = record.segments.values().filter_map(|entry| entry.valid_to);
    for tail in sealed.chain(record.closed.map(|closed| closed.tail)) {
        if !chain.iter().any(|link| link.header.segment == tail.segment) {
            return Err(LogError::Damaged {
                path: layout.segment(shard, tail.segment),
                offset: 0,
                lsn: tail.end,
                reason: "the manifest says where it ends, but the log does not reach it",
            });
        }
    }
    Ok(())
}

/// A file that the manifest does not name is a spare cut short, or a file dropped but not yet deleted. One that is in
/// use and newer than all that were ever registered shows that the manifest is not the one that belongs to it.
fn refuse_unknown_files(
    disk: &dyn Disk,
    layout: &Layout,
    record: &ShardRecord,
    shard: ShardId,
) -> Result<(), LogError> {
    for segment in unknown_files(disk, layout, record, shard)? {
        let path = layout.segment(shard, segment);
        let file = match disk.open(&path) {
            // A preparer of an earlier life has removed the spare that it could not register.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.context("open", &path)?,
        };
        let mut header = [0; HEADER_BYTES];
        file.read_at(&mut header, 0).context("read", &path)?;
        if segment >= record.next_segment && !all_zero(&header) {
            return Err(LogError::ManifestLost { path, reason: "it was never registered" });
        }
    }
    Ok(())
}

/// Segment files in the shard's directory that the manifest does not name.
///
/// # Errors
/// The directory cannot be listed.
pub fn unknown_files(
    disk: &dyn Disk,
    layout: &Layout,
    record: &ShardRecord,
    shard: ShardId,
) -> Result<Vec<SegmentSeq>, DiskError> {
    let dir = layout.shard(shard);
    let names = disk.list(&dir).context("list", &dir)?;
    let segments = names.iter().filter_map(|name| parse_segment(name));
    Ok(segments.filter(|segment| !record.segments.contains_key(segment)).collect())
}

/// Reads the header of a file that the manifest names; none if nobody has begun to write it. What is known to lie in
/// front of it only helps to say where damage is.
///
/// # Errors
/// The file is missing, foreign or damaged.
pub fn read_header(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
    (segment, entry): (SegmentSeq, &SegmentRecord),
    reaches: Lsn,
) -> Result<Option<Link>, LogError> {
    let path = layout.segment(shard, segment);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::SegmentMissing { path, segment });
        }
        other => other.context("open", &path)?,
    };
    // An old failed sync may have left pages in memory that are not on the disk.
    file.drop_cache().context("drop the cache of", &path)?;
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(&mut header, 0).context("read", &path)?;
    let damaged = |reason| LogError::Damaged {
        path: path.clone(),
        offset: 0,
        lsn: begins(manifest, shard, segment).unwrap_or(reaches),
        reason,
    };
    if read < HEADER_BYTES {
        return Err(damaged("it is shorter than its header"));
    }
    match SegmentHeader::decode(&header) {
        HeaderState::Valid(header, header_hash) => {
            let reason = if header.directory != manifest.directory {
                Some("it is a file of another directory")
            } else if header.shard != shard {
                Some("it is a file of another shard")
            } else if header.segment != segment {
                Some("it is another segment of this shard")
            } else {
                None
            };
            let link = Link { header, header_hash, path, bytes: entry.bytes, ends: None, vouched: Lsn::FIRST };
            match reason {
                Some(reason) => Err(foreign(&link, reason)),
                None => Ok(Some(link)),
            }
        }
        HeaderState::Newer(found) => Err(LogError::NewerFormat { path, found, supported: VERSION }),
        // The header is synced before the first frame: with anything behind it, it was durable.
        HeaderState::Unused | HeaderState::Invalid if has_frames(file.as_ref(), &path)? => {
            Err(damaged("its header is damaged"))
        }
        HeaderState::Unused | HeaderState::Invalid => Ok(None),
    }
}

/// The first lsn of a writer's life, if it has begun with this segment.
fn begins(manifest: &Manifest, shard: ShardId, segment: SegmentSeq) -> Option<Lsn> {
    let epochs = &manifest.shard(shard)?.epochs;
    epochs.iter().find(|epoch| epoch.segment == segment).map(|epoch| epoch.first)
}

/// Is there anything behind the header? A spare is zeroes, so whatever is found was written after a header that was
/// synced; looking only at the first frame would take a file whose first sector was lost for a spare.
fn has_frames(file: &dyn DiskFile, path: &std::path::Path) -> Result<bool, LogError> {
    let (mut chunk, mut at) = (vec![0; LOOK_BYTES], HEADER_BYTES as u64);
    while at < LOOKED_AT_BYTES {
        let read = file.read_at(&mut chunk, at).context("read", path)?;
        if !all_zero(chunk.get(..read).unwrap_or_default()) {
            return Ok(true);
        }
        if read < chunk.len() {
            break;
        }
        at += read as u64;
    }
    Ok(false)
}

fn foreign(link: &Link, reason: &'static str) -> LogError {
    LogError::Foreign { path: link.path.clone(), reason }
}
