//! The doorbell of a lane: a push against a drain, a death and a restart.
//!
//! In scope: lost wake-ups, a flood of them, wake-ups that a dead actor has taken with it, and an old incarnation whose
//! last turn overlaps with the next one. A model that ends shows that no wake-up was lost.
//! The end of a lane is in `shutdown.rs`.

use loom::sync::atomic::{AtomicU8, Ordering};
use mainstay::sync::Arc;
use mainstay::sync::doorbell::{Doorbell, Ring};
use mainstay::sync::lane::Lane;

use crate::support::{Mailbox, Message, bounded, drains, spawn, unbounded};

type Items = Lane<u8>;

fn drain(lane: &Items, taken: &mut Vec<u8>) {
    taken.extend(std::iter::from_fn(|| lane.pop()));
}

fn pushes_against_drains(turn: fn(&Items, &mut Vec<u8>)) {
    bounded(5, move || {
        let (lane, mailbox) = (Arc::new(Items::new()), Arc::new(Mailbox::new()));
        lane.set_wake(drains(&mailbox));
        let push = |item| {
            let lane = Arc::clone(&lane);
            spawn(move || {
                lane.push_quietly(item);
                assert!(lane.ring().is_ok());
            })
        };
        let threads = [push(1), push(2)];
        let mut taken = Vec::new();
        while taken.len() < 2 {
            assert_eq!(mailbox.receive(), Some(Message::Drain));
            assert_eq!(mailbox.len(), 0, "two wake-ups at once");
            turn(&lane, &mut taken);
        }
        threads.into_iter().for_each(|thread| thread.join());
    });
}

/// Two pushes against drains: every push is drained, with at most one `Drain` on its way (bounded). Guards F37.
#[test]
fn no_push_is_left_behind() {
    pushes_against_drains(|lane, taken| {
        lane.clear();
        drain(lane, taken);
    });
}

/// The twin drains, then clears.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_drain_before_clear() {
    pushes_against_drains(|lane, taken| {
        drain(lane, taken);
        lane.clear();
    });
}

/// Two rings at once: one of them wakes. Guards F57.
#[test]
fn one_ring_is_the_first() {
    unbounded(|| {
        let bell = Arc::new(Doorbell::new());
        let other = spawn({
            let bell = Arc::clone(&bell);
            move || bell.ring()
        });
        let rings = [bell.ring(), other.join()];
        assert_eq!(rings.iter().filter(|ring| **ring == Ring::First).count(), 1, "who wakes?");
    });
}

/// The twin loads, then stores.
#[test]
#[should_panic(expected = "who wakes?")]
fn twin_load_then_store() {
    fn ring(bell: &AtomicU8) -> Ring {
        if bell.load(Ordering::Acquire) == 1 {
            return Ring::Already;
        }
        bell.store(1, Ordering::Release);
        Ring::First
    }
    unbounded(|| {
        let bell = Arc::new(AtomicU8::new(0));
        let other = spawn({
            let bell = Arc::clone(&bell);
            move || ring(&bell)
        });
        let rings = [ring(&bell), other.join()];
        assert_eq!(rings.iter().filter(|ring| **ring == Ring::First).count(), 1, "who wakes?");
    });
}

fn a_push_against_a_restart(attach: fn(&Items, &Arc<Mailbox<Message>>)) {
    bounded(4, move || {
        let lane = Arc::new(Items::new());
        let (old, new) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        lane.set_wake(drains(&old));
        let pusher = spawn({
            let lane = Arc::clone(&lane);
            move || {
                lane.push_quietly(1);
                assert!(lane.ring().is_ok());
            }
        });
        let first_life = spawn({
            let (lane, old) = (Arc::clone(&lane), Arc::clone(&old));
            move || {
                let mut taken = Vec::new();
                if old.receive().is_some() {
                    lane.clear();
                    drain(&lane, &mut taken);
                }
                taken.len()
            }
        });
        old.die();
        attach(&lane, &new);
        let mut taken = Vec::new();
        if first_life.join() == 0 {
            while taken.is_empty() {
                assert_eq!(new.receive(), Some(Message::Drain));
                lane.clear();
                drain(&lane, &mut taken);
            }
        }
        pusher.join();
    });
}

/// A push against a death that takes the wake-up with it, and a restart (bounded). Guards F33, F37.
#[test]
fn what_waits_survives_a_restart() {
    a_push_against_a_restart(|lane, mailbox| lane.attach(drains(mailbox)));
}

/// The twin trusts the bell: it wakes itself only if nobody has rung.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_attach_trusts_the_bell() {
    a_push_against_a_restart(|lane, mailbox| {
        lane.set_wake(drains(mailbox));
        let _ = lane.ring();
    });
}

/// An old life, revoked in the middle of its last turn, finds no room in the log.
fn a_late_look_against_a_restart(leave: fn(&Items)) {
    unbounded(move || {
        let lane = Arc::new(Items::new());
        lane.push_quietly(1);
        let last_turn = spawn({
            let lane = Arc::clone(&lane);
            move || leave(&lane)
        });
        let mailbox = Arc::new(Mailbox::new());
        lane.attach(drains(&mailbox));
        let mut taken = Vec::new();
        while taken.is_empty() {
            assert_eq!(mailbox.receive(), Some(Message::Drain));
            lane.clear();
            drain(&lane, &mut taken);
        }
        last_turn.join();
    });
}

/// A command that a revoked life leaves against the first drain of the next one. Guards F33.
#[test]
fn what_an_old_life_leaves_is_found() {
    a_late_look_against_a_restart(|lane| assert!(lane.pop_if(|_| false).is_none()));
}

/// The twin takes it and puts it back.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_an_old_life_puts_it_back() {
    a_late_look_against_a_restart(|lane| lane.pop().into_iter().for_each(|item| lane.push_quietly(item)));
}
