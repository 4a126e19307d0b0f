//! The watch over a lane's deadlines: one that finds the lane empty and ends, against whoever puts a command there.
//!
//! In scope: the bell that says whether there is a watch, and the hint that is enough for who has put something into
//! the lane. Not modelled: time (a watch looks when it likes to) and answers (`claim.rs`).

use mainstay::sync::Arc;
use mainstay::sync::doorbell::{Doorbell, Ring};
use mainstay::sync::lane::Lane;

use crate::support::{spawn, unbounded};

struct Scene {
    lane: Lane<u8>,
    running: Doorbell,
}

impl Scene {
    /// A watch is there and about to look.
    fn new() -> Arc<Self> {
        let scene = Self { lane: Lane::new(), running: Doorbell::new() };
        assert_eq!(scene.running.ring(), Ring::First);
        Arc::new(scene)
    }

    fn anything_waits(&self) -> bool {
        let mut found = false;
        self.lane.look_at_all(|_| found = true);
        found
    }

    /// As `watch` in `actor/overdue.rs`. Does this one have to start?
    fn watch(&self) -> bool {
        !self.running.is_rung() && self.running.ring() == Ring::First
    }

    /// As `Watched::look` there. Does the watch go on?
    fn look(&self, looks_twice: bool) -> bool {
        if self.anything_waits() {
            return true;
        }
        self.running.clear();
        looks_twice && self.anything_waits() && self.running.ring() == Ring::First
    }
}

fn assert_one_watch(scene: &Scene, goes_on: bool, started: bool) {
    let watches = u8::from(goes_on) + u8::from(started);
    assert!(watches <= 1, "two watches");
    assert!(watches == 1 || !scene.anything_waits(), "nobody watches");
}

fn a_push_against_the_end_of_a_watch(looks_twice: bool) {
    unbounded(move || {
        let scene = Scene::new();
        let pushing = spawn({
            let scene = Arc::clone(&scene);
            move || {
                scene.lane.push_quietly(1);
                scene.watch()
            }
        });
        let goes_on = scene.look(looks_twice);
        assert_one_watch(&scene, goes_on, pushing.join());
    });
}

/// Guards F33.
#[test]
fn a_push_is_always_watched() {
    a_push_against_the_end_of_a_watch(true);
}

/// The twin believes its first look.
#[test]
#[should_panic(expected = "nobody watches")]
fn twin_a_watch_looks_once() {
    a_push_against_the_end_of_a_watch(false);
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
        let goes_on = scene.look(true);
        shard.join();
        assert_one_watch(&scene, goes_on, false);
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
