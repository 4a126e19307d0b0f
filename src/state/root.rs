//! A root: immutable state of one shard at one position.
//!
//! Invariant: the map holds exactly the effects of all commands below `end`, so state and position are one value and
//! cannot come apart.
//!
//! Dropping the last reference to a root that many updates have left behind frees a great many nodes; that is the
//! reaper's work, so a root hands its map over instead of dropping it.

use std::sync::Arc;

use super::cold::ReadCold;
use super::map::Map;
use crate::model::{Position, Time};
use crate::sync::published::Positioned;

/// Takes maps that nobody needs any more.
pub trait Bury<E>: Send + Sync {
    /// Frees the map, not necessarily now.
    fn bury(&self, map: Map<E>);
}

/// See the module.
pub struct Root<E> {
    map: Map<E>,
    end: Position,
    time: Time,
    timeline: u64,
    digest: Option<[u8; 32]>,
    cold: Option<Arc<dyn ReadCold<E>>>,
    reaper: Arc<dyn Bury<E>>,
}

impl<E> Root<E> {
    /// A root of `map`, which holds everything below `end`; `time` is the last one logged.
    pub fn new(map: Map<E>, end: Position, time: Time, reaper: Arc<dyn Bury<E>>) -> Self {
        Self { map, end, time, timeline: 0, digest: None, cold: None, reaper }
    }

    /// The same, of a timeline of the runtime's: roots of different ones do not go together.
    #[must_use]
    pub fn of_timeline(mut self, timeline: u64) -> Self {
        self.timeline = timeline;
        self
    }

    /// The same, with the digest of its state.
    #[must_use]
    pub fn with_digest(mut self, digest: Option<[u8; 32]>) -> Self {
        self.digest = digest;
        self
    }

    /// The same, with who reads what is not in memory.
    #[must_use]
    pub fn with_cold(mut self, cold: Option<Arc<dyn ReadCold<E>>>) -> Self {
        self.cold = cold;
        self
    }

    /// Who reads what is not in memory; none where everything is.
    #[must_use]
    pub fn cold(&self) -> Option<&Arc<dyn ReadCold<E>>> {
        self.cold.as_ref()
    }

    /// The digest of the state, if somebody follows it.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// How many rollbacks it has behind it.
    #[must_use]
    pub fn timeline(&self) -> u64 {
        self.timeline
    }

    /// The state.
    #[must_use]
    pub fn map(&self) -> &Map<E> {
        &self.map
    }

    /// The last logged time.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }
}

impl<E> Positioned for Root<E> {
    fn end(&self) -> Position {
        self.end
    }
}

impl<E> Drop for Root<E> {
    fn drop(&mut self) {
        self.reaper.bury(std::mem::take(&mut self.map));
    }
}

impl<E> std::fmt::Debug for Root<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("end", &self.end).field("entries", &self.map.len()).finish()
    }
}
