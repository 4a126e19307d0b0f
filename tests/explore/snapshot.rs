//! Snapshots of one shard under every order of questions, looks, ends of jobs, edits and deadlines.
//!
//! In scope: jobs that write a file, fail, find nothing to hold or hang; jobs that were given up and report after all;
//! edits that are committed, declined, fail or stay open; a cancel at any moment.
//! Not modelled: bytes and crashes (`tests/crash_sweep`), and the memory that a root keeps alive.

use std::collections::{BTreeMap, BTreeSet};

use mainstay::model::{Declined, EditOutcome, Lsn};
use mainstay::protocol::snapshot::{Effect, Event, Failure, Job, Plan, Progress, Snapshots, Taken, Token};

use crate::dfs::{Model, explore};

const PLAN: Plan =
    Plan { log_bytes: 0, growth_percent: 0, commands: 2, interval_ms: 0, interval_commands: 0, deadline_ms: 3 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// Removes a file that the manifest may name.
    RemovesTheUncertain,
    /// Says that a job serves whoever has asked since it began.
    ServesTheLate,
    /// Adopts what a job has made that was given up.
    AdoptsTheLate,
}

#[derive(Clone, Debug)]
struct World {
    core: Snapshots,
    mutant: Mutant,
    now_ms: u64,
    end: Lsn,
    /// Jobs that wait for their turn; those whose threads run, with what the state was when they began; and those that
    /// were told to end.
    queued: BTreeSet<Job>,
    running: BTreeMap<Job, Lsn>,
    cancelled: BTreeSet<Job>,
    /// Whole files; those that the manifest names, or may name.
    files: BTreeMap<Job, Lsn>,
    adopting: Option<Job>,
    named: BTreeSet<Job>,
    unsure: BTreeSet<Job>,
    /// Who waits, with what the state was when they asked.
    waiting: BTreeMap<Token, Lsn>,
    questions: u64,
    commands: u64,
    looks: u32,
    cancels: u32,
    bad_edits: u32,
    /// What is not needed was kept while a job ran that has ended since.
    is_kept_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Command,
    Ask,
    Look,
    Cancel,
    Begin(Job),
    Written(Job),
    Nothing(Job),
    Fail(Job),
    Edit(EditOutcome),
}

impl World {
    fn new(mutant: Mutant) -> Self {
        let nothing = Taken { at: Progress { end: Lsn::FIRST, log_bytes: 0 }, bytes: 0 };
        Self {
            core: Snapshots::new(PLAN, nothing, 0),
            mutant,
            now_ms: 0,
            end: Lsn::FIRST,
            queued: BTreeSet::new(),
            running: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            files: BTreeMap::new(),
            adopting: None,
            named: BTreeSet::new(),
            unsure: BTreeSet::new(),
            waiting: BTreeMap::new(),
            questions: 2,
            commands: 3,
            looks: 4,
            cancels: 1,
            bad_edits: 1,
            is_kept_back: false,
        }
    }

    fn taken(end: Lsn) -> Taken {
        Taken { at: Progress { end, log_bytes: 0 }, bytes: 1 }
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(self.now_ms, event, &mut effects);
        let is_in_time = |effect: &Effect| matches!(effect, Effect::Cancel(job) if self.queued.contains(job));
        let looked = matches!(event, Event::Looked(_));
        assert!(!(looked && effects.iter().any(is_in_time)), "given up before its turn has come");
        match (self.mutant, event) {
            (Mutant::RemovesTheUncertain, Event::Adopted(job, EditOutcome::Indeterminate)) => {
                effects.push(Effect::Remove(job));
            }
            (Mutant::ServesTheLate, Event::Requested(token)) if effects.is_empty() => {
                effects.push(Effect::Answer(token, Ok(())));
            }
            (Mutant::AdoptsTheLate, _) => {
                for effect in &mut effects {
                    if let Effect::Remove(job) = *effect {
                        *effect = Effect::Adopt(job);
                    }
                }
            }
            _ => {}
        }
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Take(job) => {
                let busy = self.running.keys().chain(&self.queued).any(|job| !self.cancelled.contains(job));
                assert!(!busy && self.adopting.is_none(), "two jobs at a time");
                self.queued.insert(job);
            }
            Effect::Cancel(job) => assert!(self.cancelled.insert(job), "cancelled twice"),
            Effect::Adopt(job) => {
                assert!(self.files.contains_key(&job), "adopts a file that is not there");
                assert!(!self.cancelled.contains(&job), "adopts what was given up");
                self.adopting = Some(job);
            }
            Effect::Remove(job) => {
                self.is_kept_back = true;
                assert!(!self.named.contains(&job) && !self.unsure.contains(&job), "removes what may be named");
                assert!(self.files.remove(&job).is_some(), "removes what is not there");
            }
            Effect::Prune => self.is_kept_back = false,
            Effect::Answer(token, result) => {
                let asked = self.waiting.remove(&token).expect("who asked is answered once");
                if result.is_ok() {
                    let newest = self.named.iter().filter_map(|job| self.files.get(job)).max();
                    let held = newest.is_some_and(|end| *end >= asked) || asked == Lsn::FIRST;
                    assert!(held, "answered, and what was there is in no snapshot");
                }
            }
        }
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.adopting.is_some() {
            steps.push(Step::Edit(EditOutcome::Committed));
            if self.bad_edits > 0 {
                let bad = [EditOutcome::Failed, EditOutcome::Indeterminate, EditOutcome::Declined(Declined::Ended)];
                steps.extend(bad.map(Step::Edit));
            }
        }
        steps.extend(self.queued.iter().flat_map(|job| [Step::Begin(*job), Step::Fail(*job)]));
        for (job, end) in &self.running {
            let newest = self.named.iter().filter_map(|job| self.files.get(job)).max().copied();
            let nothing = *end <= newest.unwrap_or(Lsn::FIRST);
            steps.push(if nothing { Step::Nothing(*job) } else { Step::Written(*job) });
            steps.push(Step::Fail(*job));
        }
        steps.extend((self.questions > 0).then_some(Step::Ask));
        steps.extend((self.commands > 0).then_some(Step::Command));
        steps.extend((self.looks > 0).then_some(Step::Look));
        steps.extend((self.cancels > 0).then_some(Step::Cancel));
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Command => {
                self.commands -= 1;
                self.end = self.end.plus(1);
            }
            Step::Ask => {
                self.waiting.insert(self.questions, self.end);
                self.questions -= 1;
                self.feed(Event::Requested(self.questions + 1));
            }
            Step::Look => {
                self.looks -= 1;
                self.now_ms += 2;
                self.feed(Event::Looked(Progress { end: self.end, log_bytes: 0 }));
            }
            Step::Cancel => {
                self.cancels -= 1;
                self.feed(Event::Cancel(Failure::Cancelled));
            }
            Step::Begin(job) => {
                self.queued.remove(&job);
                self.running.insert(job, self.end);
                self.feed(Event::Begun(job));
            }
            Step::Written(job) => {
                let end = self.running.remove(&job).expect("it runs");
                self.files.insert(job, end);
                self.feed(Event::Written(job, Some(Self::taken(end))));
            }
            Step::Nothing(job) => {
                self.running.remove(&job);
                self.is_kept_back = true;
                self.feed(Event::Written(job, None));
            }
            Step::Fail(job) => {
                self.queued.remove(&job);
                self.running.remove(&job);
                self.is_kept_back = true;
                self.feed(Event::Failed(job, Failure::Failed));
            }
            Step::Edit(outcome) => {
                let job = self.adopting.take().expect("an edit is under way");
                match outcome {
                    EditOutcome::Committed => _ = self.named.insert(job),
                    EditOutcome::Indeterminate => _ = self.unsure.insert(job),
                    _ => {}
                }
                self.bad_edits -= u32::from(outcome != EditOutcome::Committed);
                self.feed(Event::Adopted(job, outcome));
            }
        }
        let kept = self.files.keys().filter(|job| !self.named.contains(job) && !self.unsure.contains(job));
        assert!(kept.into_iter().all(|job| self.adopting == Some(*job)), "a file of nobody's is left");
    }

    fn at_rest(&self) {
        assert!(self.waiting.is_empty(), "somebody waits for ever");
        assert!(!self.core.is_busy(), "it waits for nothing");
        assert!(!self.is_kept_back, "nobody drops what was kept while a job ran");
    }
}

/// Guards F23, F62, F63: one job at a time, everybody answered once and truly, no file lost or left.
#[test]
fn snapshots() {
    explore("snapshot", World::new(Mutant::None));
}

/// Guards F23.
#[test]
#[should_panic(expected = "removes what may be named")]
fn mutant_a_removed_uncertain_file_is_noticed() {
    explore("snapshot, uncertain", World::new(Mutant::RemovesTheUncertain));
}

/// Guards F63.
#[test]
#[should_panic(expected = "what was there is in no snapshot")]
fn mutant_a_late_question_is_noticed() {
    explore("snapshot, late question", World::new(Mutant::ServesTheLate));
}

/// Guards F62.
#[test]
#[should_panic(expected = "adopts what was given up")]
fn mutant_a_late_file_is_noticed() {
    explore("snapshot, late file", World::new(Mutant::AdoptsTheLate));
}
