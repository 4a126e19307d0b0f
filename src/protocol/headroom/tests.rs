//! What is told, who waits, what comes back. All orders are explored in `tests/explore/headroom.rs`.

use super::*;

/// Of these bytes none are keys.
fn values(bytes: u64) -> Size {
    Size { bytes, keys: 0 }
}

fn headroom() -> Headroom {
    Headroom::new(Some(100), Some(80))
}

#[test]
fn without_a_limit_everything_lands_and_comes_back() {
    let mut headroom = Headroom::new(None, None);
    assert_eq!(headroom.run(values(u64::MAX), i64::MAX, Gate::Refuse), Fate::Lands);
    assert!(headroom.returns(0, values(u64::MAX), 1));
    assert_eq!(headroom.pressure(values(u64::MAX)), None);
}

#[test]
fn pressure_is_told_when_it_comes_and_when_it_goes() {
    let mut headroom = headroom();
    let told: Vec<_> =
        [80, 81, 90, 80, 79].map(|bytes| headroom.pressure(values(bytes))).into_iter().flatten().collect();
    assert_eq!(told, [1, 0]);
    assert_eq!(headroom.pressure(values(95)), Some(15));
    assert_eq!(
        (headroom.handed_over(values(85)), headroom.pressure(values(86))),
        (5, None),
        "it was told with the hand-over"
    );
    assert_eq!((headroom.handed_over(values(70)), headroom.pressure(values(70))), (0, None));
}

#[test]
fn what_does_not_fit_waits_and_presses_until_it_lands_or_is_given_up() {
    let mut headroom = headroom();
    assert_eq!(
        [
            headroom.run(values(99), 1, Gate::Open),
            headroom.run(values(100), 0, Gate::Refuse),
            headroom.run(values(100), -9, Gate::Refuse)
        ],
        [Fate::Lands; 3]
    );
    // Far below the mark, and too much all the same.
    assert_eq!((headroom.run(values(40), 70, Gate::Open), headroom.pressure(values(40))), (Fate::Waits, Some(10)));
    assert_eq!(headroom.handed_over(values(35)), 5, "not enough");
    assert_eq!((headroom.run(values(35), 70, Gate::Wait), headroom.pressure(values(35))), (Fate::Waits, None));
    assert_eq!((headroom.handed_over(values(30)), headroom.run(values(30), 70, Gate::Open)), (0, Fate::Lands));
    assert_eq!((headroom.run(values(40), 70, Gate::Open), headroom.pressure(values(40))), (Fate::Waits, Some(10)));
    headroom.given_up();
    assert_eq!(headroom.pressure(values(40)), Some(0));
}

#[test]
fn what_can_never_fit_is_refused_and_presses_nobody() {
    let mut headroom = headroom();
    assert_eq!((headroom.run(values(0), 101, Gate::Open), headroom.pressure(values(0))), (Fate::Refused, None));
    let mut spills_nothing = Headroom::new(Some(100), None);
    assert_eq!(
        (spills_nothing.run(values(100), 1, Gate::Open), spills_nothing.pressure(values(100))),
        (Fate::Refused, None)
    );
}

#[test]
fn what_is_refused_has_somebody_try_again() {
    let mut headroom = headroom();
    assert_eq!((headroom.run(values(40), 70, Gate::Refuse), headroom.pressure(values(40))), (Fate::Refused, Some(30)));
    assert_eq!(headroom.handed_over(values(20)), 0);
    assert_eq!(headroom.run(values(20), 70, Gate::Open), Fate::Lands);
}

#[test]
fn what_comes_back_stays_below_the_mark_and_asks_for_room_now_and_then() {
    let mut headroom = headroom();
    assert!(headroom.returns(0, values(79), 1));
    assert_eq!(headroom.pressure(values(80)), None);
    assert!(!headroom.returns(10, values(80), 5));
    assert_eq!(headroom.pressure(values(80)), Some(5));
    assert_eq!(headroom.handed_over(values(70)), 0, "room for a batch");
    assert!(headroom.returns(20, values(75), 5) && !headroom.returns(30, values(80), 5));
    assert_eq!(headroom.pressure(values(80)), None, "too soon");
    assert!(!headroom.returns(10 + WISH_MS, values(80), 5));
    assert_eq!(headroom.pressure(values(80)), Some(5));
}

#[test]
fn where_nothing_is_spilled_things_come_back_up_to_the_share() {
    let mut headroom = Headroom::new(Some(100), None);
    assert!(headroom.returns(0, values(99), 1) && !headroom.returns(0, values(100), 1));
    assert_eq!(headroom.pressure(values(100)), None);
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
    let size = |bytes| Size { bytes, keys: 30 };
    headroom.make_way(10);
    assert_eq!(headroom.pressure(size(80)), None, "there is room for that");
    headroom.make_way(50);
    assert_eq!((headroom.pressure(size(80)), headroom.handed_over(size(60))), (Some(30), 10));
    headroom.make_way(90);
    assert_eq!((headroom.handed_over(size(40)), headroom.handed_over(size(30))), (10, 0), "only keys are left");
    headroom.make_way(0);
    assert_eq!(headroom.handed_over(size(80)), 0);
}

#[test]
fn beside_another_state_commands_wait_as_long_as_there_is_something_to_spill() {
    let mut headroom = headroom();
    let size = |bytes| Size { bytes, keys: 30 };
    headroom.make_way(50);
    assert!(!headroom.returns(0, size(45), 10), "what comes back makes no way");
    assert_eq!((headroom.run(size(45), 10, Gate::Wait), headroom.pressure(size(45))), (Fate::Waits, Some(5)));
    assert_eq!((headroom.handed_over(size(40)), headroom.run(size(40), 10, Gate::Wait)), (0, Fate::Lands));
    // There is room in the share, and nobody can make more beside it.
    assert_eq!(headroom.run(size(50), 10, Gate::Refuse), Fate::Lands);
    assert_eq!(headroom.run(size(30), 30, Gate::Wait), Fate::Lands, "only keys are left");
    assert_eq!(headroom.run(size(95), 10, Gate::Refuse), Fate::Refused);
}

#[test]
fn what_cannot_come_back_wishes_for_nothing() {
    let mut headroom = headroom();
    assert!(!headroom.returns(0, Size { bytes: 80, keys: 70 }, 11));
    assert_eq!(headroom.pressure(Size { bytes: 80, keys: 70 }), None);
    assert!(!headroom.returns(0, Size { bytes: 80, keys: 70 }, 10));
    assert_eq!(headroom.pressure(Size { bytes: 80, keys: 70 }), Some(10));
}

#[test]
fn where_there_are_only_keys_nobody_is_sent_to_look_for_values() {
    let mut headroom = Headroom::new(Some(160), Some(140));
    let size = |keys, values| Size { bytes: keys + values, keys };
    assert_eq!(headroom.pressure(size(150, 0)), None, "over the mark, and nothing to spill");
    assert_eq!(headroom.pressure(size(140, 10)), None, "a file for each value that comes");
    assert_eq!(headroom.pressure(size(140, 11)), Some(1));
    assert_eq!(headroom.handed_over(size(151, 0)), 0);
    // There is room beside the keys, or there is none.
    assert_eq!((headroom.run(size(151, 5), 7, Gate::Wait), headroom.pressure(size(151, 5))), (Fate::Waits, Some(3)));
    assert_eq!((headroom.handed_over(size(153, 0)), headroom.run(size(153, 0), 7, Gate::Open)), (0, Fate::Lands));
    assert_eq!((headroom.run(size(153, 5), 8, Gate::Wait), headroom.pressure(size(153, 5))), (Fate::Refused, None));
    assert!(headroom.returns(0, size(150, 0), 10) && !headroom.returns(0, size(150, 0), 11));
    assert_eq!(headroom.pressure(size(150, 0)), None, "what would come back wishes for what cannot be");
}

#[test]
fn the_published_root_is_outdated_when_there_is_no_room_for_what_it_keeps() {
    let mut headroom = Headroom::new(Some(160), None);
    headroom.displaced(60);
    assert!(!headroom.is_outdated(values(100)) && headroom.is_outdated(values(101)));
    headroom.refreshed();
    headroom.displaced(10);
    assert!(!headroom.is_outdated(values(160)), "a little is always kept");
    headroom.displaced(1);
    assert!(headroom.is_outdated(values(160)) && !headroom.is_outdated(values(149)));
    let mut unlimited = Headroom::new(None, None);
    unlimited.displaced(u64::MAX);
    assert!(!unlimited.is_outdated(values(u64::MAX)));
}

#[test]
fn what_is_read_beside_it_waits_for_what_can_be_spilled_and_for_nothing_else() {
    assert_eq!(beside(80, 10, 80, 80), Fate::Lands, "the eighth that is free");
    assert_eq!((beside(80, 20, 60, 50), beside(80, 20, 61, 50)), (Fate::Lands, Fate::Waits));
    assert_eq!((beside(80, 20, 80, 60), beside(80, 20, 80, 61)), (Fate::Waits, Fate::Refused));
    assert_eq!(beside(u64::MAX, u64::MAX / 2, 7, 7), Fate::Lands, "no limit");
}
