//! A command's claim: who may still decide about it, and where its answer goes.
//!
//! ```text
//! Waiting --withdraw--> Withdrawn      the caller gave up: it will never be applied
//!    |                                 (or the caller's future was dropped)
//!    +----accept-------> Accepted ----answer----> Answered ----poll----> Collected
//!    +----answer, expire (a refusal)------------>
//! ```
//! The caller holds a [`Ticket`], whoever is to answer the [`Port`]. A port that is dropped unanswered says so, with
//! the position if the command was accepted, so that no caller ever waits for nobody.
//!
//! Invariants: a command is withdrawn or accepted, never both; it gets exactly one answer; a withdrawn one gets none.
//! One lock guards the whole transition: it is held for a few instructions, by at most two parties.

use std::task::{Context, Poll, Waker};

use super::{Arc, Mutex};
use crate::model::Position;

#[derive(Debug)]
enum Phase<T> {
    Waiting(Option<Waker>),
    Withdrawn,
    Accepted(Position, Option<Waker>),
    Answered(Answer<T>),
    Collected,
}

/// What a caller learns.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// The answer.
    Given(T),
    /// The port was dropped; with the position if the command had been accepted.
    Abandoned(Option<Position>),
}

/// What [`Ticket::withdraw`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Withdrawal<T> {
    /// The command will never be applied.
    Withdrawn,
    /// Too late: it was accepted, and the answer is still to come.
    Accepted(Position),
    /// Too late: here is the answer.
    Answered(Answer<T>),
}

/// The caller's side. Dropping it withdraws.
#[derive(Debug)]
pub struct Ticket<T>(Arc<Mutex<Phase<T>>>);

/// The answering side. Dropping it abandons the caller.
#[derive(Debug)]
pub struct Port<T>(Option<Arc<Mutex<Phase<T>>>>);

/// A new claim, waiting.
#[must_use]
pub fn claim<T>() -> (Ticket<T>, Port<T>) {
    let phase = Arc::new(Mutex::new(Phase::Waiting(None)));
    (Ticket(Arc::clone(&phase)), Port(Some(phase)))
}

impl<T> Ticket<T> {
    /// Looks for the answer.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answer<T>> {
        let mut phase = self.0.lock();
        match &mut *phase {
            Phase::Waiting(waker) | Phase::Accepted(_, waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            Phase::Withdrawn | Phase::Collected => return Poll::Pending,
            Phase::Answered(_) => {}
        }
        match std::mem::replace(&mut *phase, Phase::Collected) {
            Phase::Answered(answer) => Poll::Ready(answer),
            _ => Poll::Pending,
        }
    }

    /// Gives the command up, if nobody has accepted it.
    pub fn withdraw(&mut self) -> Withdrawal<T> {
        let mut phase = self.0.lock();
        match std::mem::replace(&mut *phase, Phase::Withdrawn) {
            Phase::Accepted(position, waker) => {
                *phase = Phase::Accepted(position, waker);
                Withdrawal::Accepted(position)
            }
            Phase::Answered(answer) => {
                *phase = Phase::Collected;
                Withdrawal::Answered(answer)
            }
            Phase::Collected => {
                *phase = Phase::Collected;
                Withdrawal::Withdrawn
            }
            Phase::Waiting(_) | Phase::Withdrawn => Withdrawal::Withdrawn,
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        let _ = self.withdraw();
    }
}

impl<T> Port<T> {
    /// Accepts the command under a position. `false`: it was withdrawn and must not be applied.
    pub fn accept(&self, position: Position) -> bool {
        let Some(shared) = &self.0 else { return false };
        let mut phase = shared.lock();
        if let Phase::Waiting(waker) = &mut *phase {
            let waker = waker.take();
            *phase = Phase::Accepted(position, waker);
            return true;
        }
        false
    }

    /// Answers a command that still waits, and is neither accepted nor given up. The port stays, and accepts nothing.
    /// Returns whom to wake, once the caller holds no lock: a waker is somebody else's code.
    #[must_use]
    pub fn expire(&self, answer: T) -> Option<Waker> {
        let mut phase = self.0.as_ref()?.lock();
        let Phase::Waiting(waker) = &mut *phase else { return None };
        let waker = waker.take();
        *phase = Phase::Answered(Answer::Given(answer));
        waker
    }

    /// Answers.
    pub fn answer(mut self, answer: T) {
        self.finish(|_| Answer::Given(answer));
    }

    fn finish(&mut self, answer: impl FnOnce(Option<Position>) -> Answer<T>) {
        let Some(shared) = self.0.take() else { return };
        let mut phase = shared.lock();
        let waker = match &mut *phase {
            Phase::Waiting(waker) => {
                let waker = waker.take();
                *phase = Phase::Answered(answer(None));
                waker
            }
            Phase::Accepted(position, waker) => {
                let (position, waker) = (*position, waker.take());
                *phase = Phase::Answered(answer(Some(position)));
                waker
            }
            Phase::Withdrawn | Phase::Answered(_) | Phase::Collected => None,
        };
        drop(phase);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Port<T> {
    fn drop(&mut self) {
        self.finish(Answer::Abandoned);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
