//! Room in the log: a shard that falls asleep for lack of it against the writer's next grant.
//!
//! In scope: the wish that carries the grant it was made at. Not modelled: how a grant is computed (`tests/explore`),
//! and disks that are full for good.

use mainstay::sync::Arc;
use mainstay::sync::lane::Lane;
use mainstay::sync::room::Room;

use crate::support::{Mailbox, Message, drains, spawn, unbounded};

/// A grant that comes while the shard decides to sleep.
fn a_wish_against_a_grant(wakes: fn(seen: u64, granted: u64, last: u64) -> bool) {
    unbounded(move || {
        let room = Arc::new(Room::new());
        let (lane, log) = (Arc::new(Lane::<()>::new()), Arc::new(Lane::new()));
        let (shard, writer) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        lane.attach(drains(&shard));
        log.set_wake(drains(&writer));
        let granting = spawn({
            let (room, lane, log, writer) =
                (Arc::clone(&room), Arc::clone(&lane), Arc::clone(&log), Arc::clone(&writer));
            move || {
                // A spare has come; the writer's own loop knows nothing of the shard.
                let last = room.granted();
                room.set(1, false);
                let mut wanted: Option<u64> = None;
                while writer.receive() == Some(Message::Drain) {
                    log.clear();
                    wanted = std::iter::from_fn(|| log.pop()).last().or(wanted);
                    if wanted.is_some_and(|seen| wakes(seen, room.granted(), last.max(1))) {
                        wanted = None;
                        let _ = lane.ring();
                    }
                }
            }
        });
        while shard.receive() == Some(Message::Drain) {
            lane.clear();
            let seen = room.granted();
            if seen > 0 {
                break;
            }
            log.push_quietly(seen);
            assert!(log.ring().is_ok());
        }
        writer.die();
        granting.join();
    });
}

/// A shard without room against a grant that it has not seen. Guards F33, F57.
#[test]
fn a_grant_that_was_not_seen_wakes_the_shard() {
    a_wish_against_a_grant(|seen, granted, _| granted > seen);
}

/// The twin compares with the last grant that it knows of itself.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_a_grant_is_compared_with_the_writers_last() {
    a_wish_against_a_grant(|_, granted, last| granted > last);
}
