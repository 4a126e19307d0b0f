//! A coordinator of two shards in the middle of a cut, as models begin with it.

use mainstay::model::{Point, ShardId, SnapshotRecord, Time, VersionId};
use mainstay::protocol::cut::{Cuts, Effect, Event, Kind, Limits};
use mainstay::protocol::hold::CutId;

use super::position;

pub const CUT: CutId = CutId(1);
pub const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];

pub fn feed(core: &mut Cuts, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

pub fn point(end: u64) -> Point {
    Point { end: position(1, end), tail: None, digest: None }
}

pub fn record() -> SnapshotRecord {
    SnapshotRecord { end: position(1, 1), bytes: 0, entries: 0, hash: [0; 32], digest: None, cold: Vec::new() }
}

/// Everybody is prepared; these effects ask all to hold.
pub fn about_to_hold(kind: Kind) -> (Cuts, Vec<Effect>) {
    let limits = Limits { sync_ms: 1, hold_ms: 1, write_ms: 1 };
    let mut core = Cuts::new(limits, 2, CUT);
    feed(&mut core, Event::Requested { kind, version: VersionId(1) });
    let effects = SHARDS.map(|shard| feed(&mut core, Event::Prepared { cut: CUT, shard, ok: true }));
    (core, effects.into_iter().flatten().collect())
}

/// Everybody has held, and is durable: the snapshots are about to be written.
pub fn about_to_write() -> Cuts {
    let (mut core, _) = about_to_hold(Kind::Rewrite);
    for shard in SHARDS {
        feed(&mut core, Event::Held { cut: CUT, shard, end: position(1, 1), time: Time(0) });
        feed(&mut core, Event::Point { cut: CUT, shard, point: point(1) });
    }
    for shard in SHARDS {
        feed(&mut core, Event::Released { cut: CUT, shard, held: true });
    }
    core
}
