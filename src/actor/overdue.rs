//! Deadlines of commands that wait in a lane: one timer for all of them. One for each would cost a sixth of what
//! durable writers get done.
//!
//! A *watch* is a task that sleeps until the first deadline that can come, answers what is overdue then, and goes on
//! until it finds the lane empty. Whoever puts a command into the lane sees to it that there is one.
//!
//! Invariant: while a command waits in the lane, there is a watch, or whoever put the command there is about to start
//! it. It comes in time for commands that were pushed at once; a caller who waited for credits first has less time left
//! and a timer of its own.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::slot::Slot;
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::sync::doorbell::{Doorbell, Ring};
use crate::sync::{Arc, Weak};

/// See the module.
pub(crate) struct Watch {
    /// Rung while there is one.
    running: Doorbell,
    patience: Duration,
    runtime: Handle,
}

impl Watch {
    /// A watch of commands whose callers are so patient, on the tokio runtime of whoever calls.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { running: Doorbell::new(), patience, runtime: Handle::current() }
    }
}

/// To be called after a command was put into the lane.
pub(crate) fn watch<M: StateMachine>(slot: &Arc<Slot<M>>) {
    // The look is enough: whoever clears the bell looks into the lane afterwards, and the lane's lock makes that clear
    // visible here if the command is not visible there.
    if !slot.watch.running.is_rung() && slot.watch.running.ring() == Ring::First {
        let first = Instant::now() + slot.watch.patience;
        slot.watch.runtime.spawn(keep_watch(Arc::downgrade(slot), first));
    }
}

/// Weak: a runtime that has ended is not kept for the rest of a deadline.
async fn keep_watch<M: StateMachine>(slot: Weak<Slot<M>>, mut next: Instant) {
    loop {
        sleep_until(next).await;
        let Some(slot) = slot.upgrade() else { return };
        if let Some(deadline) = answer_overdue(&slot) {
            next = deadline;
            continue;
        }
        slot.watch.running.clear();
        // What was put there before the clear had its watch in this one.
        match answer_overdue(&slot) {
            Some(deadline) if slot.watch.running.ring() == Ring::First => next = deadline,
            _ => return,
        }
    }
}

/// Answers what is overdue and says when the next command will be, if any waits.
fn answer_overdue<M: StateMachine>(slot: &Slot<M>) -> Option<Instant> {
    let now = Instant::now();
    let mut next: Option<Instant> = None;
    slot.lane.look_at_all(|waiting| {
        if waiting.deadline <= now {
            waiting.port.expire(Err(SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept)));
        } else {
            next = Some(next.map_or(waiting.deadline, |next| next.min(waiting.deadline)));
        }
    });
    next
}
