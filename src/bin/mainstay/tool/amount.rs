//! How many bytes a command is about to read, for the progress bar.
//!
//! What cannot be told counts as nothing here: whoever reads it finds out why.

use mainstay::VersionId;
use mainstay::model::{Lsn, Manifest, Point, ShardId, ShardRecord};
use mainstay::storage::chain::{self, Link};

use super::directory::{Directory, shards};

/// All files that the manifest names.
pub fn all(manifest: &Manifest) -> u64 {
    let segments = manifest.shards.iter().flat_map(|shard| shard.segments.values().map(|segment| segment.bytes));
    let snapshots = manifest.shards.iter().flat_map(|shard| shard.snapshots.values().map(|snapshot| snapshot.bytes));
    let cold = manifest.shards.iter().flat_map(|shard| shard.cold.values().map(|cold| cold.bytes));
    segments.chain(snapshots).chain(cold).sum()
}

/// A shard's log from `from` on.
pub fn log(dir: &Directory, manifest: &Manifest, shard: ShardId, from: Lsn) -> u64 {
    let links = chain::find(&dir.disk, &dir.layout, manifest, shard).unwrap_or_default();
    bytes(links.iter().filter(|link| link.ends.is_none_or(|ends| ends.end > from)))
}

/// What a version needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needed {
    /// The newest snapshots below its points.
    pub snapshots: u64,
    /// The log files from there to the points.
    pub logs: u64,
    /// The parts of the last ones that lie in front of the points.
    pub last: u64,
}

/// What a version needs.
pub fn version(dir: &Directory, manifest: &Manifest, version: VersionId) -> Needed {
    let mut needed = Needed::default();
    let points = manifest.versions.get(&version).map(|record| record.points.as_slice()).unwrap_or_default();
    for (shard, (record, point)) in shards(manifest).zip(manifest.shards.iter().zip(points)) {
        let base = record.snapshots_up_to(point.end.lsn).next().map(|(_, record)| record);
        needed.snapshots += base.map_or(0, |record| record.bytes);
        needed.logs += up_to(dir, manifest, shard, base.map_or(Lsn::FIRST, |record| record.end.lsn), point);
        needed.last += point.tail.map_or(0, |tail| tail.offset);
    }
    needed
}

/// Where a shard's log is read from if the newest snapshot can be used.
pub fn newest(record: &ShardRecord) -> Lsn {
    record.snapshots_up_to(Lsn(u64::MAX)).next().map_or(Lsn::FIRST, |(_, record)| record.end.lsn)
}

/// The log from `from` to a point; at least the file in which that lies.
fn up_to(dir: &Directory, manifest: &Manifest, shard: ShardId, from: Lsn, point: &Point) -> u64 {
    let Some(tail) = point.tail else { return 0 };
    let from = from.min(Lsn(tail.end.0.saturating_sub(1)));
    bytes(chain::back_from(&dir.disk, &dir.layout, manifest, shard, tail, from).unwrap_or_default().iter())
}

fn bytes<'a>(links: impl Iterator<Item = &'a Link>) -> u64 {
    links.map(|link| link.bytes).sum()
}
