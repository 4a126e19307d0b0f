//! One event, its exact effects. All orders are explored in `tests/explore`.

use super::*;

const FIRST: CutId = CutId(1);
const SECOND: CutId = CutId(2);

fn feed(core: &mut Holder, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

fn hold(core: &mut Holder, cut: CutId, now_ms: u64) -> Vec<Effect> {
    feed(core, Event::Hold { cut, now_ms, is_clear: true })
}

fn release(core: &mut Holder, cut: CutId) -> Vec<Effect> {
    feed(core, Event::Release { cut })
}

#[test]
fn it_holds_until_it_is_released() {
    let mut core = Holder::new(100);
    assert_eq!(hold(&mut core, FIRST, 5), [Effect::Arm { at_ms: 105 }, Effect::Held(FIRST)]);
    assert!(core.is_holding());
    assert_eq!(hold(&mut core, FIRST, 6), []);
    assert_eq!(release(&mut core, FIRST), [Effect::Released { cut: FIRST, held: true }, Effect::Resume]);
    assert!(!core.is_holding());
    assert_eq!(release(&mut core, FIRST), [Effect::Released { cut: FIRST, held: false }]);
    assert_eq!(hold(&mut core, FIRST, 7), []);
    assert_eq!(feed(&mut core, Event::Time { now_ms: 105 }), []);
}

#[test]
fn it_releases_itself_and_says_so() {
    let mut core = Holder::new(100);
    hold(&mut core, FIRST, 0);
    assert_eq!(feed(&mut core, Event::Time { now_ms: 99 }), [Effect::Arm { at_ms: 100 }]);
    assert_eq!(feed(&mut core, Event::Time { now_ms: 100 }), [Effect::Resume]);
    assert_eq!(feed(&mut core, Event::Time { now_ms: 101 }), []);
    assert_eq!(release(&mut core, FIRST), [Effect::Released { cut: FIRST, held: false }]);
}

#[test]
fn a_newer_hold_ends_the_one_before() {
    let mut core = Holder::new(100);
    hold(&mut core, FIRST, 0);
    assert_eq!(hold(&mut core, SECOND, 50), [Effect::Arm { at_ms: 150 }, Effect::Held(SECOND)]);
    assert_eq!(release(&mut core, FIRST), [Effect::Released { cut: FIRST, held: false }]);
    assert!(core.is_holding());
    // The first hold's timer is not the second one's.
    assert_eq!(feed(&mut core, Event::Time { now_ms: 100 }), [Effect::Arm { at_ms: 150 }]);
    assert_eq!(release(&mut core, SECOND), [Effect::Released { cut: SECOND, held: true }, Effect::Resume]);
}

#[test]
fn an_older_hold_is_refused() {
    let mut core = Holder::new(100);
    assert_eq!(release(&mut core, SECOND), [Effect::Released { cut: SECOND, held: false }]);
    assert_eq!(hold(&mut core, FIRST, 0), [Effect::Released { cut: FIRST, held: false }]);
    assert_eq!(hold(&mut core, SECOND, 0), []);
    assert!(!core.is_holding());
}

#[test]
fn a_coordinators_life_begins_above_the_one_before() {
    let first = CutId::first_of(Incarnation(1));
    assert!(first.next() < CutId::first_of(Incarnation(2)));
}

/// Guards F57: a disk that stalls does not collect the boundaries of cuts that were given up.
#[test]
fn one_boundary_at_a_time() {
    let mut core = Holder::new(100);
    let refused = Effect::Released { cut: SECOND, held: false };
    hold(&mut core, FIRST, 0);
    let behind = Event::Hold { cut: SECOND, now_ms: 1, is_clear: false };
    assert_eq!(feed(&mut core, behind), [Effect::Resume, refused]);
    assert_eq!(feed(&mut core, behind), [], "it was answered");
    let behind = Event::Hold { cut: CutId(3), now_ms: 2, is_clear: false };
    assert_eq!(feed(&mut core, behind), [Effect::Released { cut: CutId(3), held: false }]);
    assert_eq!(hold(&mut core, CutId(4), 3), [Effect::Arm { at_ms: 103 }, Effect::Held(CutId(4))]);
}
