//! Mutants: the crate with one step made wrong, for tests that show that the others would notice.
//!
//! Each is one of the classic bugs: answering before the sync, trying a failed sync again, letting an old incarnation
//! go on. They are switched on for the whole process, by tests that run alone in it. Without the feature `mutants`, and
//! under loom, there is no switch: every function here hands through what it is given.

use crate::model::{Durability, SyncPolicy};

/// A step that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// Callers are told `Durable` when the frame is written; the sync comes a little later.
    EarlyAnswer = 1,
    /// A sync that fails is tried again, on the same file.
    IgnoredLatch = 2,
    /// An incarnation that is revoked may go on.
    StaleIncarnation = 4,
}

#[cfg(all(feature = "mutants", not(loom)))]
mod switch {
    use super::Mutant;
    use crate::sync::atomic::{AtomicU8, Ordering};

    static ON: AtomicU8 = AtomicU8::new(0);

    /// Turns a mutant on or off, for every runtime of the process.
    pub fn switch(mutant: Mutant, on: bool) {
        let bit = mutant as u8;
        if on {
            ON.fetch_or(bit, Ordering::SeqCst);
        } else {
            ON.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    /// Is it on?
    pub fn is_on(mutant: Mutant) -> bool {
        ON.load(Ordering::Relaxed) & mutant as u8 != 0
    }
}

#[cfg(not(all(feature = "mutants", not(loom))))]
mod switch {
    /// There is no switch.
    pub(crate) const fn is_on(_mutant: super::Mutant) -> bool {
        false
    }
}

#[cfg(not(all(feature = "mutants", not(loom))))]
pub(crate) use switch::is_on;
#[cfg(all(feature = "mutants", not(loom)))]
pub use switch::{is_on, switch};

/// The policy that a writer follows.
#[must_use]
pub fn policy(policy: SyncPolicy) -> SyncPolicy {
    let late = SyncPolicy::Interval(std::time::Duration::from_millis(1));
    if is_on(Mutant::EarlyAnswer) { late } else { policy }
}

/// What a receipt says.
#[must_use]
pub fn durability(durability: Durability) -> Durability {
    if is_on(Mutant::EarlyAnswer) { Durability::Durable } else { durability }
}

/// Carries out a sync.
///
/// # Errors
/// Those of the sync.
pub fn sync<E>(mut sync: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    match sync() {
        Err(_) if is_on(Mutant::IgnoredLatch) => sync(),
        result => result,
    }
}
