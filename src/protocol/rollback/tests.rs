//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::Declined;

const VERSION: VersionId = VersionId(7);

fn feed(core: &mut Rollbacks, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

fn committing() -> Rollbacks {
    let mut core = Rollbacks::new(2);
    assert_eq!(feed(&mut core, Event::Requested(VERSION, 4)), [Effect::Load(VERSION)]);
    assert_eq!(feed(&mut core, Event::Requested(VERSION, 4)), [Effect::Busy]);
    let edit = Edit::Rollback { version: VERSION, timeline: 4 };
    assert_eq!(feed(&mut core, Event::Loaded(true)), [Effect::Commit(edit)]);
    core
}

/// Guards F65: what cannot be read changes nothing.
#[test]
fn an_unreachable_version_touches_nothing() {
    let mut core = Rollbacks::new(2);
    feed(&mut core, Event::Requested(VERSION, 4));
    assert_eq!(feed(&mut core, Event::Loaded(false)), [Effect::Done(Err(Failed::Unreachable))]);
    assert!(!core.is_busy());
}

#[test]
fn all_are_abandoned_before_one_goes_on() {
    let mut core = committing();
    let resume = |shard| Effect::Resume(ShardId(shard), 5);
    assert_eq!(feed(&mut core, Event::Committed(EditOutcome::Committed)), [Effect::Abandon, resume(0), resume(1)]);
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(1), true)), []);
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(1), true)), [], "twice counts once");
    assert_eq!(feed(&mut core, Event::Resumed(ShardId(0), true)), [Effect::Done(Ok(VERSION))]);
}

#[test]
fn a_commit_that_does_not_count_touches_nothing() {
    for outcome in [EditOutcome::Failed, EditOutcome::Declined(Declined::Unknown)] {
        let mut core = committing();
        let done = Effect::Done(Err(Failed::NotCommitted));
        assert_eq!(feed(&mut core, Event::Committed(outcome)), [done]);
    }
    let mut core = committing();
    let done = Effect::Done(Err(Failed::Indeterminate));
    assert_eq!(feed(&mut core, Event::Committed(EditOutcome::Indeterminate)), [Effect::Fence, done]);
}

#[test]
fn a_coordinator_that_begins_anew_finishes() {
    let mut core = Rollbacks::new(2);
    let recover = |shard| Effect::Recover(ShardId(shard));
    assert_eq!(feed(&mut core, Event::Unfinished), [Effect::Abandon, recover(0), recover(1)]);
    assert!(!core.is_busy());
}
