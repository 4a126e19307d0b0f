//! The end of a lane: a submit against the close, and a command that there is no room for against it.
//!
//! In scope: each command gets one answer, and none is lost: drained and answered, refused, or withdrawn by its caller,
//! who finds the lane closed. Not modelled: the callers' deadlines, which would only hide a command that is lost, and
//! the order of the shutdown's messages (`tests/explore`).

use mainstay::sync::Arc;
use mainstay::sync::claim::{Answer, Port, Withdrawal, claim};
use mainstay::sync::lane::Lane;

use crate::support::{Mailbox, bounded, drains, position, spawn, unbounded, wait};

type Items = Lane<Port<&'static str>>;

/// `Runtime::submit` without its deadline.
fn submit(lane: &Items) -> &'static str {
    let (mut ticket, port) = claim();
    lane.push_quietly(port);
    let _ = lane.ring();
    if lane.is_closed() {
        match ticket.withdraw() {
            Withdrawal::Withdrawn => return "withdrawn",
            Withdrawal::Answered(Answer::Given(answer)) => return answer,
            Withdrawal::Answered(Answer::Abandoned(_)) => panic!("nobody has answered"),
            Withdrawal::Accepted(_) => {}
        }
    }
    let Answer::Given(answer) = wait(&mut ticket) else { panic!("nobody has answered") };
    answer
}

fn refuse_all(lane: &Items) {
    std::iter::from_fn(|| lane.pop()).for_each(|port| port.answer("refused"));
}

/// The shard's turn: what waits is executed. Returns how much.
fn execute_all(lane: &Items) -> usize {
    let mut executed = 0;
    while let Some(port) = lane.pop() {
        if port.accept(position(1, 1)) {
            port.answer("executed");
            executed += 1;
        }
    }
    executed
}

fn submits_against_a_close(close: fn(&Items)) {
    bounded(4, move || {
        let (lane, mailbox) = (Arc::new(Items::new()), Arc::new(Mailbox::new()));
        lane.attach(drains(&mailbox));
        let caller = || {
            let lane = Arc::clone(&lane);
            spawn(move || submit(&lane))
        };
        let callers = [caller(), caller()];
        // The shard is told to finish; a `Drain` that comes later finds a dead actor.
        let executed = execute_all(&lane);
        close(&lane);
        let answers = callers.map(|caller| caller.join());
        let told = answers.iter().filter(|answer| **answer == "executed").count();
        assert_eq!(told, executed, "executed, and told otherwise");
    });
}

/// Two submits against a shard that finishes (bounded). Guards F37, F60.
#[test]
fn every_submit_is_answered() {
    submits_against_a_close(|lane| {
        lane.close();
        refuse_all(lane);
    });
}

/// The twin drains, then closes.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_drain_before_close() {
    submits_against_a_close(|lane| {
        refuse_all(lane);
        lane.close();
    });
}

/// The shard finds no room and leaves a command where it is, while its supervisor closes the lane.
fn no_room_against_a_close(leave: fn(&Items)) {
    unbounded(move || {
        let lane = Arc::new(Items::new());
        let (mut ticket, port) = claim();
        lane.push_quietly(port);
        let shard = spawn({
            let lane = Arc::clone(&lane);
            move || leave(&lane)
        });
        lane.close();
        refuse_all(&lane);
        assert_eq!(wait(&mut ticket), Answer::Given("refused"));
        shard.join();
    });
}

/// A command that the shard only looks at is refused by whoever closes the lane. Guards F33, F57.
#[test]
fn what_is_left_is_refused() {
    no_room_against_a_close(|lane| assert!(lane.pop_if(|_| false).is_none()));
}

/// The twin takes it first and puts it back.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_take_and_put_back() {
    no_room_against_a_close(|lane| {
        if let Some(port) = lane.pop() {
            lane.push_quietly(port);
        }
    });
}
