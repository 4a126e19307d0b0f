//! A mailbox with ractor's rules, and flume's where those are the same.
//!
//! Unbounded, first in, first out. A send to an actor that has died gives the message back; death drops what waits; a
//! stop overtakes it. Not here: supervision, and kills in the middle of a handler (a handler here has no await).

use std::collections::VecDeque;

use loom::sync::{Condvar, Mutex};

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    dead: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

impl<T> Mailbox<T> {
    pub fn new() -> Self {
        let state = State { waiting: VecDeque::new(), dead: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Gives the message back if nobody will ever read it.
    pub fn send(&self, message: T) -> Result<(), T> {
        let mut state = self.state.lock().unwrap();
        if state.dead {
            return Err(message);
        }
        state.waiting.push_back(message);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a message; `None` once the actor is stopped.
    pub fn receive(&self) -> Option<T> {
        let mut state = self.state.lock().unwrap();
        while state.waiting.is_empty() && !state.dead {
            state = self.arrived.wait(state).unwrap();
        }
        state.waiting.pop_front()
    }

    /// Takes a message if there is one.
    pub fn try_receive(&self) -> Option<T> {
        self.state.lock().unwrap().waiting.pop_front()
    }

    /// Stops or kills the actor: what waits is dropped.
    pub fn die(&self) {
        let mut state = self.state.lock().unwrap();
        state.dead = true;
        state.waiting.clear();
        self.arrived.notify_all();
    }

    pub fn len(&self) -> usize {
        self.state.lock().unwrap().waiting.len()
    }
}
