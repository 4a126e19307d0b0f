//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::{ColdSeq, Declined};

const VERSION: VersionId = VersionId(7);

fn feed(core: &mut Rollbacks, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

fn committing() -> Rollbacks {
    let mut core = Rollbacks::new(2);
    assert_eq!(feed(&mut core, Event::Requested(VERSION, 4)), [Effect::Load(1, VERSION)]);
    assert_eq!(feed(&mut core, Event::Requested(VERSION, 4)), [Effect::Busy]);
    let edit = Edit::Rollback { version: VERSION, timeline: 4 };
    assert_eq!(feed(&mut core, Event::Loaded(1, Some(Vec::new()))), [Effect::Commit(edit)]);
    core
}

/// Guards F65: what cannot be read changes nothing.
#[test]
fn an_unreachable_version_touches_nothing() {
    let mut core = Rollbacks::new(2);
    feed(&mut core, Event::Requested(VERSION, 4));
    assert_eq!(feed(&mut core, Event::Loaded(1, None)), [Effect::Done(Err(Failed::Unreachable))]);
    assert!(!core.is_busy());
}

#[test]
fn all_are_abandoned_before_one_goes_on() {
    let mut core = committing();
    let resume = |shard| Effect::Resume(ShardId(shard), 5);
    let went_back = [Effect::Abandon, resume(0), resume(1), Effect::Sweep(1)];
    assert_eq!(feed(&mut core, Event::Committed(EditOutcome::Committed)), went_back);
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(1), true)), []);
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(1), true)), [], "twice counts once");
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(0), true)), [Effect::Done(Ok(VERSION))]);
}

#[test]
fn a_commit_that_does_not_count_touches_nothing() {
    for outcome in [EditOutcome::Failed, EditOutcome::Declined(Declined::Unknown)] {
        let mut core = committing();
        let done = Effect::Done(Err(Failed::NotCommitted));
        assert_eq!(feed(&mut core, Event::Committed(outcome)), [done, Effect::Sweep(1)]);
    }
    let mut core = committing();
    let done = Effect::Done(Err(Failed::Indeterminate));
    assert_eq!(feed(&mut core, Event::Committed(EditOutcome::Indeterminate)), [Effect::Fence, done]);
}

/// Guards F23, F43: what was written for it is named by the same commit, and is nobody's before.
#[test]
fn the_files_of_a_state_come_with_its_commit() {
    let mut core = Rollbacks::new(2);
    feed(&mut core, Event::Requested(VERSION, 4));
    let cold = vec![SpilledFile { shard: ShardId(1), file: ColdSeq(9), bytes: 1024, values: 3 }];
    let edit = Edit::RollbackSpilled { version: VERSION, timeline: 4, cold: cold.clone() };
    assert_eq!(feed(&mut core, Event::Loaded(1, Some(cold))), [Effect::Commit(edit)]);
}

#[test]
fn a_coordinator_that_begins_anew_finishes() {
    let mut core = Rollbacks::new(2);
    let recover = |shard| Effect::Recover(ShardId(shard));
    assert_eq!(feed(&mut core, Event::Unfinished), [Effect::Abandon, recover(0), recover(1)]);
    assert!(!core.is_busy());
}

/// A reading that hangs ends nothing else, and what comes of it later is of no use.
#[test]
fn a_reading_that_is_given_up_touches_nothing() {
    for (event, why) in [(Event::Deadline(1), Failed::Deadline), (Event::Cancel, Failed::Cancelled)] {
        let mut core = Rollbacks::new(2);
        feed(&mut core, Event::Requested(VERSION, 4));
        assert_eq!(feed(&mut core, event), [Effect::Done(Err(why))]);
        assert_eq!(feed(&mut core, Event::Loaded(1, Some(Vec::new()))), [Effect::Sweep(1)]);
        assert_eq!(feed(&mut core, Event::Requested(VERSION, 4)), [Effect::Load(2, VERSION)]);
        assert_eq!(feed(&mut core, Event::Loaded(1, Some(Vec::new()))), [Effect::Sweep(1)]);
        assert_eq!(feed(&mut core, Event::Deadline(1)), []);
        assert!(core.is_busy());
    }
    let mut core = committing();
    assert_eq!(feed(&mut core, Event::Deadline(1)), [], "it was read in time");
    assert_eq!(feed(&mut core, Event::Cancel), [], "the commit is on its way");
}
