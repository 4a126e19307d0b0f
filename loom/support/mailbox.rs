//! A mailbox with ractor's rules.
//!
//! Unbounded, first in, first out. A send to an actor that has died gives the message back; death drops what waits; a
//! stop overtakes it. Not here: supervision, and kills in the middle of a handler (a handler here has no await).

use std::collections::VecDeque;

use mainstay::sync::Arc;
use mainstay::sync::lane::Wake;

use super::{Message, Watched};

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    dead: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Mailbox<T>(Watched<State<T>>);

impl<T> Mailbox<T> {
    pub fn new() -> Self {
        Self(Watched::new(State { waiting: VecDeque::new(), dead: false }))
    }

    /// Gives the message back if nobody will ever read it.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.0.change(|state| {
            if state.dead {
                return Err(message);
            }
            state.waiting.push_back(message);
            Ok(())
        })
    }

    /// Waits for a message; `None` once the actor is stopped.
    pub fn receive(&self) -> Option<T> {
        self.0.wait(|state| match state.waiting.pop_front() {
            None if !state.dead => None,
            next => Some(next),
        })
    }

    /// Stops or kills the actor: what waits is dropped.
    pub fn die(&self) {
        self.0.change(|state| {
            state.dead = true;
            state.waiting.clear();
        });
    }

    pub fn len(&self) -> usize {
        self.0.with(|state| state.waiting.len())
    }
}

/// How a lane wakes the actor of a mailbox.
pub fn drains(mailbox: &Arc<Mailbox<Message>>) -> Wake {
    let mailbox = Arc::clone(mailbox);
    Box::new(move || {
        let _ = mailbox.send(Message::Drain);
    })
}
