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

    /// As `keep_watch` there, with one look. Does it go on?
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

fn a_put_back_against_the_end_of_a_watch(has_it_watched: bool) {
    unbounded(move || {
        let scene = Scene::new();
        scene.lane.push_quietly(1);
        let shard = spawn({
            let scene = Arc::clone(&scene);
            move || {
                let Some(item) = scene.lane.pop() else { return false };
                scene.lane.put_back(item);
                has_it_watched && scene.watch()
            }
        });
        let goes_on = scene.look(true);
        assert_one_watch(&scene, goes_on, shard.join());
    });
}

/// A command that the shard has in its hands is in no lane. Guards F33.
#[test]
fn what_is_put_back_is_watched_again() {
    a_put_back_against_the_end_of_a_watch(true);
}

/// The twin's shard puts it back and that is all.
#[test]
#[should_panic(expected = "nobody watches")]
fn twin_what_is_put_back_is_forgotten() {
    a_put_back_against_the_end_of_a_watch(false);
}
