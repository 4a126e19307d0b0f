//! The doorbell of a lane: many pushes, one wake-up.
//!
//! A producer pushes and rings; only the first ring after a drain asks for a `Drain` message. The consumer clears the
//! bell and *then* drains, so what is pushed after the drain rings again. Closing the bell is how a lane ends: whoever
//! pushed after the last drain learns it from its own ring.
//!
//! Invariants: nothing stays in a lane without a wake-up on its way; at most one `Drain` is in flight; a push either
//! happens before the drain that follows [`Doorbell::close`] or its ring says [`Ring::Closed`].
//!
//! To ring, clear and close are read-modify-writes of one byte, so they are totally ordered, and each sees what was
//! pushed before any that came earlier.

use super::atomic::{AtomicU8, Ordering};

const RUNG: u8 = 1;
const CLOSED: u8 = 2;

/// See the module.
#[derive(Debug)]
pub struct Doorbell(AtomicU8);

/// What a ring found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The caller must send the `Drain` message.
    First,
    /// A drain that will see the push is on its way.
    Already,
    /// Nobody may drain the lane any more: the caller must take its push back.
    Closed,
}

impl Doorbell {
    /// A bell that nobody has rung.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Rings, after a push.
    pub fn ring(&self) -> Ring {
        match self.0.fetch_or(RUNG, Ordering::AcqRel) {
            0 => Ring::First,
            RUNG => Ring::Already,
            _ => Ring::Closed,
        }
    }

    /// Clears the bell, before a drain.
    pub fn clear(&self) {
        self.0.fetch_and(!RUNG, Ordering::AcqRel);
    }

    /// Has it been rung? Only a hint, but for who knows by other means that a clear came before.
    pub fn is_rung(&self) -> bool {
        self.0.load(Ordering::Relaxed) & RUNG != 0
    }

    /// Closes the bell for good, before the last drain.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Is it closed?
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}
