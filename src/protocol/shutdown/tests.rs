//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;

fn feed(core: &mut Shutdown, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

fn set(shards: &[u32]) -> BTreeSet<ShardId> {
    shards.iter().copied().map(ShardId).collect()
}

#[test]
fn it_ends_leaf_last() {
    let mut core = Shutdown::new(2);
    let (a, b) = (ShardId(0), ShardId(1));
    assert_eq!(
        feed(&mut core, Event::Requested),
        [Effect::Arm, Effect::CloseGates, Effect::Finish(a), Effect::Finish(b)]
    );
    assert_eq!(feed(&mut core, Event::Finished(a)), []);
    assert_eq!(feed(&mut core, Event::Finished(a)), []);
    assert_eq!(feed(&mut core, Event::Finished(b)), [Effect::StopKeeper]);
    assert_eq!(feed(&mut core, Event::KeeperStopped), [Effect::Done(set(&[]))]);
    assert_eq!(feed(&mut core, Event::KeeperStopped), []);
}

#[test]
fn a_shard_that_is_lost_is_named() {
    let mut core = Shutdown::new(2);
    assert_eq!(feed(&mut core, Event::Lost(ShardId(0))), []);
    let effects = feed(&mut core, Event::Requested);
    assert_eq!(effects, [Effect::Arm, Effect::CloseGates, Effect::Finish(ShardId(1))]);
    assert_eq!(feed(&mut core, Event::Finished(ShardId(1))), [Effect::StopKeeper]);
    assert_eq!(feed(&mut core, Event::KeeperStopped), [Effect::Done(set(&[0]))]);
}

#[test]
fn the_deadline_abandons_who_is_owed() {
    let mut core = Shutdown::new(2);
    feed(&mut core, Event::Requested);
    feed(&mut core, Event::Finished(ShardId(0)));
    let effects = feed(&mut core, Event::Deadline);
    assert_eq!(effects, [Effect::Arm, Effect::Abandon(ShardId(1)), Effect::StopKeeper]);
    // A keeper that sits in the kernel is not waited for either.
    assert_eq!(feed(&mut core, Event::Deadline), [Effect::Done(set(&[1]))]);
}

#[test]
fn with_every_shard_lost_only_the_keeper_is_stopped() {
    let mut core = Shutdown::new(1);
    feed(&mut core, Event::Lost(ShardId(0)));
    assert_eq!(feed(&mut core, Event::Requested), [Effect::Arm, Effect::CloseGates, Effect::StopKeeper]);
}
