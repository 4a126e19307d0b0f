//! A hold against pushes: a lane that is left alone for a while is drained afterwards.
//!
//! In scope: the real lane, bell and [`Holder`]; a hold that is released or ends by itself, while a client pushes.
//! Not modelled: the coordinator (`cut.rs`), and the order of messages (`tests/explore`).

use mainstay::protocol::hold::{CutId, Effect, Event, Holder};
use mainstay::sync::Arc;
use mainstay::sync::claim::{Answer, Port, claim};
use mainstay::sync::lane::Lane;

use crate::support::{Mailbox, position, spawn, unbounded, wait};

type Items = Lane<Port<&'static str>>;

const CUT: CutId = CutId(1);

/// What the shard's mailbox holds.
#[derive(Clone, Copy)]
enum Mail {
    Drain,
    About(Event),
}

fn drain(lane: &Items) {
    lane.clear();
    while let Some(port) = lane.pop() {
        if port.accept(position(1, 1)) {
            port.answer("executed");
        }
    }
}

/// The shard, until it is stopped.
fn serve(lane: &Items, mailbox: &Mailbox<Mail>, resume: fn(&Items)) {
    let mut core = Holder::new(1);
    while let Some(mail) = mailbox.receive() {
        match mail {
            Mail::Drain if core.is_holding() => {}
            Mail::Drain => drain(lane),
            Mail::About(event) => {
                let mut effects = Vec::new();
                core.on_event(event, &mut effects);
                effects.contains(&Effect::Resume).then(|| resume(lane));
            }
        }
    }
}

fn a_hold_against_a_push(end: Event, resume: fn(&Items)) {
    unbounded(move || {
        let (lane, mailbox) = (Arc::new(Items::new()), Arc::new(Mailbox::new()));
        lane.attach({
            let mailbox = Arc::clone(&mailbox);
            Box::new(move || {
                let _ = mailbox.send(Mail::Drain);
            })
        });
        let shard = spawn({
            let (lane, mailbox) = (Arc::clone(&lane), Arc::clone(&mailbox));
            move || serve(&lane, &mailbox, resume)
        });
        let coordinator = spawn({
            let mailbox = Arc::clone(&mailbox);
            move || {
                let _ = mailbox.send(Mail::About(Event::Hold { cut: CUT, now_ms: 0, is_clear: true }));
                let _ = mailbox.send(Mail::About(end));
            }
        });
        let (mut ticket, port) = claim();
        assert!(lane.push(port).is_ok());
        assert_eq!(wait(&mut ticket), Answer::Given("executed"));
        coordinator.join();
        mailbox.die();
        shard.join();
        lane.close();
    });
}

/// Nothing stays in a lane that was held. Guards F37, F57.
#[test]
fn nothing_stays_behind_a_hold() {
    a_hold_against_a_push(Event::Release { cut: CUT }, drain);
}

/// The same if the coordinator is never heard of again. Guards F33.
#[test]
fn nothing_stays_behind_a_hold_that_ends_by_itself() {
    a_hold_against_a_push(Event::Time { now_ms: 1 }, drain);
}

/// The twin only rings: the bell was rung before, and its message was for a shard that held.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_ring_instead_of_a_drain() {
    a_hold_against_a_push(Event::Release { cut: CUT }, |lane| drop(lane.ring()));
}
