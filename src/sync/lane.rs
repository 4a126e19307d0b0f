//! A data lane: a queue with a doorbell beside an actor's mailbox.
//!
//! A push rings; the first ring after a drain sends the actor one `Drain` message, through the address that its present
//! incarnation has left here. The lane outlives the actor, so what waits in it survives a restart.
//!
//! Two buffers: producers push into one, the consumer takes from the other and swaps them when its own is empty, so the
//! two sides meet at a lock once a drain and not once an item.
//!
//! Invariant: items come out in the order of their pushes, each once, and lie here until somebody has taken them for
//! good.
//! Bound: the queue itself has none; whoever pushes holds credits, which do.

use std::collections::VecDeque;

use super::Mutex;
use super::doorbell::{Doorbell, Ring};

/// A buffer that a burst has made larger is not kept.
const KEPT_ITEMS: usize = 4_096;

/// Sends the `Drain` message.
pub type Wake = Box<dyn Fn() + Send>;

/// See the module.
pub struct Lane<T> {
    pushed: Mutex<VecDeque<T>>,
    /// Taken from there in one piece: these are next, also for another incarnation.
    taken: Mutex<VecDeque<T>>,
    bell: Doorbell,
    wake: Mutex<Option<Wake>>,
}

/// The lane was closed before the push could be seen.
#[derive(Debug)]
pub struct Closed;

impl<T> Lane<T> {
    /// An empty lane that nobody drains yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pushed: Mutex::new(VecDeque::new()),
            taken: Mutex::new(VecDeque::new()),
            bell: Doorbell::new(),
            wake: Mutex::new(None),
        }
    }

    /// Pushes and rings.
    ///
    /// # Errors
    /// Nobody may ever look at it: the caller has to take it back.
    pub fn push(&self, item: T) -> Result<(), Closed> {
        self.push_quietly(item);
        self.ring()
    }

    /// Pushes; a [`Lane::ring`] must follow.
    pub fn push_quietly(&self, item: T) {
        self.pushed.lock().push_back(item);
    }

    /// Has the actor drain the lane soon.
    ///
    /// # Errors
    /// The lane is closed.
    pub fn ring(&self) -> Result<(), Closed> {
        match self.bell.ring() {
            Ring::First => self.wake(),
            Ring::Already => {}
            Ring::Closed => return Err(Closed),
        }
        Ok(())
    }

    /// A new incarnation drains from now on: it is woken once, whatever the bell says, because a wake-up of the old one
    /// may have been lost.
    pub fn attach(&self, wake: Wake) {
        self.set_wake(wake);
        self.bell.clear();
        let _ = self.bell.ring();
        self.wake();
    }

    /// Leaves another address. Only a part of [`Lane::attach`].
    pub fn set_wake(&self, wake: Wake) {
        *self.wake.lock() = Some(wake);
    }

    fn wake(&self) {
        if let Some(wake) = &*self.wake.lock() {
            wake();
        }
    }

    /// To be called before a drain.
    pub fn clear(&self) {
        self.bell.clear();
    }

    /// Takes the next item.
    pub fn pop(&self) -> Option<T> {
        self.pop_if(|_| true)
    }

    /// Takes the next item if it is wanted. One that is not stays the next one.
    pub fn pop_if(&self, wanted: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let mut taken = self.taken.lock();
        if taken.is_empty() {
            self.refill(&mut taken);
        }
        taken.pop_front_if(wanted)
    }

    fn refill(&self, taken: &mut VecDeque<T>) {
        if taken.capacity() > KEPT_ITEMS {
            *taken = VecDeque::new();
        }
        std::mem::swap(taken, &mut *self.pushed.lock());
    }

    /// Shows the next items, at most so many, to whoever is about to take them.
    pub fn look_ahead(&self, count: usize, mut look: impl FnMut(&T)) {
        let mut taken = self.taken.lock();
        if taken.is_empty() {
            self.refill(&mut taken);
        }
        taken.iter().take(count).for_each(&mut look);
    }

    /// Shows all items that wait.
    pub fn look_at_all(&self, mut look: impl FnMut(&T)) {
        // Both at a time, or one that moves over is missed.
        let taken = self.taken.lock();
        let pushed = self.pushed.lock();
        taken.iter().chain(pushed.iter()).for_each(&mut look);
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.taken.lock().len() + self.pushed.lock().len()
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the lane: pushes that the caller's next drain does not see are refused.
    pub fn close(&self) {
        self.bell.close();
        *self.wake.lock() = None;
    }

    /// Is it closed?
    pub fn is_closed(&self) -> bool {
        self.bell.is_closed()
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self::new()
    }
}
