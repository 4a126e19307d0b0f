//! Whether somebody watches a lane's deadlines: a watch that finds the lane empty ends, and whoever puts something
//! there begins one if there is none.
//!
//! Invariants: while something lies in the lane there is a watch, or whoever put it there is about to begin one; there
//! are never two.
//!
//! [`Watch::begin`] may do with a load: the watch clears the bell and *then* looks into the lane, under its locks. Who
//! was not seen there has pushed after that look, and the lane's lock makes the clear visible to it.

use super::doorbell::{Doorbell, Ring};

/// See the module. Rung while there is a watch.
#[derive(Debug)]
pub struct Watch(Doorbell);

impl Watch {
    /// Nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Doorbell::new())
    }

    /// After a push. `true`: nobody watches, and the caller has to begin.
    #[must_use]
    pub fn begin(&self) -> bool {
        !self.0.is_rung() && self.0.ring() == Ring::First
    }

    /// The watch's turn: `look` says what waits. `None`: nothing does, and the watch is over.
    pub fn turn<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if let Some(found) = look() {
            return Some(found);
        }
        self.0.clear();
        // What was put there before the clear relies on this watch; what came after it may have begun another.
        look().filter(|_| self.0.ring() == Ring::First)
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
