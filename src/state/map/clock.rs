//! A coarse clock of use: when an entry was last written or read.
//!
//! Time is what spills take: one tick for each part of the memory that was turned over, however long that took. So an
//! age says how much has come since the entry was used, which is all that a choice of victims needs. A map carries the
//! present tick, and gives it to its clones: whoever reads through an old root marks with that root's tick.
//!
//! It is a hint. A byte is all that there is for it in an entry, so an age of half the round counts as
//! [`Age::MAX`]; who walks over the entries writes that down before the clock comes round.

/// A tick: from 1 to 255, then 1 again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(u8);

/// In ticks, up to half the clock's round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(u8);

const ROUND: u8 = u8::MAX;

impl Age {
    /// Of what was used within this tick.
    pub const MIN: Self = Self(0);
    /// Of what was not used for longer than can be told, or never.
    pub const MAX: Self = Self(ROUND / 2);
    /// What was used twice within it is worth its memory: half of that was turned over meanwhile.
    pub const LATELY: Self = Self(8);
}

impl Tick {
    /// The first one.
    pub const FIRST: Self = Self(1);

    /// The one behind it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }

    /// How it is kept in an entry. Never 0, which is for what was never used.
    pub(super) fn mark(self) -> u8 {
        self.0
    }

    /// How long ago, in ticks, an entry with this mark was used.
    pub(super) fn since(self, mark: u8) -> Age {
        if mark == 0 {
            return Age::MAX;
        }
        let passed = if self.0 >= mark { self.0 - mark } else { ROUND - (mark - self.0) };
        Age(passed).min(Age::MAX)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_ticks_up_to_half_a_round() {
        for first in 1..=ROUND {
            let mut now = Tick(first);
            for passed in 0..ROUND {
                assert_eq!(now.since(first), Age(passed.min(ROUND / 2)), "{passed} behind {first}");
                now = now.next();
            }
            assert_eq!(now.mark(), first, "a whole round");
            assert_eq!(now.since(0), Age::MAX, "never used");
        }
    }
}
