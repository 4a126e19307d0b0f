//! A number that only goes up: everything below it has happened.
//!
//! Invariant: whoever reads a value also sees everything that was done before it was raised.

use super::atomic::{AtomicU64, Ordering};
use crate::model::Lsn;

/// An exclusive end that never goes back.
#[derive(Debug)]
pub struct Watermark(AtomicU64);

impl Watermark {
    /// Starts at `end`.
    #[must_use]
    pub fn new(end: Lsn) -> Self {
        Self(AtomicU64::new(end.0))
    }

    /// The end now.
    pub fn get(&self) -> Lsn {
        Lsn(self.0.load(Ordering::Acquire))
    }

    /// Raises it to `end`, if that is further on.
    pub fn raise(&self, end: Lsn) {
        self.0.fetch_max(end.0, Ordering::AcqRel);
    }
}
