//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::Declined;

const PLAN: Plan = Plan { batch_bytes: 100, patience_ms: 5_000 };
const DECLINED: EditOutcome = EditOutcome::Declined(Declined::Stale);

fn feed(core: &mut Spiller, now_ms: u64, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(now_ms, event, &mut effects);
    effects
}

fn fresh() -> Spiller {
    Spiller::new(PLAN, [])
}

fn pressed() -> Spiller {
    let mut core = fresh();
    assert_eq!(feed(&mut core, 0, Event::Pressure { over: 9 }), [spill(1), Effect::Gate(Gate::Wait)]);
    core
}

fn spill(job: Job) -> Effect {
    Effect::Spill { job, bytes: 100 }
}

fn compact<const N: usize>(job: Job, files: [u64; N]) -> Effect {
    Effect::Compact { job, files: files.map(ColdSeq).to_vec() }
}

fn release<const N: usize>(files: [u64; N]) -> Effect {
    Effect::Release(files.map(ColdSeq).to_vec())
}

fn written(job: Job, file: u64, values: u64) -> Event {
    Event::Written(job, Written { file: ColdSeq(file), bytes: 100, values })
}

fn handed<const N: usize>(job: Job, over: u64, live: [(u64, u64); N]) -> Event {
    Event::HandedOver(job, Handed { over, live: live.map(|(file, live)| (ColdSeq(file), live)).to_vec() })
}

fn released<const N: usize>(files: [u64; N], outcome: EditOutcome) -> Event {
    Event::Released(files.map(ColdSeq).to_vec(), outcome)
}

fn file(number: u64, bytes: u64, live: u64) -> (ColdSeq, Adopted) {
    (ColdSeq(number), Adopted { bytes, values: 10, live, released: false })
}

/// Guards F45: nothing leaves memory before the file is adopted.
#[test]
fn one_job_after_the_other_until_the_pressure_is_gone() {
    let mut core = pressed();
    assert_eq!(feed(&mut core, 1, Event::Pressure { over: 50 }), [], "one at a time");
    assert_eq!(feed(&mut core, 2, written(1, 4, 3)), [Effect::Commit(1)]);
    assert!(core.is_busy());
    assert_eq!(feed(&mut core, 3, Event::Committed(1, EditOutcome::Committed)), [Effect::HandOver(1)]);
    assert!(!core.is_busy());
    assert_eq!(feed(&mut core, 4, handed(1, 7, [(4, 3)])), [spill(2)]);
    feed(&mut core, 5, written(2, 5, 3));
    feed(&mut core, 6, Event::Committed(2, EditOutcome::Committed));
    assert_eq!(feed(&mut core, 7, handed(2, 0, [(5, 1)])), [Effect::Gate(Gate::Open)]);
    assert_eq!(core.gate(), Gate::Open);
}

#[test]
fn what_belongs_to_no_job_changes_nothing() {
    let mut core = pressed();
    let before = core.clone();
    let strays = [
        written(2, 4, 3),
        Event::Failed(2, Failure::Disk),
        Event::Committed(1, EditOutcome::Committed),
        handed(1, 0, [(4, 3)]),
        Event::Uses { file: ColdSeq(9), live: 1 },
    ];
    for stray in strays {
        assert_eq!(feed(&mut core, 1, stray), []);
        assert_eq!(core, before);
    }
}

/// Guards F46: what failed is tried again, after pauses that grow, and callers are refused until it has worked.
#[test]
fn a_failed_spill_is_tried_again() {
    let mut core = pressed();
    let refuse = Effect::Gate(Gate::Refuse);
    assert_eq!(feed(&mut core, 1_000, Event::Failed(1, Failure::Full)), [refuse]);
    assert_eq!(core.failure(), Some(Failure::Full));
    assert_eq!(feed(&mut core, 1_199, Event::Look), []);
    assert_eq!(feed(&mut core, 1_200, Event::Look), [spill(2)], "still refused");
    assert_eq!(feed(&mut core, 2_000, Event::Failed(2, Failure::Disk)), []);
    assert_eq!(feed(&mut core, 2_399, Event::Look), []);
    assert_eq!(feed(&mut core, 2_400, Event::Look), [spill(3)]);
    feed(&mut core, 2_400, written(3, 4, 3));
    feed(&mut core, 2_400, Event::Committed(3, EditOutcome::Committed));
    assert_eq!(feed(&mut core, 2_400, handed(3, 5, [(4, 3)])), [spill(4), Effect::Gate(Gate::Wait)]);
    assert_eq!(core.failure(), None);
    assert_eq!(feed(&mut core, 2_400, Event::Failed(4, Failure::Nothing)), [Effect::Gate(Gate::Refuse)]);
    assert_eq!(feed(&mut core, 2_400, Event::Pressure { over: 0 }), [Effect::Gate(Gate::Open)], "it went by itself");
    assert_eq!(feed(&mut core, 2_500, Event::Pressure { over: 1 }), [spill(5), Effect::Gate(Gate::Wait)]);
    assert_eq!(feed(&mut core, 3_000, Event::Failed(5, Failure::Disk)), [Effect::Gate(Gate::Refuse)]);
    assert_eq!(feed(&mut core, 3_200, Event::Look), [spill(6)], "the pauses began anew");
}

#[test]
fn to_find_nothing_where_all_was_removed_is_no_failure() {
    let mut core = pressed();
    assert_eq!(feed(&mut core, 1, Event::Pressure { over: 0 }), [Effect::Gate(Gate::Open)]);
    assert_eq!(feed(&mut core, 2, Event::Failed(1, Failure::Nothing)), []);
    assert_eq!(core.failure(), None);
    assert_eq!(feed(&mut core, 3, Event::Pressure { over: 1 }), [spill(2), Effect::Gate(Gate::Wait)]);
    feed(&mut core, 4, Event::Pressure { over: 0 });
    assert_eq!(feed(&mut core, 5, Event::Pressure { over: 2 }), [Effect::Gate(Gate::Wait)]);
    assert_eq!(feed(&mut core, 6, Event::Failed(2, Failure::Nothing)), [spill(3)], "it is there again");
    assert_eq!(feed(&mut core, 7, Event::Failed(3, Failure::Nothing)), [Effect::Gate(Gate::Refuse)]);
    assert_eq!(feed(&mut core, 8, Event::Pressure { over: 0 }), [Effect::Gate(Gate::Open)]);
    assert_eq!(
        feed(&mut core, 9, Event::Pressure { over: 1 }),
        [spill(4), Effect::Gate(Gate::Wait)],
        "without a pause"
    );
}

#[test]
fn pauses_have_a_bound() {
    let mut core = pressed();
    let mut now_ms = 0;
    for job in 1..20 {
        feed(&mut core, now_ms, Event::Failed(job, Failure::Disk));
        now_ms += PAUSE_MS.1;
        assert_eq!(feed(&mut core, now_ms, Event::Look), [spill(job + 1)]);
    }
}

/// Guards F23: the file may be named after a failure that nobody can tell from a success.
#[test]
fn a_file_is_removed_only_if_it_is_certainly_not_named() {
    for outcome in [EditOutcome::Failed, DECLINED] {
        let mut core = pressed();
        feed(&mut core, 0, written(1, 4, 3));
        let expected = [Effect::Remove(1), Effect::Gate(Gate::Refuse)];
        assert_eq!(feed(&mut core, 0, Event::Committed(1, outcome)), expected);
        assert_eq!(core.failure(), Some(Failure::Manifest));
        assert_eq!(feed(&mut core, 200, Event::Look), [spill(2)]);
    }
    let mut core = pressed();
    feed(&mut core, 0, written(1, 4, 3));
    let refuse = [Effect::Gate(Gate::Refuse)];
    assert_eq!(feed(&mut core, 0, Event::Committed(1, EditOutcome::Indeterminate)), refuse);
    assert_eq!(feed(&mut core, 99_999, Event::Look), []);
    assert_eq!(feed(&mut core, 99_999, Event::Pressure { over: 0 }), [], "the manifest has failed");
    assert!(!core.is_busy());
}

/// A disk that hangs is no reason to have callers wait for ever, nor to begin a second thread.
#[test]
fn nobody_waits_for_a_job_that_hangs() {
    let mut core = pressed();
    assert_eq!(feed(&mut core, 4_999, Event::Look), []);
    assert_eq!(feed(&mut core, 5_000, Event::Look), [Effect::Gate(Gate::Refuse)]);
    assert_eq!(feed(&mut core, 9_000, written(1, 4, 3)), [Effect::Commit(1)]);
    feed(&mut core, 9_000, Event::Committed(1, EditOutcome::Committed));
    assert_eq!(feed(&mut core, 9_000, handed(1, 1, [(4, 3)])), [spill(2), Effect::Gate(Gate::Wait)]);
}

/// Guards F43: a file lives as long as one of its values.
#[test]
fn a_file_is_released_once_at_zero() {
    let mut core = Spiller::new(PLAN, [file(1, 100, 6), file(2, 100, 6)]);
    assert_eq!(feed(&mut core, 0, Event::Uses { file: ColdSeq(1), live: 5 }), []);
    assert_eq!(feed(&mut core, 0, Event::Uses { file: ColdSeq(1), live: 0 }), [release([1])]);
    assert_eq!(feed(&mut core, 0, Event::Uses { file: ColdSeq(2), live: 0 }), [], "one edit at a time");
    assert_eq!(
        feed(&mut core, 0, released([1], EditOutcome::Committed)),
        [Effect::Prune, release([2])],
        "what came meanwhile goes next"
    );
    assert_eq!(feed(&mut core, 0, released([2], EditOutcome::Failed)), []);
    assert_eq!(feed(&mut core, 199, Event::Look), []);
    assert_eq!(feed(&mut core, 200, Event::Look), [release([2])]);
    assert_eq!(feed(&mut core, 200, released([2], DECLINED)), [], "it is gone");
    assert_eq!(feed(&mut core, 99_999, Event::Look), []);
}

#[test]
fn a_file_of_which_all_was_overwritten_is_released_at_once() {
    let mut core = pressed();
    feed(&mut core, 0, written(1, 4, 3));
    feed(&mut core, 0, Event::Committed(1, EditOutcome::Committed));
    assert_eq!(feed(&mut core, 0, handed(1, 0, [])), [release([4]), Effect::Gate(Gate::Open)]);
}

#[test]
fn a_life_releases_what_its_map_does_not_refer_to() {
    let by_a_snapshot = |live| Adopted { bytes: 100, values: 10, live, released: true };
    let files = [file(1, 100, 0), file(2, 100, 9), (ColdSeq(3), by_a_snapshot(0)), (ColdSeq(4), by_a_snapshot(9))];
    let mut core = Spiller::new(PLAN, files);
    assert_eq!(feed(&mut core, 0, Event::Look), [Effect::Prune, release([1])], "3 may have been left");
    assert_eq!(feed(&mut core, 0, Event::Uses { file: ColdSeq(4), live: 0 }), [], "released before");
}

/// Guards F52: what is mostly dead is copied, oldest first, as much as fits.
#[test]
fn compaction_takes_what_is_less_than_half_alive() {
    let mut core = Spiller::new(PLAN, [file(1, 100, 5), file(2, 150, 4), file(3, 100, 4), file(4, 100, 4)]);
    assert_eq!(feed(&mut core, 0, Event::Look), [compact(1, [2, 3])]);
    assert_eq!(feed(&mut core, 0, Event::Look), [], "one job at a time");
    assert_eq!(feed(&mut core, 0, Event::Uses { file: ColdSeq(3), live: 0 }), [release([3])]);
    feed(&mut core, 0, written(1, 9, 8));
    assert_eq!(feed(&mut core, 0, Event::Committed(1, EditOutcome::Committed)), [Effect::HandOver(1)]);
    assert_eq!(feed(&mut core, 0, handed(1, 0, [(9, 3), (2, 1)])), [compact(2, [4, 9])], "the look that was due");
    assert_eq!(feed(&mut core, 0, Event::Failed(2, Failure::Nothing)), []);
    assert_eq!(feed(&mut core, 9, Event::Look), [], "nothing has changed since");
    assert_eq!(feed(&mut core, 9, Event::Uses { file: ColdSeq(4), live: 3 }), []);
    assert_eq!(feed(&mut core, 9, Event::Look), [compact(3, [4])]);
    assert_eq!(feed(&mut core, 9, Event::Failed(3, Failure::Full)), []);
    assert_eq!(feed(&mut core, 208, Event::Look), []);
    assert_eq!(feed(&mut core, 209, Event::Look), [compact(4, [4])]);
    assert_eq!(core.failure(), None, "memory does not depend on it");
}

/// Guards F52, F57: of many files next to nothing is live.
#[test]
fn a_compaction_reads_no_more_than_a_spill_can_wait_for() {
    let nearly_dead = |number| (ColdSeq(number), Adopted { bytes: 300, values: 100, live: 1, released: false });
    let mut core = Spiller::new(PLAN, (1..=9).map(nearly_dead));
    assert_eq!(feed(&mut core, 0, Event::Look), [compact(1, [1, 2])]);
}

/// Guards F57: whoever begins to wait while a compaction runs waits for it, however long it has run already.
#[test]
fn patience_begins_with_the_pressure() {
    let mut core = Spiller::new(PLAN, [file(1, 100, 4)]);
    assert_eq!(feed(&mut core, 0, Event::Look), [compact(1, [1])]);
    assert_eq!(feed(&mut core, 60_000, Event::Pressure { over: 1 }), [Effect::Gate(Gate::Wait)]);
    assert_eq!(feed(&mut core, 64_000, Event::Pressure { over: 9 }), []);
    assert_eq!(feed(&mut core, 64_999, Event::Look), []);
    assert_eq!(feed(&mut core, 65_000, Event::Look), [Effect::Gate(Gate::Refuse)]);
    assert_eq!(feed(&mut core, 65_001, Event::Failed(1, Failure::Disk)), [spill(2), Effect::Gate(Gate::Wait)]);
}

#[test]
fn a_file_that_does_not_fit_into_a_batch_goes_alone() {
    let mut core = Spiller::new(PLAN, [file(1, 10_000, 4), file(2, 10, 4)]);
    assert_eq!(feed(&mut core, 0, Event::Look), [compact(1, [1])]);
}

/// Spills come first, and yet files do not grow under steady pressure.
#[test]
fn under_pressure_spills_and_compactions_take_turns() {
    let mut core = Spiller::new(PLAN, [file(1, 100, 4), file(2, 1_000, 4)]);
    feed(&mut core, 0, Event::Pressure { over: 9 });
    assert_eq!(feed(&mut core, 0, Event::Look), []);
    feed(&mut core, 0, written(1, 8, 3));
    feed(&mut core, 0, Event::Committed(1, EditOutcome::Committed));
    assert_eq!(feed(&mut core, 0, handed(1, 9, [(8, 3)])), [compact(2, [1])]);
    assert_eq!(feed(&mut core, 0, Event::Look), []);
    assert_eq!(feed(&mut core, 0, Event::Failed(2, Failure::Disk)), [spill(3)]);
}

#[test]
fn a_stop_brings_to_an_end_what_runs_and_begins_nothing() {
    let mut core = pressed();
    assert_eq!(feed(&mut core, 0, Event::Stop), [Effect::Gate(Gate::Refuse)]);
    assert!(core.is_busy());
    assert_eq!(feed(&mut core, 0, written(1, 4, 3)), [Effect::Remove(1)]);
    assert!(!core.is_busy());
    assert_eq!(feed(&mut core, 99_999, Event::Look), []);

    let mut core = pressed();
    feed(&mut core, 0, written(1, 4, 3));
    feed(&mut core, 0, Event::Stop);
    assert_eq!(feed(&mut core, 0, Event::Committed(1, EditOutcome::Committed)), [], "nobody is there to hand over to");
    assert!(!core.is_busy());
}
