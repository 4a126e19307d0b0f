//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;
use crate::model::{Declined, DirectoryId, Incarnation, Routing, SegmentSeq, ShardId};

fn empty() -> Manifest {
    Manifest::new(DirectoryId([0; 16]), Routing { id: 1, key: [0; 16] }, 1)
}

fn register(segment: u64) -> Edit {
    let (shard, incarnation) = (ShardId(0), Incarnation(1));
    Edit::Register { shard, incarnation, segment: SegmentSeq(segment), bytes: 4096 }
}

fn with(segment: u64) -> Manifest {
    let mut manifest = empty();
    assert!(manifest.apply(&register(segment)).is_ok());
    manifest
}

fn feed(keeper: &mut Keeper, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    keeper.on_event(event, &mut effects);
    effects
}

fn request(token: Token, segment: u64) -> Event {
    Event::Request(token, vec![register(segment)])
}

#[test]
fn an_edit_is_appended_published_and_answered() {
    let mut keeper = Keeper::new(empty(), false);
    assert_eq!(feed(&mut keeper, request(1, 1)), [Effect::Append(vec![register(1)])]);
    assert_eq!(*keeper.manifest(), empty());
    assert_eq!(
        feed(&mut keeper, Event::Appended { ok: true, full: false }),
        [Effect::Publish(with(1)), Effect::Answer(1, EditOutcome::Committed)]
    );
}

#[test]
fn a_declined_edit_changes_nothing() {
    let mut keeper = Keeper::new(with(1), false);
    let why = EditOutcome::Declined(Declined::SegmentInUse);
    assert_eq!(feed(&mut keeper, request(1, 1)), [Effect::Answer(1, why)]);
    assert_eq!(keeper, Keeper::new(with(1), false));
}

#[test]
fn a_failed_edit_is_shut_out_before_its_requester_is_told() {
    let mut keeper = Keeper::new(empty(), false);
    feed(&mut keeper, request(1, 1));
    assert_eq!(feed(&mut keeper, request(2, 2)), []);
    assert_eq!(feed(&mut keeper, Event::Appended { ok: false, full: false }), [Effect::ChangeGeneration(empty())]);
    assert_eq!(
        feed(&mut keeper, Event::GenerationEnded(Generation::Changed)),
        [Effect::Answer(1, EditOutcome::Failed), Effect::Append(vec![register(2)])]
    );
}

#[test]
fn an_edit_that_cannot_be_shut_out_latches() {
    for ended in [Generation::Unchanged, Generation::Unknown] {
        let mut keeper = Keeper::new(empty(), false);
        feed(&mut keeper, request(1, 1));
        feed(&mut keeper, Event::Appended { ok: false, full: false });
        let open = |token| Effect::Answer(token, EditOutcome::Indeterminate);
        assert_eq!(feed(&mut keeper, Event::GenerationEnded(ended)), [open(1)]);
        assert_eq!(feed(&mut keeper, request(2, 2)), [open(2)]);
    }
}

#[test]
fn a_torn_generation_is_changed_before_it_is_appended_to() {
    let mut keeper = Keeper::new(empty(), true);
    assert_eq!(feed(&mut keeper, request(1, 1)), [Effect::ChangeGeneration(empty())]);
    assert_eq!(feed(&mut keeper, Event::GenerationEnded(Generation::Changed)), [Effect::Append(vec![register(1)])]);
}

/// Found by the explorer: a report that nobody waited for unlatched the keeper.
#[test]
fn a_latched_keeper_stays_latched() {
    let mut keeper = Keeper::new(empty(), false);
    feed(&mut keeper, request(1, 1));
    feed(&mut keeper, Event::Appended { ok: false, full: false });
    feed(&mut keeper, Event::GenerationEnded(Generation::Unknown));
    let latched = keeper.clone();
    assert_eq!(feed(&mut keeper, Event::Appended { ok: true, full: false }), []);
    assert_eq!(feed(&mut keeper, Event::GenerationEnded(Generation::Changed)), []);
    assert_eq!(keeper, latched);
}
