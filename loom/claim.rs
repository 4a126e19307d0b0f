//! The claim of one command: withdraw against accept, answer against poll, and ports that are dropped.
//!
//! In scope: who decides, that there is one answer and that the caller hears of it. Not modelled: tokio's scheduler; a
//! caller is a thread that sleeps between polls. Who takes an accepted port is in `commit.rs`.

use loom::sync::Mutex;
use mainstay::sync::Arc;
use mainstay::sync::claim::{Answer, Withdrawal, claim};

use crate::support::{Watched, position, spawn, unbounded, wait};

/// The caller's deadline against the shard: withdrawn or accepted, never both, and an accepted one is answered.
/// Guards F3, F59.
#[test]
fn withdrawn_or_accepted() {
    unbounded(|| {
        let (mut ticket, port) = claim::<u8>();
        let shard = spawn(move || {
            let accepted = port.accept(position(1, 1));
            if accepted {
                port.answer(7);
            }
            accepted
        });
        let withdrawn = match ticket.withdraw() {
            Withdrawal::Withdrawn => true,
            Withdrawal::Accepted(at) => {
                assert_eq!(at, position(1, 1));
                assert_eq!(wait(&mut ticket), Answer::Given(7));
                false
            }
            Withdrawal::Answered(answer) => {
                assert_eq!(answer, Answer::Given(7));
                false
            }
        };
        assert_ne!(withdrawn, shard.join(), "withdrawn and applied");
    });
}

/// The twin looks, lets go of the lock, and then decides.
#[test]
#[should_panic(expected = "withdrawn and applied")]
fn twin_look_then_decide() {
    fn decide(phase: &Mutex<u8>, decision: u8) -> bool {
        let is_waiting = *phase.lock().unwrap() == 0;
        if is_waiting {
            *phase.lock().unwrap() = decision;
        }
        is_waiting
    }
    unbounded(|| {
        let phase = Arc::new(Mutex::new(0));
        let shard = spawn({
            let phase = Arc::clone(&phase);
            move || decide(&phase, 2)
        });
        let withdrawn = decide(&phase, 1);
        assert_ne!(withdrawn, shard.join(), "withdrawn and applied");
    });
}

/// An answer, or a port that is dropped, against a caller that is falling asleep. Guards F2, F33.
#[test]
fn a_sleeping_caller_is_woken() {
    for answers in [true, false] {
        unbounded(move || {
            let (mut ticket, port) = claim::<u8>();
            let shard = spawn(move || {
                assert!(port.accept(position(1, 1)));
                if answers {
                    port.answer(7);
                }
            });
            let expected = match answers {
                true => Answer::Given(7),
                false => Answer::Abandoned(Some(position(1, 1))),
            };
            assert_eq!(wait(&mut ticket), expected);
            shard.join();
        });
    }
}

/// The twin looks for the answer first and leaves word where it sleeps afterwards.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_look_then_leave_word() {
    unbounded(|| {
        let shared = Arc::new((Mutex::new(None), Mutex::new(None::<Arc<Watched<bool>>>)));
        let shard = spawn({
            let shared = Arc::clone(&shared);
            move || {
                *shared.0.lock().unwrap() = Some(7);
                let sleeper = shared.1.lock().unwrap().take();
                if let Some(bed) = sleeper {
                    bed.change(|awake| *awake = true);
                }
            }
        });
        let answer = *shared.0.lock().unwrap();
        if answer.is_none() {
            let bed = Arc::new(Watched::new(false));
            *shared.1.lock().unwrap() = Some(Arc::clone(&bed));
            bed.wait(|awake| awake.then_some(()));
        }
        shard.join();
    });
}

/// A deadline's watch against the shard: given up or accepted, never both. Guards F3.
#[test]
fn expired_or_accepted() {
    unbounded(|| {
        let (mut ticket, port) = claim::<u8>();
        let port = Arc::new(port);
        let watch = spawn({
            let port = Arc::clone(&port);
            move || port.expire(5).map_or((), |waker| waker.wake())
        });
        let accepted = port.accept(position(1, 1));
        watch.join();
        drop(port);
        let expected = if accepted { Answer::Abandoned(Some(position(1, 1))) } else { Answer::Given(5) };
        assert_eq!(wait(&mut ticket), expected, "two verdicts");
    });
}

/// A dropped future against an accept: the command is applied whole or not at all, and nothing leaks. Guards F60.
#[test]
fn a_dropped_ticket_withdraws() {
    unbounded(|| {
        let (ticket, port) = claim::<u8>();
        let caller = spawn(move || drop(ticket));
        let accepted = port.accept(position(1, 1));
        assert!(!accepted || !port.accept(position(1, 2)), "accepted twice");
        port.answer(7);
        caller.join();
    });
}
