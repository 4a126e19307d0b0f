//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::Declined;

const PLAN: Plan = Plan {
    log_bytes: 1_000,
    growth_percent: 100,
    commands: 0,
    interval_ms: 0,
    interval_commands: 0,
    deadline_ms: 10_000,
};

fn at(end: u64, log_bytes: u64) -> Progress {
    Progress { end: Lsn(end), log_bytes }
}

fn taken(end: u64, log_bytes: u64) -> Taken {
    Taken { at: at(end, log_bytes), bytes: 5_000 }
}

fn fresh(plan: Plan) -> Snapshots {
    Snapshots::new(plan, Taken { at: at(1, 0), bytes: 0 }, 0)
}

fn feed(core: &mut Snapshots, now_ms: u64, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(now_ms, event, &mut effects);
    effects
}

/// Guards F63: what counts is what was adopted, not what was there when it was.
#[test]
fn the_next_one_is_counted_from_what_was_adopted() {
    let mut core = fresh(PLAN);
    assert_eq!(feed(&mut core, 1, Event::Looked(at(10, 999))), []);
    assert_eq!(feed(&mut core, 2, Event::Looked(at(11, 1_000))), [Effect::Take(1)]);
    assert_eq!(feed(&mut core, 3, Event::Looked(at(90, 9_000))), []);
    assert_eq!(feed(&mut core, 4, Event::Written(1, Some(taken(12, 1_100)))), [Effect::Adopt(1)]);
    assert_eq!(feed(&mut core, 5, Event::Adopted(1, EditOutcome::Committed)), [Effect::Prune]);
    // The log has to grow by as much as the snapshot has.
    assert_eq!(feed(&mut core, 6, Event::Looked(at(90, 6_099))), []);
    assert_eq!(feed(&mut core, 7, Event::Looked(at(90, 6_100))), [Effect::Take(2)]);
}

#[test]
fn commands_and_time_make_one_due_too() {
    let mut core = fresh(Plan { commands: 5, ..PLAN });
    assert_eq!(feed(&mut core, 1, Event::Looked(at(5, 1))), []);
    assert_eq!(feed(&mut core, 1, Event::Looked(at(6, 1))), [Effect::Take(1)]);
    let mut core = fresh(Plan { log_bytes: 0, interval_ms: 100, interval_commands: 2, ..PLAN });
    assert_eq!(feed(&mut core, 99, Event::Looked(at(9, 1 << 40))), []);
    assert_eq!(feed(&mut core, 100, Event::Looked(at(2, 1))), []);
    assert_eq!(feed(&mut core, 100, Event::Looked(at(3, 1))), [Effect::Take(1)]);
}

#[test]
fn who_asks_is_served_by_a_job_that_begins_later() {
    let mut core = fresh(PLAN);
    assert_eq!(feed(&mut core, 0, Event::Requested(7)), [Effect::Take(1)]);
    assert_eq!(feed(&mut core, 0, Event::Requested(8)), []);
    assert_eq!(
        feed(&mut core, 0, Event::Written(1, None)),
        [Effect::Answer(7, Ok(())), Effect::Prune, Effect::Take(2)],
        "nothing to hold is no failure"
    );
    let failed = Effect::Answer(8, Err(Failure::Failed));
    assert_eq!(feed(&mut core, 0, Event::Failed(2, Failure::Failed)), [failed, Effect::Prune]);
}

/// Guards F62: a job that hangs is given up, and what it makes later is removed.
#[test]
fn a_job_beyond_its_deadline_is_given_up() {
    let mut core = fresh(PLAN);
    feed(&mut core, 0, Event::Requested(7));
    assert_eq!(feed(&mut core, 50_000, Event::Looked(at(9, 9_000))), [], "it waits for its turn");
    assert_eq!(feed(&mut core, 50_000, Event::Begun(1)), []);
    assert_eq!(feed(&mut core, 59_999, Event::Looked(at(9, 9_000))), []);
    let late = Effect::Answer(7, Err(Failure::Deadline));
    assert_eq!(feed(&mut core, 60_000, Event::Looked(at(9, 9_000))), [Effect::Cancel(1), late]);
    assert_eq!(feed(&mut core, 99_999, Event::Looked(at(9, 9_000))), [], "one thread hangs already");
    assert_eq!(feed(&mut core, 99_999, Event::Requested(8)), [Effect::Take(2)]);
    assert_eq!(feed(&mut core, 99_999, Event::Written(1, Some(taken(9, 1)))), [Effect::Remove(1), Effect::Prune]);
}

/// What was asked for is there, if not in this file.
#[test]
fn who_is_overtaken_by_a_rewrite_has_not_failed() {
    let mut core = fresh(PLAN);
    feed(&mut core, 0, Event::Requested(7));
    feed(&mut core, 0, Event::Written(1, Some(taken(9, 1))));
    let overtaken = EditOutcome::Declined(Declined::Backwards);
    let effects = feed(&mut core, 0, Event::Adopted(1, overtaken));
    assert_eq!(effects, [Effect::Remove(1), Effect::Prune, Effect::Answer(7, Ok(()))]);
    assert!(!core.has_failed());
}

/// Guards F23: only what is certainly not named is removed.
#[test]
fn a_file_of_uncertain_fate_stays() {
    for (outcome, failure, removes) in [
        (EditOutcome::Declined(Declined::Ended), Failure::Declined, true),
        (EditOutcome::Failed, Failure::Failed, true),
        (EditOutcome::Indeterminate, Failure::Indeterminate, false),
    ] {
        let mut core = fresh(PLAN);
        feed(&mut core, 0, Event::Requested(7));
        feed(&mut core, 0, Event::Written(1, Some(taken(9, 1))));
        assert_eq!(feed(&mut core, 0, Event::Cancel(Failure::Cancelled)), [], "it is too late for that");
        let mut expected = vec![Effect::Answer(7, Err(failure))];
        if removes {
            expected.splice(0..0, [Effect::Remove(1), Effect::Prune]);
        }
        assert_eq!(feed(&mut core, 0, Event::Adopted(1, outcome)), expected);
    }
}

#[test]
fn failures_are_followed_by_longer_and_longer_pauses() {
    let mut core = fresh(PLAN);
    let (mut now_ms, mut pauses) = (0, Vec::new());
    for job in 1..=10 {
        while feed(&mut core, now_ms, Event::Looked(at(9, 9_000))).is_empty() {
            now_ms += 500;
        }
        pauses.push(now_ms);
        feed(&mut core, now_ms, Event::Failed(job, Failure::Failed));
    }
    let pauses: Vec<_> = pauses.windows(2).map(|times| times[1] - times[0]).collect();
    assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000]);
    assert!(core.has_failed());
    feed(&mut core, now_ms, Event::Requested(7));
    feed(&mut core, now_ms, Event::Written(11, None));
    assert!(!core.has_failed(), "the last one has not");
}

/// Guards F58: each try under a manifest that takes no edits any more would leave a file of the state's size.
#[test]
fn with_a_manifest_that_has_failed_none_is_begun_unasked() {
    let mut core = fresh(PLAN);
    feed(&mut core, 1, Event::Looked(at(11, 1_000)));
    feed(&mut core, 2, Event::Written(1, Some(taken(12, 1_100))));
    assert_eq!(feed(&mut core, 3, Event::Adopted(1, EditOutcome::Indeterminate)), []);
    assert_eq!(feed(&mut core, 1 << 40, Event::Looked(at(90, 1 << 40))), []);
    assert_eq!(feed(&mut core, 1 << 40, Event::Requested(1)), [Effect::Take(2)]);
}
