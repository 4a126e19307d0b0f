//! What is told, who waits, what comes back. All orders are explored in `tests/explore/headroom.rs`.

use super::*;

fn headroom() -> Headroom {
    Headroom::new(Some(100), Some(80))
}

#[test]
fn without_a_limit_everything_lands_and_comes_back() {
    let mut headroom = Headroom::new(None, None);
    assert_eq!(headroom.run(u64::MAX, i64::MAX, Gate::Refuse), Fate::Lands);
    assert!(headroom.returns(0, u64::MAX, 1));
    assert_eq!(headroom.pressure(u64::MAX), None);
}

#[test]
fn pressure_is_told_when_it_comes_and_when_it_goes() {
    let mut headroom = headroom();
    let told: Vec<_> = [80, 81, 90, 80, 79].map(|bytes| headroom.pressure(bytes)).into_iter().flatten().collect();
    assert_eq!(told, [1, 0]);
    assert_eq!(headroom.pressure(95), Some(15));
    assert_eq!((headroom.handed_over(85), headroom.pressure(86)), (5, None), "it was told with the hand-over");
    assert_eq!((headroom.handed_over(70), headroom.pressure(70)), (0, None));
}

#[test]
fn what_does_not_fit_waits_and_presses_until_it_lands_or_is_given_up() {
    let mut headroom = headroom();
    assert_eq!(
        [headroom.run(99, 1, Gate::Open), headroom.run(100, 0, Gate::Refuse), headroom.run(100, -9, Gate::Refuse)],
        [Fate::Lands; 3]
    );
    // Far below the mark, and too much all the same.
    assert_eq!((headroom.run(40, 70, Gate::Open), headroom.pressure(40)), (Fate::Waits, Some(10)));
    assert_eq!(headroom.handed_over(35), 5, "not enough");
    assert_eq!((headroom.run(35, 70, Gate::Wait), headroom.pressure(35)), (Fate::Waits, None));
    assert_eq!((headroom.handed_over(30), headroom.run(30, 70, Gate::Open)), (0, Fate::Lands));
    assert_eq!((headroom.run(40, 70, Gate::Open), headroom.pressure(40)), (Fate::Waits, Some(10)));
    headroom.given_up();
    assert_eq!(headroom.pressure(40), Some(0));
}

#[test]
fn what_can_never_fit_is_refused_and_presses_nobody() {
    let mut headroom = headroom();
    assert_eq!((headroom.run(0, 101, Gate::Open), headroom.pressure(0)), (Fate::Refused, None));
    let mut spills_nothing = Headroom::new(Some(100), None);
    assert_eq!((spills_nothing.run(100, 1, Gate::Open), spills_nothing.pressure(100)), (Fate::Refused, None));
}

#[test]
fn what_is_refused_has_somebody_try_again() {
    let mut headroom = headroom();
    assert_eq!((headroom.run(40, 70, Gate::Refuse), headroom.pressure(40)), (Fate::Refused, Some(30)));
    assert_eq!(headroom.handed_over(20), 0);
    assert_eq!(headroom.run(20, 70, Gate::Open), Fate::Lands);
}

#[test]
fn what_comes_back_stays_below_the_mark_and_asks_for_room_now_and_then() {
    let mut headroom = headroom();
    assert!(headroom.returns(0, 79, 1));
    assert_eq!(headroom.pressure(80), None);
    assert!(!headroom.returns(10, 80, 5));
    assert_eq!(headroom.pressure(80), Some(5));
    assert_eq!(headroom.handed_over(70), 0, "room for a batch");
    assert!(headroom.returns(20, 75, 5) && !headroom.returns(30, 80, 5));
    assert_eq!(headroom.pressure(80), None, "too soon");
    assert!(!headroom.returns(10 + WISH_MS, 80, 5));
    assert_eq!(headroom.pressure(80), Some(5));
}

#[test]
fn where_nothing_is_spilled_things_come_back_up_to_the_share() {
    let mut headroom = Headroom::new(Some(100), None);
    assert!(headroom.returns(0, 99, 1) && !headroom.returns(0, 100, 1));
    assert_eq!(headroom.pressure(100), None);
}

#[test]
fn a_tick_is_a_sixteenth_of_the_share_however_that_is_spilled() {
    for (batch, wanted) in [(10, 100), (80, 100), (800, 10)] {
        let mut headroom = Headroom::new(Some(16 * 80), Some(14 * 80));
        let ticks = (0..8_000 / batch).filter(|_| headroom.spilled(batch)).count();
        assert_eq!(ticks, wanted, "{batch} bytes a batch");
    }
}

#[test]
fn it_makes_way_for_another_state_as_far_as_it_has_more_than_keys() {
    let mut headroom = headroom();
    headroom.make_way(10, 30);
    assert_eq!(headroom.pressure(80), None, "there is room for that");
    headroom.make_way(50, 30);
    assert_eq!((headroom.pressure(80), headroom.handed_over(60)), (Some(30), 10));
    headroom.make_way(90, 30);
    assert_eq!(headroom.handed_over(30), 0, "only keys are left");
    headroom.make_way(0, 30);
    assert_eq!(headroom.handed_over(80), 0);
}

#[test]
fn what_is_read_beside_it_waits_for_what_can_be_spilled_and_for_nothing_else() {
    assert_eq!(beside(80, 10, 80, 80), Fate::Lands, "the eighth that is free");
    assert_eq!((beside(80, 20, 60, 50), beside(80, 20, 61, 50)), (Fate::Lands, Fate::Waits));
    assert_eq!((beside(80, 20, 80, 60), beside(80, 20, 80, 61)), (Fate::Waits, Fate::Refused));
    assert_eq!(beside(u64::MAX, u64::MAX / 2, 7, 7), Fate::Lands, "no limit");
}
