//! The timeline that the lives of a shard may begin in, and how a rollback ends one.
//!
//! A life that was recovered before a rollback must not begin behind it, and one that has begun must not go on. The
//! look at the timeline and what follows from it, to begin or to revoke, are one step under a lock.
//!
//! Invariants: once [`Timeline::end`] has returned, nothing that has begun in an earlier timeline is left unrevoked,
//! and nothing begins there any more; a timeline never comes back.

use super::Mutex;

/// See the module.
#[derive(Debug)]
pub struct Timeline(Mutex<u64>);

impl Timeline {
    /// Lives may begin in this one.
    #[must_use]
    pub fn new(present: u64) -> Self {
        Self(Mutex::new(present))
    }

    /// Begins something in a timeline. `false`: that one is not the present one, and nothing has happened.
    pub fn begin(&self, timeline: u64, begin: impl FnOnce()) -> bool {
        let present = self.0.lock();
        let is_present = *present == timeline;
        if is_present {
            begin();
        }
        is_present
    }

    /// Ends all timelines before `next`; `revoke` ends what has begun there. `false`: they were ended before, and
    /// nothing has happened.
    pub fn end(&self, next: u64, revoke: impl FnOnce()) -> bool {
        let mut present = self.0.lock();
        let is_new = *present < next;
        if is_new {
            *present = next;
            revoke();
        }
        is_new
    }
}
