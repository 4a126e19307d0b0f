//! The lives of one shard's actors: shard and WAL writer die and begin anew together.
//!
//! ```text
//!           died                      pause over            recovered
//! Serving ---------> revoke, pause --------------> recover ----------> start, Serving
//!             |                                       | refused
//!             |                                     fence
//!             |                         recovered
//!             +-- over budget, refuse, recover --> show, fence
//! ```
//! Invariants:
//! - a life that a rollback has ended has not died: the next one is read at once, unless the rollback hands it over;
//! - an incarnation is revoked before the log's end is chosen anew, and nothing is waited for: a thread of it that sits
//!   in the kernel is left behind;
//! - a death notice of an older incarnation changes nothing;
//! - at most [`Budget::restarts`] deaths within [`Budget::within_ms`] are answered with a new life; then the shard is
//!   fenced, for good. Writes are refused at once; the log is read once more, so that readers find all that was
//!   answered, and a few times if that fails.

use std::collections::VecDeque;

use crate::model::Incarnation;

/// How often a shard over budget has its log read for the readers, at most.
pub const LAST_READS: u32 = 3;

/// How often a shard may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// So many deaths...
    pub restarts: u32,
    /// ...within so long are answered with a restart.
    pub within_ms: u64,
    /// The pause before the first restart; it doubles with each death within the budget's time.
    pub pause_ms: u64,
    /// The longest pause.
    pub pause_max_ms: u64,
}

/// Why a shard is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// It died too often.
    OverBudget,
    /// Its log cannot be read.
    Refused,
}

/// What happens to a shard. Every event names the incarnation that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An actor of the pair has ended, or could not be started.
    Died {
        /// Whose.
        incarnation: Incarnation,
        /// Milliseconds of a clock that only goes up.
        now_ms: u64,
    },
    /// The pause before a life is over.
    PauseOver(Incarnation),
    /// The log was read for this life.
    Recovered(Incarnation),
    /// The log cannot be read and never will be.
    Refused(Incarnation),
    /// A rollback has ended the timeline that this life belongs to, or was recovered for.
    Abandoned(Incarnation),
    /// A rollback has ended whatever life there is or was to come. This one is the next, and its state is at hand.
    RolledBack(Incarnation),
    /// The runtime stops.
    Stop,
}

/// What the supervisor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End its tenure, take its callers and tell them `Unconfirmed`; stop its actors without waiting.
    Revoke(Incarnation),
    /// Report [`Event::PauseOver`] after so long.
    Pause(Incarnation, u64),
    /// Read the log; report [`Event::Recovered`], [`Event::Refused`] or [`Event::Died`].
    Recover(Incarnation),
    /// Start the actors of this life, with what was recovered.
    Start(Incarnation),
    /// Refuse writes from now on, and whatever waits; readers may still wait for what is to be shown.
    Refuse,
    /// Nothing will change any more; reads of the published root go on.
    Fence(Fenced),
    /// Publish what was recovered for this life, which nobody starts: the shard is about to be fenced.
    Show(Incarnation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    Pausing,
    Recovering,
    /// Over budget: recovering for the readers, before the fence; so many attempts are left after this one.
    Last(u32),
    /// The pause before another of those attempts.
    LastPause(u32),
    Fenced,
    Stopped,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lives {
    budget: Budget,
    incarnation: Incarnation,
    phase: Phase,
    deaths: VecDeque<u64>,
}

impl Lives {
    /// A shard whose first life is `incarnation`, already recovered and serving.
    #[must_use]
    pub fn new(budget: Budget, incarnation: Incarnation) -> Self {
        Self { budget, incarnation, phase: Phase::Serving, deaths: VecDeque::new() }
    }

    /// The life that is, or comes next.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The life that begins now is called so: the manifest has seen more lives than came from here.
    pub fn renumber(&mut self, incarnation: Incarnation) {
        self.incarnation = self.incarnation.max(incarnation);
    }

    /// Is a life serving?
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match (event, self.phase) {
            (Event::Died { incarnation, .. }, Phase::Last(left)) if incarnation == self.incarnation && left > 0 => {
                self.phase = Phase::LastPause(left - 1);
                effects.push(Effect::Pause(incarnation, self.budget.pause_max_ms));
            }
            (Event::PauseOver(incarnation), Phase::LastPause(left)) if incarnation == self.incarnation => {
                self.phase = Phase::Last(left);
                effects.push(Effect::Recover(incarnation));
            }
            (Event::Died { incarnation, .. } | Event::Refused(incarnation), Phase::Last(_))
                if incarnation == self.incarnation =>
            {
                self.fence(Fenced::OverBudget, effects);
            }
            (Event::Died { incarnation, now_ms }, Phase::Serving | Phase::Recovering)
                if incarnation == self.incarnation =>
            {
                effects.push(Effect::Revoke(incarnation));
                self.after_death(now_ms, effects);
            }
            (Event::PauseOver(incarnation), Phase::Pausing) if incarnation == self.incarnation => {
                self.phase = Phase::Recovering;
                effects.push(Effect::Recover(incarnation));
            }
            (Event::Recovered(incarnation), Phase::Recovering) if incarnation == self.incarnation => {
                self.phase = Phase::Serving;
                effects.push(Effect::Start(incarnation));
            }
            (Event::Recovered(incarnation), Phase::Last(_)) if incarnation == self.incarnation => {
                effects.push(Effect::Show(incarnation));
                self.fence(Fenced::OverBudget, effects);
            }
            (Event::Refused(incarnation), Phase::Recovering) if incarnation == self.incarnation => {
                self.fence(Fenced::Refused, effects);
            }
            // Nobody's fault: it does not count. The pause leaves time for what the rollback has read.
            (Event::Abandoned(incarnation), Phase::Serving | Phase::Recovering) if incarnation == self.incarnation => {
                effects.push(Effect::Revoke(incarnation));
                self.incarnation = incarnation.next();
                self.pause(0, effects);
            }
            (Event::Abandoned(incarnation), Phase::Last(left)) if incarnation == self.incarnation => {
                self.phase = Phase::LastPause(left);
                effects.push(Effect::Pause(incarnation, self.budget.pause_max_ms));
            }
            (Event::RolledBack(incarnation), Phase::Last(_) | Phase::LastPause(_))
                if incarnation > self.incarnation =>
            {
                self.incarnation = incarnation;
                effects.push(Effect::Show(incarnation));
                self.fence(Fenced::OverBudget, effects);
            }
            (Event::RolledBack(incarnation), phase)
                if !matches!(phase, Phase::Fenced | Phase::Stopped) && incarnation > self.incarnation =>
            {
                effects.push(Effect::Revoke(self.incarnation));
                (self.incarnation, self.phase) = (incarnation, Phase::Serving);
                effects.push(Effect::Start(incarnation));
            }
            (Event::Stop, phase) => {
                self.phase = Phase::Stopped;
                if !matches!(phase, Phase::Fenced | Phase::Stopped) {
                    effects.push(Effect::Revoke(self.incarnation));
                }
            }
            _ => {}
        }
    }

    fn fence(&mut self, why: Fenced, effects: &mut Vec<Effect>) {
        self.phase = Phase::Fenced;
        effects.push(Effect::Fence(why));
    }

    fn after_death(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let since = now_ms.saturating_sub(self.budget.within_ms);
        self.deaths.retain(|died| *died >= since);
        let recent = self.deaths.len() as u32;
        self.incarnation = self.incarnation.next();
        if recent >= self.budget.restarts {
            self.phase = Phase::Last(LAST_READS - 1);
            effects.extend([Effect::Refuse, Effect::Recover(self.incarnation)]);
            return;
        }
        self.deaths.push_back(now_ms);
        self.pause(recent, effects);
    }

    /// Pauses before the present incarnation, longer with every recent death.
    fn pause(&mut self, recent: u32, effects: &mut Vec<Effect>) {
        self.phase = Phase::Pausing;
        let doubled = self.budget.pause_ms.saturating_mul(1u64.checked_shl(recent).unwrap_or(u64::MAX));
        let pause_ms = doubled.min(self.budget.pause_max_ms);
        effects.push(Effect::Pause(self.incarnation, pause_ms));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
