//! The timeline that the lives of a shard may begin in, and how a rollback ends one.
//!
//! A life that was recovered before a rollback must not begin behind it, and one that has begun must not go on. The
//! look at the timeline and what follows from it, to begin or to revoke, are one step under a lock. Nor may a shard go
//! on while another still answers in the timeline before: so a timeline ends in every shard first, and then the next
//! one is opened in each.
//!
//! Invariants: once [`Timeline::end`] has returned, nothing that has begun in an earlier timeline is left unrevoked,
//! and nothing begins, there or in the next one, until that is opened; a timeline never comes back.

use super::Mutex;

/// See the module.
#[derive(Debug)]
pub struct Timeline(Mutex<Present>);

#[derive(Debug)]
struct Present {
    timeline: u64,
    is_open: bool,
}

impl Timeline {
    /// Lives may begin in this one.
    #[must_use]
    pub fn new(present: u64) -> Self {
        Self(Mutex::new(Present { timeline: present, is_open: true }))
    }

    /// Begins something in a timeline. `false`: that one is not the present one, or not open yet, and nothing has
    /// happened.
    pub fn begin(&self, timeline: u64, begin: impl FnOnce()) -> bool {
        let present = self.0.lock();
        let may_begin = present.timeline == timeline && present.is_open;
        if may_begin {
            begin();
        }
        may_begin
    }

    /// Ends all timelines before `next`; `revoke` ends what has begun there, and hands out whom to tell when the lock
    /// is gone. `None`: they were ended before, and nothing has happened.
    pub fn end<R>(&self, next: u64, revoke: impl FnOnce() -> R) -> Option<R> {
        let mut present = self.0.lock();
        if present.timeline >= next {
            return None;
        }
        *present = Present { timeline: next, is_open: false };
        Some(revoke())
    }

    /// Lives may begin in this timeline, if it is the present one.
    pub fn open(&self, timeline: u64) {
        let mut present = self.0.lock();
        present.is_open |= present.timeline == timeline;
    }
}
