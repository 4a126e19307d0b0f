//! The report as text.

use std::io::{self, Write};

use super::cold::Cold;
use super::shard::{End, Segment, Shard, Snapshot};
use super::{Report, Version};
use crate::tool::text::grouped;

/// Prints all of it.
pub fn report(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "directory  {}", report.directory)?;
    if let Some(error) = &report.error {
        writeln!(out, "manifest   ERROR {error}")?;
    }
    if let Some(manifest) = &report.manifest {
        let (used, all) = (grouped(manifest.used_bytes), grouped(manifest.file_bytes));
        let torn = if manifest.torn { ", the last edit cut short" } else { "" };
        writeln!(out, "id         {}", manifest.id)?;
        writeln!(
            out,
            "manifest   generation {}, {} edits, {used} of {all} bytes used{torn}",
            manifest.generation, manifest.edits
        )?;
        let (shards, timeline, routing) = (manifest.shards, manifest.timeline, manifest.routing);
        writeln!(out, "shards     {shards}, timeline {timeline}, routing {routing}")?;
    }
    let bytes = report.bytes;
    let sizes = [bytes.manifest, bytes.segments, bytes.snapshots, bytes.cold, bytes.not_named].map(grouped);
    let [manifest, segments, snapshots, cold, not_named] = sizes;
    writeln!(
        out,
        "bytes      manifest {manifest}, logs {segments}, snapshots {snapshots}, cold {cold}, not named {not_named}"
    )?;
    report.shards.iter().try_for_each(|shard| self::shard(shard, out))?;
    if !report.versions.is_empty() {
        writeln!(out, "versions")?;
    }
    report.versions.iter().try_for_each(|version| self::version(version, out))?;
    if !report.not_named.is_empty() {
        writeln!(out, "not named by the manifest")?;
    }
    for file in &report.not_named {
        let bytes = file.bytes.map(|bytes| format!("  {} bytes", grouped(bytes))).unwrap_or_default();
        writeln!(out, "  {}{bytes}  {}", file.name, file.what)?;
    }
    Ok(())
}

fn shard(shard: &Shard, out: &mut dyn Write) -> io::Result<()> {
    let closed = shard.closed.map(|end| format!(", closed in good order at lsn {}", end.lsn)).unwrap_or_default();
    let base = shard.base.map(|end| format!(", the log begins at lsn {}", end.lsn)).unwrap_or_default();
    writeln!(out, "shard {}  incarnation {}{base}{closed}", shard.shard, shard.incarnation)?;
    for epoch in &shard.epochs {
        let end = epoch.end.map(|end| end.to_string()).unwrap_or_default();
        let (number, first, segment) = (epoch.epoch, epoch.first, epoch.segment);
        writeln!(out, "  epoch {number}  lsn {first}..{end}  from segment {segment} on")?;
    }
    for part in &shard.abandoned {
        writeln!(out, "  abandoned  epoch {} from lsn {} on", part.epoch, part.from)?;
    }
    for (epoch, lsn) in &shard.poison {
        writeln!(out, "  poison  {epoch}:{lsn} is left out of every replay")?;
    }
    shard.segments.iter().try_for_each(|segment| self::segment(segment, out))?;
    shard.snapshots.iter().try_for_each(|snapshot| self::snapshot(snapshot, out))?;
    shard.cold.iter().try_for_each(|file| cold(file, out))
}

fn segment(segment: &Segment, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  segment {}  {} bytes  ", segment.segment, grouped(segment.bytes))?;
    if let Some(error) = &segment.error {
        write!(out, "ERROR {error}  ")?;
    }
    match &segment.opened {
        Some(start) => {
            write!(out, "{} in epoch {} at lsn {}", start.how, start.epoch, start.first)?;
            if start.follows > 0 {
                write!(out, ", follows segment {}", start.follows)?;
            }
        }
        None if segment.error.is_none() => write!(out, "spare")?,
        None => {}
    }
    if let Some(segment) = segment.moved_from {
        write!(out, ", moved from segment {segment}")?;
    }
    if let Some(End { offset, lsn, .. }) = segment.sealed {
        write!(out, ", sealed at byte {} lsn {lsn}", grouped(offset))?;
    }
    writeln!(out)
}

fn snapshot(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    let (bytes, entries) = (grouped(snapshot.bytes), grouped(snapshot.entries));
    let Snapshot { snapshot: number, epoch, end, .. } = snapshot;
    write!(out, "  snapshot {number}  {bytes} bytes  {entries} entries up to {epoch}:{end}")?;
    snapshot.time.iter().try_for_each(|time| write!(out, "  {time}"))?;
    snapshot.digest.iter().try_for_each(|digest| write!(out, "  digest {digest}"))?;
    snapshot.error.iter().try_for_each(|error| write!(out, "  ERROR {error}"))?;
    writeln!(out)
}

fn cold(file: &Cold, out: &mut dyn Write) -> io::Result<()> {
    let (bytes, values) = (grouped(file.bytes), grouped(file.values));
    write!(out, "  cold {}  {bytes} bytes  {values} values  incarnation {}", file.cold, file.incarnation)?;
    if file.released {
        write!(out, "  released")?;
    }
    let numbers: Vec<_> = file.snapshots.iter().map(u64::to_string).collect();
    match numbers.as_slice() {
        [] => write!(out, "  in no snapshot")?,
        some => write!(out, "  in snapshots {}", some.join(" "))?,
    }
    file.error.iter().try_for_each(|error| write!(out, "  ERROR {error}"))?;
    writeln!(out)
}

fn version(version: &Version, out: &mut dyn Write) -> io::Result<()> {
    let points = version.points.iter().map(|point| format!("{}:{}", point.epoch, point.lsn));
    let points: Vec<_> = points.collect();
    writeln!(out, "  version {}  {}  {}", version.version, version.time, points.join(" "))
}
