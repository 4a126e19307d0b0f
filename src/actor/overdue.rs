//! Deadlines of commands that wait in a lane: one timer for all of them. One for each would cost a sixth of what
//! durable writers get done.
//!
//! A lane is *watched* from when something is put into it, until it is found empty: at the first deadline that can
//! come, what is overdue is answered, and the next deadline is the next look. Whoever puts a command into a lane sees
//! to it that it is watched.
//!
//! The watch is a thread, one for each runtime, so that deadlines hold whatever the tokio runtimes of actors and
//! callers do. It ends with the last slot.
//!
//! It is looked at in time for commands that were pushed at once; a caller who waited for credits first has less time
//! left and a timer of its own. That no command waits unwatched is [`sync::watch`](crate::sync::watch)'s.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError, Sender};

use super::slot::Slot;
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::sync::watch::Watch;
use crate::sync::{Arc, Weak};

/// So many looks into a full lane while a command waits there, at most: it is answered that much late, too.
const LOOKS: u32 = 64;

/// A slot's part of it.
pub(crate) struct Deadlines<M: StateMachine> {
    watch: Watch,
    patience: Duration,
    thread: Sender<Watched<M>>,
}

/// A lane that is watched. Weak: a runtime that has ended is not kept for the rest of a deadline.
pub(crate) struct Watched<M: StateMachine> {
    slot: Weak<Slot<M>>,
    look_at: Instant,
}

/// Starts the thread.
pub(crate) fn start<M: StateMachine>(runtime: &str) -> io::Result<Sender<Watched<M>>> {
    let (sender, receiver) = flume::unbounded();
    std::thread::Builder::new().name(format!("{runtime}/watch")).spawn(move || keep_watch(&receiver))?;
    Ok(sender)
}

impl<M: StateMachine> Deadlines<M> {
    /// Of commands whose callers are so patient.
    pub(crate) fn new(patience: Duration, thread: Sender<Watched<M>>) -> Self {
        Self { watch: Watch::new(), patience, thread }
    }
}

/// To be called after a command was put into the lane.
pub(crate) fn watch<M: StateMachine>(slot: &Arc<Slot<M>>) {
    let Deadlines { watch, patience, thread } = &slot.deadlines;
    if watch.begin() {
        let look_at = Instant::now() + *patience;
        let _ = thread.send(Watched { slot: Arc::downgrade(slot), look_at });
    }
}

fn keep_watch<M: StateMachine>(lanes: &Receiver<Watched<M>>) {
    let mut watched: Vec<Watched<M>> = Vec::new();
    loop {
        let another = match watched.iter().map(|lane| lane.look_at).min() {
            Some(next) => lanes.recv_deadline(next),
            None => lanes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match another {
            Ok(another) => watched.push(another),
            Err(RecvTimeoutError::Timeout) => watched.retain_mut(Watched::look),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl<M: StateMachine> Watched<M> {
    /// Looks, if it is time to. Does the watch go on?
    fn look(&mut self) -> bool {
        let now = Instant::now();
        if now < self.look_at {
            return true;
        }
        let Some(slot) = self.slot.upgrade() else { return false };
        let Deadlines { watch, patience, .. } = &slot.deadlines;
        let Some(next) = watch.turn(|| answer_overdue(&slot, now)) else { return false };
        // A look is at all that waits: deadlines close to each other share one.
        self.look_at = next.max(now + (*patience / LOOKS).max(Duration::from_millis(1)));
        true
    }
}

/// Answers what is overdue and says when the next command will be, if any waits.
fn answer_overdue<M: StateMachine>(slot: &Slot<M>, now: Instant) -> Option<Instant> {
    let (mut next, mut wakers) = (None::<Instant>, Vec::new());
    slot.lane.look_at_all(|waiting| {
        if waiting.deadline > now {
            next = Some(next.map_or(waiting.deadline, |next| next.min(waiting.deadline)));
        } else {
            wakers.extend(waiting.port.expire(Err(SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept))));
        }
    });
    for waker in wakers {
        // Somebody else's code, and everybody's deadlines are this thread's.
        if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
            tracing::error!("a waker panicked");
        }
    }
    next
}
