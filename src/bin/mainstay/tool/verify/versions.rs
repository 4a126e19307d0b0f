//! What a version needs: in every shard a snapshot at or below its point, and the log from there.

use mainstay::VersionId;
use mainstay::model::{Batch, Lsn, Manifest, Point, ShardId};
use mainstay::storage::recovery;

use super::super::directory::{Directory, shards};
use super::super::finding::{Finding, Kind};
use super::snapshots::Named;

/// Reads all that a version needs, and says where each shard's log had to be read from. One that has been retired needs
/// nothing.
pub fn check(dir: &Directory, manifest: &Manifest, version: VersionId) -> Result<Vec<Lsn>, Vec<Finding>> {
    let Some(record) = manifest.versions.get(&version) else { return Ok(Vec::new()) };
    let (mut begins, mut findings) = (Vec::new(), Vec::new());
    for (shard, point) in shards(manifest).zip(&record.points) {
        match reach(dir, manifest, shard, *point) {
            Ok(begin) => begins.push(begin),
            Err(finding) => {
                let reason = format!("version {}: {}", version.0, finding.reason);
                findings.push(Finding { reason, ..finding });
            }
        }
    }
    if findings.is_empty() { Ok(begins) } else { Err(findings) }
}

/// Reads a shard's state at a point as going back to it does: from the newest snapshot that verifies.
fn reach(dir: &Directory, manifest: &Manifest, shard: ShardId, point: Point) -> Result<Lsn, Finding> {
    let from = begin(dir, manifest, shard, point)?;
    let Some(tail) = point.tail else { return Ok(from) };
    // What the snapshot holds may begin in the middle of the first batch.
    let mut next = None;
    let mut visit = |_, batch: Batch| {
        let continues = next.map_or(batch.first <= from, |next| next == batch.first);
        let commands: u64 = batch.lengths.iter().map(|length| u64::from(*length)).sum();
        next = Some(batch.end());
        if continues && commands == batch.bytes.len() as u64 { Ok(()) } else { Err(disordered(dir, shard, &batch)) }
    };
    recovery::recover_up_to(&dir.disk, &dir.layout, manifest, shard, (from, tail), &mut visit)
        .map_err(|error| Finding::from(&error).of(shard))?;
    let ends = next.unwrap_or(from);
    if ends == point.end.lsn {
        return Ok(from);
    }
    let reason = format!("its commands end with lsn {} and not with lsn {}", ends.0, point.end.lsn.0);
    Err(Finding::new(Kind::Damaged, &dir.layout.segment(shard, tail.segment), &reason).before(ends.0).of(shard))
}

fn disordered(dir: &Directory, shard: ShardId, batch: &Batch) -> mainstay::LogError {
    let (path, reason) = (dir.layout.shard(shard), "a batch does not follow the one before, or does not add up");
    mainstay::LogError::Damaged { path, offset: 0, lsn: batch.first, reason }
}

/// Where the log has to be read from: behind the newest snapshot that verifies and holds what was recorded.
fn begin(dir: &Directory, manifest: &Manifest, shard: ShardId, point: Point) -> Result<Lsn, Finding> {
    let record = manifest.shard(shard);
    let mut why = None;
    for (number, record) in record.into_iter().flat_map(|record| record.snapshots_up_to(point.end.lsn)) {
        let named = Named { dir, manifest, shard, number, record };
        match named.scan_recorded() {
            // Another state at the version itself is no matter of the file, which an older one could stand in for.
            Ok(scanned) if record.end.lsn == point.end.lsn => {
                return named.compare(&scanned, point.digest).map(|()| record.end.lsn);
            }
            Ok(_) => return Ok(record.end.lsn),
            Err(error) if error.is_damage() => why = why.or(Some(named.finding(&error))),
            // The file itself is whole. An opening would begin with it, whatever is wrong with its cold files.
            Err(error) => return Err(named.finding(&error)),
        }
    }
    if record.is_none_or(|record| record.base.is_none()) {
        return Ok(Lsn::FIRST);
    }
    let none = || Finding::new(Kind::Missing, &dir.layout.shard(shard), "no snapshot and no log reach it").of(shard);
    Err(why.unwrap_or_else(none))
}
