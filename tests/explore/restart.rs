//! The lives of a shard's actors under every order of deaths, notices, recoveries and stops.
//!
//! In scope: notices that are fresh, stale (of an older life) or repeated; recoveries that succeed, fail with an I/O
//! error (a death) or refuse; a stop at any moment; more deaths than the budget allows, also spread over time.
//! Not modelled: what the lives do with the log (`commit.rs`), and threads that wake late (`loom/restart.rs`).

use std::collections::BTreeSet;

use mainstay::model::Incarnation;
use mainstay::protocol::restart::{Budget, Effect, Event, Fenced, LAST_READS, Lives};

use crate::dfs::{Model, explore};

const BUDGET: Budget = Budget { restarts: 2, within_ms: 100, pause_ms: 10, pause_max_ms: 15 };
const FIRST: Incarnation = Incarnation(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The revoke is carried out after the recovery has begun.
    RevokesLate,
    /// A death notice counts for whoever lives now.
    BelievesStaleDeaths,
}

#[derive(Clone, Debug)]
struct Shard {
    core: Lives,
    mutant: Mutant,
    now_ms: u64,
    waits_left: u32,
    /// Effects of the past, by incarnation.
    started: BTreeSet<Incarnation>,
    revoked: BTreeSet<Incarnation>,
    paused: BTreeSet<Incarnation>,
    recovering: BTreeSet<Incarnation>,
    /// A revoke that a mutant holds back.
    late: Option<Effect>,
    deaths_ms: Vec<u64>,
    over_budget: bool,
    refuses: bool,
    last_reads: u32,
    shown: Option<Incarnation>,
    fenced: Option<Fenced>,
    stopped: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Die(Incarnation),
    EndPause(Incarnation),
    Recover(Incarnation),
    Refuse(Incarnation),
    Stop,
    Wait,
}

impl Shard {
    fn new(mutant: Mutant) -> Self {
        Self {
            core: Lives::new(BUDGET, FIRST),
            mutant,
            now_ms: 0,
            waits_left: 3,
            started: BTreeSet::from([FIRST]),
            revoked: BTreeSet::new(),
            paused: BTreeSet::new(),
            recovering: BTreeSet::new(),
            late: None,
            deaths_ms: Vec::new(),
            over_budget: false,
            refuses: false,
            last_reads: 0,
            shown: None,
            fenced: None,
            stopped: false,
        }
    }

    /// A started life that nobody has revoked.
    fn alive(&self) -> Vec<Incarnation> {
        self.started.difference(&self.revoked).copied().collect()
    }

    fn feed(&mut self, event: Event, is_stale: bool) {
        let mut effects = Vec::new();
        let believed = match event {
            Event::Died { now_ms, .. } if self.mutant == Mutant::BelievesStaleDeaths => {
                Event::Died { incarnation: self.core.incarnation(), now_ms }
            }
            other => other,
        };
        let before = self.core.clone();
        self.core.on_event(believed, &mut effects);
        if is_stale {
            assert_eq!(before, self.core, "{event:?} is stale");
            assert_eq!(effects, [], "{event:?} is stale");
        }
        if self.mutant == Mutant::RevokesLate {
            effects = self.hold_revokes_back(effects);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn hold_revokes_back(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        let is_revoke = |effect: &Effect| matches!(effect, Effect::Revoke(_));
        self.late = effects.iter().copied().find(is_revoke).or(self.late);
        effects.retain(|effect| !is_revoke(effect));
        if effects.iter().any(|effect| matches!(effect, Effect::Recover(_))) {
            effects.extend(self.late.take());
        }
        effects
    }

    fn carry_out(&mut self, effect: Effect) {
        assert!(self.fenced.is_none(), "{effect:?} after a fence");
        match effect {
            Effect::Revoke(life) => {
                assert!(self.alive().iter().all(|alive| *alive == life), "revokes another life");
                self.revoked.insert(life);
            }
            Effect::Pause(life, pause_ms) if self.over_budget => {
                assert!(self.recovering.remove(&life), "a pause before the first read");
                assert_eq!(pause_ms, 15, "the longest pause");
                self.paused.insert(life);
            }
            Effect::Pause(life, pause_ms) => {
                let before = self.deaths_ms.len() as u32 - 1;
                assert_eq!(pause_ms, (10 << before).min(15), "the pause doubles up to a limit");
                assert!(self.paused.insert(life), "a life is paused for once");
            }
            Effect::Recover(life) => {
                assert_eq!(self.alive(), [], "the log's end is chosen while a life may change it");
                assert!(self.recovering.insert(life), "a life is recovered for once");
                if self.over_budget {
                    assert!(self.refuses, "the last read, and writes are still taken");
                    self.last_reads += 1;
                    assert!(self.last_reads <= LAST_READS, "one read too many");
                }
            }
            Effect::Refuse => {
                assert_eq!(self.alive(), [], "refused while a life serves");
                self.refuses = true;
            }
            Effect::Start(life) => {
                assert_eq!(self.alive(), [], "two lives at once");
                assert!(!self.over_budget, "one life too many");
                assert!(self.started.insert(life), "a life starts once");
            }
            Effect::Show(life) => {
                assert_eq!(self.alive(), [], "a life begins beside another");
                assert!(self.recovering.contains(&life), "what nobody has read is shown");
                assert_eq!(self.shown.replace(life), None, "shown once");
            }
            Effect::Fence(why) => {
                assert_eq!(self.alive(), [], "a fenced shard lives");
                assert_eq!(why == Fenced::OverBudget, self.over_budget, "fenced for {why:?}");
                self.fenced = Some(why);
            }
        }
    }

    /// An event about a life: if that is no more, nothing may change.
    fn notice(&mut self, life: Incarnation, event: Event) {
        let is_over = self.stopped || self.fenced.is_some();
        self.feed(event, is_over || life != self.core.incarnation());
    }

    fn check(&self) {
        let alive = self.alive();
        assert!(!self.core.is_serving() || alive.len() == 1, "nobody serves");
        assert!(alive.len() <= 1, "two lives at once");
        if self.stopped || self.fenced.is_some() {
            assert_eq!(alive, [], "ended, and alive");
            return;
        }
        let next = self.core.incarnation();
        let goes_on = self.paused.contains(&next) || self.recovering.contains(&next);
        assert!(!alive.is_empty() || goes_on, "nothing will ever happen again");
    }
}

impl Model for Shard {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let lives = FIRST.0..=self.core.incarnation().0;
        let mut steps: Vec<Step> = lives.map(|life| Step::Die(Incarnation(life))).collect();
        steps.extend(self.paused.iter().map(|life| Step::EndPause(*life)));
        steps.extend(self.recovering.iter().map(|life| Step::Recover(*life)));
        steps.extend(self.recovering.iter().map(|life| Step::Refuse(*life)));
        steps.push(Step::Stop);
        if self.waits_left > 0 {
            steps.push(Step::Wait);
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Die(incarnation) => {
                let phase_counts = self.core.is_serving()
                    || self.recovering.contains(&incarnation) && !self.started.contains(&incarnation);
                let is_current = incarnation == self.core.incarnation();
                let counts = is_current && phase_counts && !self.over_budget;
                if counts && !self.stopped && self.fenced.is_none() {
                    let since = self.now_ms.saturating_sub(BUDGET.within_ms);
                    self.deaths_ms.retain(|died| *died >= since);
                    self.deaths_ms.push(self.now_ms);
                    self.over_budget = self.deaths_ms.len() as u32 > BUDGET.restarts;
                }
                self.notice(incarnation, Event::Died { incarnation, now_ms: self.now_ms });
            }
            Step::EndPause(life) => self.notice(life, Event::PauseOver(life)),
            Step::Recover(life) => self.notice(life, Event::Recovered(life)),
            Step::Refuse(life) => self.notice(life, Event::Refused(life)),
            Step::Stop => {
                self.feed(Event::Stop, self.stopped);
                self.stopped = true;
            }
            Step::Wait => {
                self.now_ms += 60;
                self.waits_left -= 1;
            }
        }
        self.check();
    }

    fn at_rest(&self) {}
}

/// Guards F34, F36: a death is an event, and what is left of an older life changes nothing.
#[test]
fn lives_follow_each_other() {
    assert!(explore("restart", Shard::new(Mutant::None)) > 1_000);
}

/// Guards F24: the reversed order must be noticed.
#[test]
#[should_panic(expected = "the log's end is chosen while a life may change it")]
fn mutant_a_late_revoke_is_noticed() {
    explore("restart, late revoke", Shard::new(Mutant::RevokesLate));
}

/// Guards F36.
#[test]
#[should_panic(expected = "is stale")]
fn mutant_a_stale_death_is_noticed() {
    explore("restart, stale death", Shard::new(Mutant::BelievesStaleDeaths));
}
