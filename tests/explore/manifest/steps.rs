//! What may happen to a manifest keeper next.

use mainstay::protocol::manifest::{Effect, Event, Generation};

use super::disk::Left;
use super::world::World;
use crate::dfs::Model;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Ask(usize),
    /// Carries out the first effect, or begins to.
    Carry,
    Appended {
        ok: bool,
        full: bool,
    },
    Ended(Generation),
    Crash(Left),
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let fails = self.failures_left > 0;
        if self.under_way {
            match self.effects.front() {
                Some(Effect::Append(_)) => {
                    steps.push(Step::Appended { ok: true, full: false });
                    steps.push(Step::Appended { ok: true, full: true });
                    steps.extend(fails.then_some(Step::Appended { ok: false, full: false }));
                }
                _ => {
                    steps.push(Step::Ended(Generation::Changed));
                    let failures = [Generation::Unchanged, Generation::Unknown].map(Step::Ended);
                    steps.extend(failures.into_iter().filter(|_| fails));
                }
            }
        } else if !self.effects.is_empty() {
            steps.push(Step::Carry);
        }
        for (who, requester) in self.requesters.iter().enumerate() {
            let waits = self.asked.values().any(|(asker, _)| *asker == who);
            if !waits && !requester.wishes.is_empty() {
                steps.push(Step::Ask(who));
            }
        }
        if self.crashes_left > 0 {
            steps.extend(self.disk.choices().into_iter().map(Step::Crash));
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Ask(who) => self.ask(who),
            Step::Carry => self.carry(),
            Step::Appended { ok, full } => {
                self.failures_left -= u32::from(!ok);
                self.disk.end_append(ok);
                self.end();
                self.feed(Event::Appended { ok, full });
            }
            Step::Ended(generation) => {
                let counts = match generation {
                    Generation::Changed => Some(true),
                    Generation::Unchanged => Some(false),
                    Generation::Unknown => None,
                };
                self.failures_left -= u32::from(counts != Some(true));
                self.disk.end_generation(counts);
                self.end();
                self.feed(Event::GenerationEnded(generation));
            }
            Step::Crash(left) => self.crash(left),
        }
        self.check();
    }

    fn at_rest(&self) {
        assert!(self.asked.is_empty(), "somebody is never answered");
    }
}
