//! What each edit of the history does, and what it refuses.

use super::*;
use crate::model::{Epoch, Incarnation, Lsn, Position, Tail, Time};

const SHARD: ShardId = ShardId(0);

mod cold;

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
    let record = SnapshotRecord { end, bytes: 1, entries: 1, hash: [0; 32], digest: None, cold: Vec::new() };
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
fn a_state_is_made_from_the_newest_snapshot_that_is_not_behind_it() {
    let mut manifest = manifest();
    for (number, end) in [(3, 12), (1, 25), (2, 25), (4, 40)] {
        manifest.apply(&adopt(number, position(1, end))).unwrap();
    }
    let up_to = |end| manifest.shards[0].snapshots_up_to(Lsn(end)).map(|(number, _)| number.0).collect::<Vec<_>>();
    assert_eq!(up_to(u64::MAX), [4, 2, 1, 3]);
    assert_eq!([up_to(39), up_to(25)], [[2, 1, 3], [2, 1, 3]]);
    assert_eq!((up_to(24), up_to(11)), (vec![3], vec![]));
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

/// Guards F66: a snapshot and a prune may come between a cut and its commit.
#[test]
fn a_version_whose_log_was_dropped_meanwhile_is_declined() {
    let mut manifest = manifest();
    manifest.apply(&adopt(1, position(1, 25))).unwrap();
    manifest.apply(&prune(Some(tail(2, 20)))).unwrap();
    declined(&mut manifest, &mark(1, tail(3, 24)), Declined::Unreachable);
    manifest.apply(&mark(1, tail(3, 25))).unwrap();
    manifest.apply(&adopt(2, position(1, 35))).unwrap();
    // The version ends in the third file, which is therefore still needed.
    declined(&mut manifest, &prune(Some(tail(3, 25))), Declined::Needed);
}

fn roll_back(version: u64, timeline: u64) -> Edit {
    Edit::Rollback { version: VersionId(version), timeline }
}

/// Guards F14, F64, F65: what came later is gone, its positions are never given out again, and nobody of before writes.
#[test]
fn a_rollback_abandons_what_came_later() {
    let mut manifest = manifest();
    manifest.apply(&mark(1, tail(2, 15))).unwrap();
    manifest.apply(&adopt(1, position(1, 12))).unwrap();
    manifest.apply(&adopt(2, position(1, 25))).unwrap();
    manifest.apply(&mark(2, tail(3, 25))).unwrap();
    declined(&mut manifest, &roll_back(3, 0), Declined::Unknown);
    declined(&mut manifest, &roll_back(1, 1), Declined::Stale);
    let dropped = manifest.apply(&roll_back(1, 0)).unwrap().dropped;
    let segment = |number| DataFile::Segment(SHARD, SegmentSeq(number));
    assert_eq!(dropped, [segment(3), segment(4), DataFile::Snapshot(SHARD, SnapshotSeq(2))]);
    assert_eq!((manifest.timeline, manifest.versions.len()), (1, 1));
    let shard = &manifest.shards[0];
    assert_eq!((shard.segments[&SegmentSeq(2)].valid_to, shard.epochs[0].end), (Some(tail(2, 15)), Some(Lsn(15))));
    assert!(shard.is_abandoned(position(1, 15)) && !shard.is_abandoned(position(1, 14)));
    let (incarnation, segment) = (Incarnation(1), SegmentSeq(5));
    declined(&mut manifest, &Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 }, Declined::Stale);
    declined(&mut manifest, &adopt(3, position(1, 20)), Declined::Ended);
    declined(&mut manifest, &prune(Some(tail(3, 25))), Declined::Needed);
    // Computed before the rollback; by now a snapshot of the new line is newer, and nobody needs the version.
    let mut later = manifest.clone();
    later.apply(&Edit::Retire { version: VersionId(1) }).unwrap();
    let begin = [
        Edit::Register { shard: SHARD, incarnation: Incarnation(3), segment: SegmentSeq(5), bytes: 4096 },
        Edit::Begin {
            shard: SHARD,
            expects: (later.shards[0].epoch(), later.shards[0].incarnation),
            sealed: Some(tail(2, 15)),
            incarnation: Incarnation(3),
            segment: SegmentSeq(5),
        },
        adopt(3, position(2, 30)),
    ];
    begin.iter().for_each(|edit| drop(later.apply(edit).unwrap()));
    declined(&mut later, &prune(Some(tail(3, 25))), Declined::UnknownSegment);
    declined(&mut later, &prune(Some(tail(2, 20))), Declined::UnknownSegment);
    later.apply(&prune(Some(tail(2, 15)))).unwrap();

    // The next life goes on behind the version, twice; then everything goes back once more.
    for (life, segment) in [(3, 5), (4, 6)] {
        let (incarnation, segment) = (Incarnation(life), SegmentSeq(segment));
        manifest.apply(&Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 }).unwrap();
        let before = &manifest.shards[0];
        let expects = (before.epoch(), before.incarnation);
        let sealed = Some(if life == 3 { tail(2, 15) } else { tail(5, 18) });
        manifest.apply(&Edit::Begin { shard: SHARD, expects, sealed, incarnation, segment }).unwrap();
    }
    assert_eq!(manifest.shards[0].epoch(), Epoch(3));
    manifest.apply(&roll_back(1, 1)).unwrap();
    let shard = &manifest.shards[0];
    assert_eq!((shard.epoch(), shard.epochs.len()), (Epoch(3), 1));
    for (epoch, lsn) in [(1, 15), (2, 15), (3, 18)] {
        assert!(shard.is_abandoned(position(epoch, lsn)));
    }
}

/// Guards F33: who writes the first of two is not shut out by who writes the second and is faster.
#[test]
fn two_snapshots_are_adopted_in_any_order() {
    let mut manifest = manifest();
    manifest.apply(&adopt(2, position(1, 25))).unwrap();
    manifest.apply(&adopt(1, position(1, 12))).unwrap();
    assert_eq!(manifest.shards[0].next_snapshot, SnapshotSeq(3));
    declined(&mut manifest, &adopt(1, position(1, 12)), Declined::NumberInUse);
}

/// Guards F65: a shard and its writer may look on either side of a beginning life. The file says whose the place is.
#[test]
fn a_versions_point_is_of_its_files_epoch() {
    let mut manifest = manifest();
    let (incarnation, segment) = (Incarnation(2), SegmentSeq(5));
    let expects = (Epoch(1), Incarnation(1));
    manifest.apply(&Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 }).unwrap();
    let begin = Edit::Begin { shard: SHARD, expects, sealed: Some(tail(1, 10)), incarnation, segment };
    manifest.apply(&begin).unwrap();
    manifest.apply(&mark(1, tail(1, 10))).unwrap();
    assert_eq!(manifest.versions[&VersionId(1)].points[0].end, position(1, 10));
    manifest.apply(&mark(2, tail(5, 10))).unwrap();
    assert_eq!(manifest.versions[&VersionId(2)].points[0].end, position(2, 10));
    let point = Point { end: position(2, 11), tail: Some(tail(5, 12)), digest: None };
    let elsewhere = VersionRecord { time: Time(1), points: vec![point] };
    declined(&mut manifest, &Edit::Mark { version: VersionId(3), record: elsewhere }, Declined::Ended);
    // What it keeps the file for, going back to it keeps.
    manifest.apply(&Edit::Rollback { version: VersionId(2), timeline: 0 }).unwrap();
    assert_eq!(manifest.shards[0].epochs.last().unwrap().epoch, Epoch(2));
    assert!(manifest.shards[0].segments.contains_key(&SegmentSeq(5)));
}

/// Going back to the later of two must never take the earlier one's files.
#[test]
fn a_later_version_never_lies_in_front_of_an_earlier_one() {
    let mut manifest = manifest();
    manifest.apply(&mark(1, tail(1, 5))).unwrap();
    declined(&mut manifest, &mark(2, tail(1, 4)), Declined::Backwards);
    manifest.apply(&mark(2, tail(1, 5))).unwrap();
    // Nor in a file that nobody has begun.
    let (incarnation, segment) = (Incarnation(1), SegmentSeq(5));
    manifest.apply(&Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 }).unwrap();
    manifest.versions.clear();
    manifest.shards[0].epochs.clear();
    declined(&mut manifest, &mark(3, tail(5, 1)), Declined::UnknownSegment);
}

/// Guards F65: a log that begins anew follows nothing.
#[test]
fn a_rollback_to_before_the_log_forgets_its_base() {
    let mut manifest = manifest();
    let nothing = Point { end: position(0, 1), tail: None, digest: None };
    let untouched = VersionRecord { time: Time(1), points: vec![nothing] };
    manifest.apply(&Edit::Mark { version: VersionId(1), record: untouched }).unwrap();
    manifest.apply(&adopt(1, position(0, 1))).unwrap();
    manifest.apply(&prune(Some(tail(1, 1)))).unwrap();
    assert_eq!(manifest.shards[0].base, Some(tail(1, 1)));
    manifest.apply(&Edit::Rollback { version: VersionId(1), timeline: 0 }).unwrap();
    assert_eq!((manifest.shards[0].base, manifest.shards[0].segments.len()), (None, 0));
}

/// What was outdated beside another newest version may be needed by now.
#[test]
fn only_beside_the_same_newest_version_is_one_outdated() {
    let mut manifest = manifest();
    for version in 1..=3 {
        manifest.apply(&mark(version, tail(1, 5))).unwrap();
    }
    let outdate = |version, newest| Edit::Outdate { version: VersionId(version), newest: VersionId(newest) };
    manifest.apply(&outdate(1, 3)).unwrap();
    declined(&mut manifest, &outdate(1, 3), Declined::Unknown);
    declined(&mut manifest, &outdate(3, 3), Declined::Needed);
    manifest.apply(&Edit::Rollback { version: VersionId(2), timeline: 0 }).unwrap();
    declined(&mut manifest, &outdate(2, 3), Declined::Stale);
}
