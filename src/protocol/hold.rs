//! One shard's part in a cut: it holds its lane for a moment, and never for longer than it may.
//!
//! ```text
//!        hold                      release                       time is up
//! free ---------> arm, held  ----------------> released, resume
//!                 (holding)  ------------------------------------> resume
//! ```
//! While it holds, the shard takes nothing from its lane: that is ordinary backpressure.
//!
//! Invariants:
//! - whoever holds has a timer, so it is free again whatever happens to the coordinator;
//! - `held` in a release is true only if the shard has held for that cut from its `Held` to that release;
//! - a cut that is not newer than the newest one heard of begins no hold, and a newer one ends the hold before it;
//! - boundaries do not pile up in front of a disk that stalls: there is one at a time.
//!
//! A shard that begins anew begins free: the hold of the life before is over, and no release finds it held.

use crate::model::Incarnation;

/// Names one attempt to stop all shards at once. It only goes up, also when the coordinator begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CutId(pub u64);

impl CutId {
    /// The first cut of a coordinator's life, above all of the lives before.
    #[must_use]
    pub const fn first_of(life: Incarnation) -> Self {
        Self(life.0 << 32)
    }

    /// The cut after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What happens to a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The coordinator asks for a hold.
    Hold {
        /// For which cut.
        cut: CutId,
        /// Milliseconds of a clock that only goes up.
        now_ms: u64,
        /// Is no earlier boundary still on its way to the disk?
        is_clear: bool,
    },
    /// The coordinator ends the hold.
    Release {
        /// Of which cut.
        cut: CutId,
    },
    /// A timer has come. One of an older hold changes nothing.
    Time {
        /// Milliseconds of the same clock.
        now_ms: u64,
    },
}

/// What the shard's shell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Report [`Event::Time`] at this time, or later.
    Arm {
        /// When.
        at_ms: u64,
    },
    /// The lane is held: note where the log is, hand the writer a mark for that boundary, and answer the coordinator.
    Held(CutId),
    /// Answer the coordinator.
    Released {
        /// The cut that it named.
        cut: CutId,
        /// Has the shard held without interruption until now?
        held: bool,
    },
    /// Drain the lane, whatever its bell says: a wake-up may have come while it was held.
    Resume,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    hold_max_ms: u64,
    /// The newest cut heard of, in a hold or a release.
    newest: Option<CutId>,
    holding: Option<Holding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    cut: CutId,
    until_ms: u64,
}

impl Holder {
    /// A free shard that holds for at most so long.
    #[must_use]
    pub fn new(hold_max_ms: u64) -> Self {
        Self { hold_max_ms, newest: None, holding: None }
    }

    /// Must the lane be left alone?
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.holding.is_some()
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Hold { cut, now_ms, is_clear } => self.on_hold(cut, now_ms, is_clear, effects),
            Event::Release { cut } => {
                self.newest = self.newest.max(Some(cut));
                let held = self.holding.is_some_and(|holding| holding.cut == cut);
                effects.push(Effect::Released { cut, held });
                if held {
                    self.resume(effects);
                }
            }
            Event::Time { now_ms } => match self.holding {
                Some(holding) if now_ms >= holding.until_ms => self.resume(effects),
                // An older hold's timer, or a clock that is coarser than the timer.
                Some(holding) => effects.push(Effect::Arm { at_ms: holding.until_ms }),
                None => {}
            },
        }
        debug_assert!(self.holding.is_none_or(|holding| self.newest >= Some(holding.cut)), "a hold not heard of");
    }

    fn on_hold(&mut self, cut: CutId, now_ms: u64, is_clear: bool, effects: &mut Vec<Effect>) {
        if self.newest > Some(cut) {
            // Whoever asks has been replaced: it need not wait for its deadline.
            return effects.push(Effect::Released { cut, held: false });
        }
        if self.newest.replace(cut) == Some(cut) {
            return;
        }
        if !is_clear {
            // Whoever wanted the one before has given up, or been replaced.
            if self.holding.is_some() {
                self.resume(effects);
            }
            return effects.push(Effect::Released { cut, held: false });
        }
        let until_ms = now_ms.saturating_add(self.hold_max_ms);
        self.holding = Some(Holding { cut, until_ms });
        effects.extend([Effect::Arm { at_ms: until_ms }, Effect::Held(cut)]);
    }

    fn resume(&mut self, effects: &mut Vec<Effect>) {
        self.holding = None;
        effects.push(Effect::Resume);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
