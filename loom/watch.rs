//! The watch over a lane's deadlines: one that finds the lane empty and ends, against whoever puts a command there.
//!
//! In scope: that there is one, never two, and that the load in [`Watch::begin`] is enough beside the lane's locks. Not
//! modelled: time (a watch looks when it likes to) and answers (`claim.rs`).

use mainstay::sync::Arc;
use mainstay::sync::doorbell::{Doorbell, Ring};
use mainstay::sync::lane::Lane;
use mainstay::sync::watch::Watch;

use crate::support::{spawn, unbounded};

struct Scene {
    lane: Lane<u8>,
    watch: Watch,
}

impl Scene {
    /// A watch is there and about to look.
    fn new() -> Arc<Self> {
        let scene = Self { lane: Lane::new(), watch: Watch::new() };
        assert!(scene.watch.begin());
        Arc::new(scene)
    }

    fn look(&self) -> Option<()> {
        let mut found = None;
        self.lane.look_at_all(|_| found = Some(()));
        found
    }
}

fn assert_one_watch(waits: bool, goes_on: bool, begun: bool) {
    let watches = u8::from(goes_on) + u8::from(begun);
    assert!(watches <= 1, "two watches");
    assert!(watches == 1 || !waits, "nobody watches");
}

/// A push against a watch that finds nothing. Guards F33.
#[test]
fn a_push_is_always_watched() {
    unbounded(|| {
        let scene = Scene::new();
        let pushing = spawn({
            let scene = Arc::clone(&scene);
            move || {
                scene.lane.push_quietly(1);
                scene.watch.begin()
            }
        });
        let goes_on = scene.watch.turn(|| scene.look()).is_some();
        let begun = pushing.join();
        assert_one_watch(scene.look().is_some(), goes_on, begun);
    });
}

/// The twin's watch believes its first look, and clears.
#[test]
#[should_panic(expected = "nobody watches")]
fn twin_a_watch_looks_once() {
    unbounded(|| {
        let scene = Arc::new((Lane::new(), Doorbell::new()));
        assert_eq!(scene.1.ring(), Ring::First);
        let pushing = spawn({
            let scene = Arc::clone(&scene);
            move || {
                scene.0.push_quietly(1);
                !scene.1.is_rung() && scene.1.ring() == Ring::First
            }
        });
        let goes_on = !scene.0.is_empty();
        if !goes_on {
            scene.1.clear();
        }
        let begun = pushing.join();
        assert_one_watch(!scene.0.is_empty(), goes_on, begun);
    });
}

/// The shard has no room for a command while the watch looks.
fn no_room_against_a_look(leave: fn(&Lane<u8>)) {
    unbounded(move || {
        let scene = Scene::new();
        scene.lane.push_quietly(1);
        let shard = spawn({
            let scene = Arc::clone(&scene);
            move || leave(&scene.lane)
        });
        let goes_on = scene.watch.turn(|| scene.look()).is_some();
        shard.join();
        assert_one_watch(scene.look().is_some(), goes_on, false);
    });
}

/// What waits is always there to be seen. Guards F33.
#[test]
fn what_is_left_is_watched() {
    no_room_against_a_look(|lane| assert!(lane.pop_if(|_| false).is_none()));
}

/// The twin's shard has it in its hands for a moment.
#[test]
#[should_panic(expected = "nobody watches")]
fn twin_what_is_in_nobodys_lane_is_not_watched() {
    no_room_against_a_look(|lane| lane.pop().into_iter().for_each(|item| lane.push_quietly(item)));
}
