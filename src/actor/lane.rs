//! A data lane: a queue with a doorbell beside an actor's mailbox.
//!
//! A push rings; the first ring after a drain sends the actor one `Drain` message, through the address that its present
//! incarnation has left here. The lane outlives the actor, so what waits in it survives a restart.
//!
//! Bound: the queue itself has none; whoever pushes holds [credits](super::credits), which do.

use std::collections::VecDeque;

use crate::sync::Mutex;
use crate::sync::doorbell::{Doorbell, Ring};

/// Sends the `Drain` message.
pub(crate) type Wake = Box<dyn Fn() + Send>;

/// See the module.
pub(crate) struct Lane<T> {
    sender: flume::Sender<T>,
    receiver: flume::Receiver<T>,
    bell: Doorbell,
    wake: Mutex<Option<Wake>>,
    /// Taken from the queue and put back: these are next, also for another incarnation. More than one only while an
    /// old incarnation that was killed in its last turn overlaps with the next.
    front: Mutex<VecDeque<T>>,
}

/// The lane was closed before the push could be seen.
#[derive(Debug)]
pub(crate) struct Closed;

impl<T> Lane<T> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = flume::unbounded();
        Self { sender, receiver, bell: Doorbell::new(), wake: Mutex::new(None), front: Mutex::new(VecDeque::new()) }
    }

    /// Pushes and rings. `Err`: nobody may ever look at it, the caller has to take it back.
    pub(crate) fn push(&self, item: T) -> Result<(), Closed> {
        self.push_quietly(item);
        self.ring()
    }

    /// Pushes; a [`Lane::ring`] must follow.
    pub(crate) fn push_quietly(&self, item: T) {
        // Cannot fail: the receiver lies beside the sender.
        let _ = self.sender.send(item);
    }

    /// Has the actor drain the lane soon.
    pub(crate) fn ring(&self) -> Result<(), Closed> {
        match self.bell.ring() {
            Ring::First => self.wake(),
            Ring::Already => {}
            Ring::Closed => return Err(Closed),
        }
        Ok(())
    }

    /// A new incarnation drains from now on: it is woken once, whatever the bell says, because a wake-up of the old one
    /// may have been lost.
    pub(crate) fn attach(&self, wake: Wake) {
        *self.wake.lock() = Some(wake);
        self.bell.clear();
        let _ = self.bell.ring();
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = &*self.wake.lock() {
            wake();
        }
    }

    /// To be called before a drain.
    pub(crate) fn clear(&self) {
        self.bell.clear();
    }

    pub(crate) fn pop(&self) -> Option<T> {
        if let Some(item) = self.front.lock().pop_front() {
            return Some(item);
        }
        self.receiver.try_recv().ok()
    }

    /// Makes a popped item the next one again.
    pub(crate) fn put_back(&self, item: T) {
        self.front.lock().push_front(item);
    }

    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Ends the lane: pushes that the caller's next drain does not see are refused.
    pub(crate) fn close(&self) {
        self.bell.close();
        *self.wake.lock() = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.bell.is_closed()
    }
}
