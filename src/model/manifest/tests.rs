//! What each edit of the history does, and what it refuses.

use super::*;
use crate::model::{Epoch, Incarnation, Lsn, Position, Tail, Time};

const SHARD: ShardId = ShardId(0);

fn tail(segment: u64, end: u64) -> Tail {
    Tail { segment: SegmentSeq(segment), offset: 256, end: Lsn(end), hash: [segment as u8; 32] }
}

fn position(epoch: u64, lsn: u64) -> Position {
    Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

/// Three files of one epoch, the last one being written.
fn manifest() -> Manifest {
    let mut manifest = Manifest::new(DirectoryId([0; 16]), Routing { id: 1, key: [0; 16] }, 1);
    for segment in 1..=4 {
        let (incarnation, segment) = (Incarnation(1), SegmentSeq(segment));
        manifest.apply(&Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 }).unwrap();
    }
    let expects = (Epoch(0), Incarnation(0));
    let (incarnation, segment) = (Incarnation(1), SegmentSeq(1));
    manifest.apply(&Edit::Begin { shard: SHARD, expects, sealed: None, incarnation, segment }).unwrap();
    manifest
}

fn adopt(snapshot: u64, end: Position) -> Edit {
    let record = SnapshotRecord { end, bytes: 1, entries: 1, hash: [0; 32], digest: None };
    Edit::Adopt { shard: SHARD, snapshot: SnapshotSeq(snapshot), record }
}

fn mark(version: u64, tail: Tail) -> Edit {
    let point = Point { end: position(1, tail.end.0), tail: Some(tail), digest: None };
    Edit::Mark { version: VersionId(version), record: VersionRecord { time: Time(1), points: vec![point] } }
}

fn prune(base: Option<Tail>) -> Edit {
    Edit::Prune { shard: SHARD, base }
}

#[track_caller]
fn declined(manifest: &mut Manifest, edit: &Edit, why: Declined) {
    let before = manifest.clone();
    assert_eq!(manifest.apply(edit), Err(why));
    assert_eq!(*manifest, before);
}

#[test]
fn without_a_version_only_the_newest_snapshot_is_needed() {
    let mut manifest = manifest();
    declined(&mut manifest, &prune(Some(tail(1, 10))), Declined::Needed);
    manifest.apply(&adopt(1, position(1, 12))).unwrap();
    manifest.apply(&adopt(2, position(1, 25))).unwrap();
    declined(&mut manifest, &prune(Some(tail(3, 26))), Declined::Needed);
    let dropped = manifest.apply(&prune(Some(tail(2, 20)))).unwrap().dropped;
    let segment = |number| DataFile::Segment(SHARD, SegmentSeq(number));
    assert_eq!(dropped, [segment(1), segment(2), DataFile::Snapshot(SHARD, SnapshotSeq(1))]);
    assert_eq!(manifest.shards[0].base, Some(tail(2, 20)));
    declined(&mut manifest, &prune(Some(tail(1, 10))), Declined::Backwards);
}

/// Guards F41, F66: what a version needs outlives a newer snapshot, until the version is retired.
#[test]
fn a_version_keeps_its_base_and_the_log_behind_it() {
    let mut manifest = manifest();
    manifest.apply(&adopt(1, position(1, 12))).unwrap();
    manifest.apply(&mark(1, tail(2, 15))).unwrap();
    manifest.apply(&adopt(2, position(1, 25))).unwrap();
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, []);
    declined(&mut manifest, &prune(Some(tail(2, 20))), Declined::Needed);
    assert_eq!(manifest.apply(&prune(Some(tail(1, 10)))).unwrap().dropped.len(), 1);
    manifest.apply(&Edit::Retire { version: VersionId(1) }).unwrap();
    declined(&mut manifest, &Edit::Retire { version: VersionId(1) }, Declined::Unknown);
    declined(&mut manifest, &mark(1, tail(2, 15)), Declined::NumberInUse);
    assert_eq!(manifest.apply(&prune(Some(tail(2, 20)))).unwrap().dropped.len(), 2);
}

/// Guards F9, F65: nothing that a later end of the log has shut out is adopted or marked.
#[test]
fn what_is_not_on_the_line_is_declined() {
    let mut manifest = manifest();
    let (epoch, incarnation) = (Epoch(1), Incarnation(1));
    manifest.apply(&Edit::Seal { shard: SHARD, epoch, incarnation, tail: tail(1, 10) }).unwrap();
    declined(&mut manifest, &adopt(1, position(1, 11)), Declined::Ended);
    declined(&mut manifest, &adopt(1, position(2, 10)), Declined::Ended);
    declined(&mut manifest, &mark(1, tail(1, 11)), Declined::Ended);
    declined(&mut manifest, &mark(1, tail(9, 10)), Declined::UnknownSegment);
    manifest.apply(&adopt(1, position(1, 10))).unwrap();
    declined(&mut manifest, &adopt(1, position(1, 10)), Declined::NumberInUse);
}

#[test]
fn a_log_without_its_beginning_keeps_its_last_snapshot() {
    let mut manifest = manifest();
    manifest.apply(&adopt(1, position(1, 12))).unwrap();
    manifest.apply(&prune(Some(tail(1, 10)))).unwrap();
    let discard = |snapshot| Edit::Discard { shard: SHARD, snapshot: SnapshotSeq(snapshot) };
    declined(&mut manifest, &discard(1), Declined::Needed);
    manifest.apply(&adopt(2, position(1, 12))).unwrap();
    let dropped = manifest.apply(&discard(2)).unwrap().dropped;
    assert_eq!(dropped, [DataFile::Snapshot(SHARD, SnapshotSeq(2))]);
    declined(&mut manifest, &discard(2), Declined::Unknown);
}

#[test]
fn the_last_file_of_the_log_stays() {
    let mut manifest = manifest();
    manifest.apply(&adopt(1, position(1, 50))).unwrap();
    declined(&mut manifest, &prune(Some(tail(4, 50))), Declined::Needed);
}
