//! Room in the log: a shard that falls asleep for lack of it against the writer's next grants.
//!
//! In scope: the wish that carries the grant it was made at, one at a time behind a doorbell of its own; grants that
//! come in two steps, of which the first is too small. Not modelled: how a grant is computed (`tests/explore`), and
//! disks that are full for good.

use mainstay::sync::Arc;
use mainstay::sync::doorbell::{Doorbell, Ring};
use mainstay::sync::lane::Lane;
use mainstay::sync::room::Room;

use crate::support::{Mailbox, Message, bounded, drains, spawn};

/// So much is needed.
const ENOUGH: u64 = 2;

struct Scene {
    room: Room,
    lane: Lane<()>,
    log: Lane<u64>,
    wants_room: Doorbell,
    shard: Arc<Mailbox<Message>>,
    writer: Arc<Mailbox<Message>>,
}

impl Scene {
    fn new() -> Arc<Self> {
        let scene = Self {
            room: Room::new(),
            lane: Lane::new(),
            log: Lane::new(),
            wants_room: Doorbell::new(),
            shard: Arc::new(Mailbox::new()),
            writer: Arc::new(Mailbox::new()),
        };
        scene.lane.attach(drains(&scene.shard));
        scene.log.set_wake(drains(&scene.writer));
        Arc::new(scene)
    }

    /// The shard's side, as in `actor/slot.rs`.
    fn want_room(&self, seen: u64) {
        if self.wants_room.ring() == Ring::First {
            self.log.push_quietly(seen);
            assert!(self.log.ring().is_ok());
        }
    }

    /// The writer, as in `actor/wal_writer.rs`: it is granted more once before it looks at wishes and once between.
    fn grant(&self, wakes: fn(seen: u64, granted: u64, last: u64) -> bool, clears_early: bool) {
        self.room.set(1, false);
        let (mut last, mut wanted) = (1, None);
        while self.writer.receive() == Some(Message::Drain) {
            self.log.clear();
            while let Some(seen) = self.log.pop() {
                if clears_early {
                    self.wants_room.clear();
                }
                wanted = Some(seen);
            }
            if wanted.is_some_and(|seen| wakes(seen, self.room.granted(), last)) {
                wanted = None;
                let _ = self.lane.ring();
            }
            if !clears_early {
                self.wants_room.clear();
            }
            self.room.set(ENOUGH, false);
            last = ENOUGH;
            if wanted.is_some_and(|seen| wakes(seen, self.room.granted(), last)) {
                wanted = None;
                let _ = self.lane.ring();
            }
        }
    }
}

/// Grants that come while the shard decides to sleep.
fn a_wish_against_a_grant(wakes: fn(u64, u64, u64) -> bool, clears_early: bool) {
    bounded(5, move || {
        let scene = Scene::new();
        let granting = spawn({
            let scene = Arc::clone(&scene);
            move || scene.grant(wakes, clears_early)
        });
        while scene.shard.receive() == Some(Message::Drain) {
            scene.lane.clear();
            // Looked at once: the wish has to say what the decision was made at.
            let seen = scene.room.granted();
            if seen >= ENOUGH {
                break;
            }
            scene.want_room(seen);
        }
        scene.writer.die();
        granting.join();
    });
}

/// A shard without room against grants that it has not seen (bounded). Guards F33, F57.
#[test]
fn a_grant_that_was_not_seen_wakes_the_shard() {
    a_wish_against_a_grant(|seen, granted, _| granted > seen, true);
}

/// The twin compares with the last grant that it knows of itself.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_a_grant_is_compared_with_the_writers_last() {
    a_wish_against_a_grant(|_, granted, last| granted > last, true);
}

/// The twin allows the next wish only when it has dealt with this one.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_a_wish_is_cleared_late() {
    a_wish_against_a_grant(|seen, granted, _| granted > seen, false);
}
