//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::Time;
use crate::model::{Declined, Edit, Epoch, Lsn, Point, Position, SnapshotRecord, SnapshotSeq, VersionRecord};

const LIMITS: Limits = Limits { sync_ms: 50, hold_ms: 10, write_ms: 1_000 };
const CUT: CutId = CutId(7);
const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const VERSION: VersionId = VersionId(3);

fn feed(core: &mut Cuts, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

fn end(shard: ShardId) -> Position {
    Position { epoch: Epoch(1), lsn: Lsn(10 + u64::from(shard.0)) }
}

fn point(shard: ShardId) -> Point {
    Point { end: end(shard), tail: None, digest: None }
}

fn record(shard: ShardId) -> SnapshotRecord {
    SnapshotRecord { end: end(shard), bytes: 1, entries: 1, hash: [0; 32], digest: None, cold: Vec::new() }
}

fn prepared(shard: ShardId) -> Event {
    Event::Prepared { cut: CUT, shard, ok: true }
}

fn held(shard: ShardId) -> Event {
    Event::Held { cut: CUT, shard, end: end(shard), time: Time(9) }
}

fn released(shard: ShardId) -> Event {
    Event::Released { cut: CUT, shard, held: true }
}

fn pointed(shard: ShardId) -> Event {
    Event::Point { cut: CUT, shard, point: point(shard) }
}

fn written(shard: ShardId) -> Event {
    Event::Written { cut: CUT, shard, snapshot: SnapshotSeq(5), record: record(shard) }
}

fn arm(stage: Stage, after_ms: u64) -> Effect {
    Effect::Arm { cut: CUT, stage, after_ms }
}

fn mark() -> Edit {
    let record = VersionRecord { time: Time(9), points: vec![point(A), point(B)] };
    Edit::Mark { version: VERSION, record }
}

fn adopt(shard: ShardId) -> Edit {
    Edit::Adopt { shard, snapshot: SnapshotSeq(5), record: record(shard) }
}

/// A coordinator that has been asked, and to which this has happened since.
fn after(kind: Kind, events: impl IntoIterator<Item = Event>) -> Cuts {
    let mut core = Cuts::new(LIMITS, 2, CUT);
    let requested = feed(&mut core, Event::Requested { kind, version: VERSION });
    assert_eq!(requested, [arm(Stage::Prepare, 50), Effect::Prepare(CUT, A), Effect::Prepare(CUT, B)]);
    events.into_iter().for_each(|event| drop(feed(&mut core, event)));
    core
}

fn syncing(kind: Kind) -> Cuts {
    after(kind, [prepared(A), prepared(B), held(A), held(B), released(A), released(B)])
}

fn writing() -> Cuts {
    let mut core = syncing(Kind::Rewrite);
    feed(&mut core, pointed(B));
    let effects = feed(&mut core, pointed(A));
    assert_eq!(effects, [arm(Stage::Write, 1_000), Effect::Snapshot(CUT, A), Effect::Snapshot(CUT, B)]);
    core
}

fn done(why: Failed) -> Effect {
    Effect::Done(Err(why))
}

fn committed(outcome: EditOutcome) -> Event {
    Event::Committed { cut: CUT, outcome }
}

#[test]
fn a_version_is_marked() {
    let mut core = after(Kind::Mark, [prepared(B)]);
    let effects = feed(&mut core, prepared(A));
    assert_eq!(effects, [arm(Stage::Hold, 10), Effect::Hold(CUT, A), Effect::Hold(CUT, B)]);
    assert_eq!(feed(&mut core, held(B)), []);
    assert_eq!(feed(&mut core, held(B)), []);
    assert_eq!(feed(&mut core, held(A)), [Effect::Release(CUT, A), Effect::Release(CUT, B)]);
    assert_eq!(feed(&mut core, released(A)), []);
    assert_eq!(feed(&mut core, pointed(A)), []);
    assert_eq!(feed(&mut core, released(B)), [arm(Stage::Sync, 50)]);
    assert_eq!(feed(&mut core, pointed(B)), [Effect::Commit(CUT, vec![mark()])]);
    assert_eq!(feed(&mut core, Event::Cancel), []);
    assert_eq!(feed(&mut core, committed(EditOutcome::Committed)), [Effect::Done(Ok(VERSION))]);
    assert!(!core.is_busy());
    assert_eq!(feed(&mut core, committed(EditOutcome::Committed)), []);
}

#[test]
fn nothing_is_waited_for_that_is_known() {
    let mut core = after(Kind::Mark, [prepared(A), prepared(B), pointed(A), held(A), held(B), pointed(B), released(B)]);
    assert_eq!(feed(&mut core, released(A)), [Effect::Commit(CUT, vec![mark()])]);
}

#[test]
fn a_rewrite_is_one_commit() {
    let mut core = writing();
    assert_eq!(feed(&mut core, written(B)), []);
    assert_eq!(feed(&mut core, written(A)), [Effect::Commit(CUT, vec![adopt(A), adopt(B), mark()])]);
    assert_eq!(feed(&mut core, committed(EditOutcome::Committed)), [Effect::Done(Ok(VERSION))]);
    assert_eq!(feed(&mut core, written(A)), []);
}

#[test]
fn a_second_request_is_told_at_once_and_a_later_cut_is_another() {
    let request = Event::Requested { kind: Kind::Mark, version: VERSION };
    let mut core = after(Kind::Mark, []);
    assert_eq!(feed(&mut core, request.clone()), [Effect::Busy]);
    assert_eq!(feed(&mut core, Event::Cancel), [done(Failed::Cancelled)]);
    assert_eq!(feed(&mut core, request).last(), Some(&Effect::Prepare(CUT.next(), B)));
    assert_eq!(feed(&mut core, prepared(A)), []);
    assert_eq!(feed(&mut core, Event::Prepared { cut: CUT, shard: B, ok: false }), []);
}

#[test]
fn a_boundary_that_nobody_will_tell_of_aborts_its_own_cut_only() {
    let lost = |cut| Event::NoPoint { cut, shard: B };
    let mut core = syncing(Kind::Mark);
    assert_eq!(feed(&mut core, lost(CUT.next())), []);
    assert_eq!(feed(&mut core, lost(CUT)), [done(Failed::Shard(B))]);
}

#[test]
fn an_unhealthy_shard_is_never_held() {
    let mut core = after(Kind::Mark, [prepared(A)]);
    let effects = feed(&mut core, Event::Prepared { cut: CUT, shard: B, ok: false });
    assert_eq!(effects, [done(Failed::Shard(B))]);
}

#[test]
fn an_abort_releases_also_who_has_not_answered() {
    let holding = || after(Kind::Mark, [prepared(A), prepared(B), held(A)]);
    let lapsed = Event::Released { cut: CUT, shard: B, held: false };
    let late = Event::Deadline { cut: CUT, stage: Stage::Hold };
    let aborts = [
        (Event::Died(A), Failed::Shard(A)),
        (lapsed, Failed::Lapsed(B)),
        (late, Failed::Deadline),
        (Event::Cancel, Failed::Cancelled),
    ];
    for (event, why) in aborts {
        let effects = feed(&mut holding(), event);
        assert_eq!(effects, [Effect::Release(CUT, A), Effect::Release(CUT, B), done(why)]);
    }
    let over = Event::Deadline { cut: CUT, stage: Stage::Prepare };
    assert_eq!(feed(&mut holding(), over), []);
}

#[test]
fn a_lapsed_hold_makes_no_version() {
    let mut core = after(Kind::Mark, [prepared(A), prepared(B), held(A), held(B), released(A)]);
    let effects = feed(&mut core, Event::Released { cut: CUT, shard: B, held: false });
    assert_eq!(effects, [done(Failed::Lapsed(B))]);
}

#[test]
fn a_point_lies_where_the_shard_held() {
    let elsewhere = Event::Point { cut: CUT, shard: A, point: point(B) };
    assert_eq!(feed(&mut syncing(Kind::Mark), elsewhere.clone()), [done(Failed::Shard(A))]);
    let mut core = after(Kind::Mark, [prepared(A), prepared(B), elsewhere]);
    assert_eq!(feed(&mut core, held(A)), [Effect::Release(CUT, A), Effect::Release(CUT, B), done(Failed::Shard(A))]);
}

#[test]
fn a_death_matters_as_long_as_something_is_owed() {
    let mut core = syncing(Kind::Mark);
    feed(&mut core, pointed(A));
    assert_eq!(feed(&mut core, Event::Died(A)), []);
    assert_eq!(feed(&mut core, Event::Died(B)), [done(Failed::Shard(B))]);
    let mut core = syncing(Kind::Rewrite);
    feed(&mut core, pointed(A));
    assert_eq!(feed(&mut core, Event::Died(A)), [done(Failed::Shard(A))]);
    let mut core = writing();
    feed(&mut core, written(A));
    assert_eq!(feed(&mut core, Event::Died(A)), []);
    let remove = Effect::Remove(CUT, A, SnapshotSeq(5));
    assert_eq!(feed(&mut core, Event::Died(B)), [Effect::CancelSnapshot(CUT, B), remove, done(Failed::Shard(B))]);
}

#[test]
fn an_aborted_rewrite_leaves_no_file() {
    let mut core = writing();
    let effects = feed(&mut core, Event::SnapshotFailed { cut: CUT, shard: A });
    assert_eq!(effects, [Effect::CancelSnapshot(CUT, B), done(Failed::Shard(A))]);
    // It was too late to cancel it.
    assert_eq!(feed(&mut core, written(B)), [Effect::Remove(CUT, B, SnapshotSeq(5))]);
    assert_eq!(feed(&mut core, written(B)), []);
    let mut core = writing();
    let wrong = Event::Written { cut: CUT, shard: B, snapshot: SnapshotSeq(6), record: record(A) };
    let remove = Effect::Remove(CUT, B, SnapshotSeq(6));
    assert_eq!(feed(&mut core, wrong), [Effect::CancelSnapshot(CUT, A), remove, done(Failed::Shard(B))]);
    assert_eq!(feed(&mut core, Event::SnapshotFailed { cut: CUT, shard: A }), []);
}

#[test]
fn files_are_removed_only_if_the_commit_certainly_failed() {
    let declined = Declined::NumberInUse;
    let outcomes = [
        (EditOutcome::Declined(declined), Failed::Declined(declined), true),
        (EditOutcome::Failed, Failed::NotCommitted, true),
        (EditOutcome::Indeterminate, Failed::Indeterminate, false),
    ];
    for (outcome, why, is_certain) in outcomes {
        let mut core = writing();
        feed(&mut core, written(A));
        feed(&mut core, written(B));
        let removed = [A, B].map(|shard| Effect::Remove(CUT, shard, SnapshotSeq(5)));
        let removed = removed.into_iter().filter(|_| is_certain);
        assert_eq!(feed(&mut core, committed(outcome)), removed.chain([done(why)]).collect::<Vec<_>>());
    }
}

/// Whatever is submitted behind a version's time is not in it.
#[test]
fn a_version_is_of_the_time_when_the_last_has_held() {
    let held_at = |shard, time| Event::Held { cut: CUT, shard, end: end(shard), time: Time(time) };
    let begun = [prepared(A), prepared(B), held_at(B, 5), held_at(A, 7), held_at(B, 8), pointed(A), pointed(B)];
    let mut core = after(Kind::Mark, begun);
    feed(&mut core, released(A));
    let commit = feed(&mut core, released(B));
    let [Effect::Commit(_, edits)] = &commit[..] else { panic!("{commit:?}") };
    assert!(matches!(&edits[..], [Edit::Mark { record, .. }] if record.time == Time(7)));
}
