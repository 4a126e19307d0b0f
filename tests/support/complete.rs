//! Is everything there that a manifest says can be gone back to? Read with the crate's internals, from files only.
#![allow(dead_code, reason = "each test uses its part")]

use mainstay::model::{Lsn, Manifest, Point, SegmentSeq};
use mainstay::storage::cold::{self, ColdError, ColdId, Found};
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::recovery::{self, Wanted};
use mainstay::storage::snapshot::{self, Expected};
use mainstay::{LogError, ShardId};

/// Every contradiction: a version whose files are not there, not whole, or do not reach its points.
pub fn check(disk: &dyn Disk, layout: &Layout, manifest: &Manifest) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, version) in &manifest.versions {
        if version.points.len() != manifest.shards.len() {
            wrong.push(format!("{id} has {} points", version.points.len()));
        }
        for (shard, point) in (0..).map(ShardId).zip(&version.points) {
            if let Err(why) = check_point(disk, layout, manifest, shard, *point) {
                wrong.push(format!("{id}, {shard}, {}: {why}", point.end));
            }
        }
    }
    for (shard, record) in (0..).map(ShardId).zip(&manifest.shards) {
        for (number, snapshot) in &record.snapshots {
            let expected = Expected::recorded(manifest.directory, shard, *number, snapshot);
            if let Err(error) = snapshot::verify(disk, &layout.snapshot(shard, *number), &expected) {
                wrong.push(error.to_string());
            }
            let gone = snapshot.cold.iter().filter(|file| !record.cold.contains_key(file));
            wrong.extend(gone.map(|file| format!("{shard}, {number:?} refers to {file}, which is gone")));
        }
        wrong.extend(check_cold(disk, layout, manifest, shard));
    }
    wrong
}

/// Every cold file that is named is there, whole, and has what was recorded.
fn check_cold(disk: &dyn Disk, layout: &Layout, manifest: &Manifest, shard: ShardId) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, cold) in manifest.shard(shard).into_iter().flat_map(|record| &record.cold) {
        let id = ColdId { directory: manifest.directory, shard, file: *file };
        let scanned = cold::scan(disk, layout, id, &mut |found| {
            if let Found::Damaged(error) = found {
                wrong.push(error.to_string());
            }
            Ok::<_, ColdError>(())
        });
        match scanned {
            Ok(scanned) if (scanned.bytes, scanned.values) == (cold.bytes, cold.values) => {}
            Ok(scanned) => wrong.push(format!("{shard}, {file} is {scanned:?}, not {cold:?}")),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    wrong
}

fn check_point(
    disk: &dyn Disk,
    layout: &Layout,
    manifest: &Manifest,
    shard: ShardId,
    point: Point,
) -> Result<(), String> {
    let record = manifest.shard(shard).ok_or("there is no such shard")?;
    if !record.is_on_line(point.end) {
        return Err("it is not on the line".to_owned());
    }
    let below = record.snapshots.values().filter(|snapshot| snapshot.end.lsn <= point.end.lsn);
    let from = below.map(|snapshot| snapshot.end.lsn).max();
    if from.is_none() && record.base.is_some() {
        return Err("there is no snapshot below it, and the log has lost its beginning".to_owned());
    }
    let from = from.unwrap_or(Lsn::FIRST);
    // All of the log: it has to reach from the snapshot to the point without a gap, and end a batch there.
    let (mut next, mut ends_there) = (None, from == point.end.lsn);
    let wanted = Wanted { from, known_end: None };
    recovery::recover(disk, layout, manifest, shard, wanted, &mut |_, batch| {
        let first = batch.first;
        if next.is_none() && first > from || next.is_some_and(|next| next != first) {
            return Err(LogError::Damaged { path: layout.shard(shard), offset: 0, lsn: first, reason: "a gap" });
        }
        next = Some(batch.end());
        ends_there |= batch.end() == point.end.lsn;
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    if !ends_there {
        return Err(format!("no batch ends there: from {from} the log ends at {next:?}"));
    }
    let tail = point.tail.map_or(SegmentSeq(0), |tail| tail.segment);
    if tail > SegmentSeq(0) && !record.segments.contains_key(&tail) {
        return Err(format!("its file {tail} is not there"));
    }
    let whole = point.tail.is_none_or(|tail| tail.end == point.end.lsn);
    if whole { Ok(()) } else { Err("its tail lies elsewhere".to_owned()) }
}
