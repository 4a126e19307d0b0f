//! The manifest keeper under every order of requests, failures and crashes.
//!
//! In scope: two lives that register files and begin, and a preparer, all asking at once; appends that succeed, or fail
//! with their edit on the disk, cut short or lost; changes of generation that succeed, fail, or are left open; a crash
//! before and after every effect, after which the directory is opened again and more is asked.
//! Not modelled: bytes (`storage::manifest_log` has its own tests) and several shards.

mod disk;

use std::collections::{BTreeMap, VecDeque};

use mainstay::model::{Edit, EditOutcome, Incarnation, Manifest, SegmentSeq, Tail};
use mainstay::protocol::manifest::{Effect, Event, Generation, Keeper, Token};

use crate::dfs::{Model, explore};
use disk::{Disk, Left, SHARD};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// Tells the requester that its edit failed before the edit is shut out.
    AnswersBeforeShutOut,
    /// Goes on with a generation whose append has failed.
    IgnoresFailure,
    /// Deletes files before the edit that drops them is durable.
    DeletesFirst,
    /// Changes memory before the disk.
    PublishesFirst,
}

/// What somebody asks for, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Register,
    Begin,
}

#[derive(Clone, Debug)]
struct Requester {
    wishes: VecDeque<Wish>,
    /// The file that it has made.
    file: Option<SegmentSeq>,
}

#[derive(Clone, Debug)]
struct World {
    core: Keeper,
    mutant: Mutant,
    disk: Disk,
    published: Manifest,
    /// Effects still to be carried out, and whether the first of them is under way.
    effects: VecDeque<Effect>,
    under_way: bool,
    requesters: Vec<Requester>,
    asked: BTreeMap<Token, (usize, Edit)>,
    next_token: Token,
    latched: bool,
    crashes_left: u32,
    failures_left: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
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

impl World {
    /// Two lives, and so many preparers.
    fn new(mutant: Mutant, preparers: usize, crashes: u32, failures: u32) -> Self {
        let disk = Disk::new();
        let life = Requester { wishes: VecDeque::from([Wish::Register, Wish::Begin]), file: None };
        let preparer = Requester { wishes: VecDeque::from([Wish::Register]), file: None };
        let mut requesters = vec![life; 2];
        requesters.resize(2 + preparers, preparer);
        Self {
            core: Keeper::new(disk.certain().clone(), false),
            mutant,
            published: disk.certain().clone(),
            disk,
            effects: VecDeque::new(),
            under_way: false,
            requesters,
            asked: BTreeMap::new(),
            next_token: 0,
            latched: false,
            crashes_left: crashes,
            failures_left: failures,
        }
    }

    fn edit(&mut self, who: usize, wish: Wish) -> Option<Edit> {
        let record = self.published.shard(SHARD)?;
        let incarnation = Incarnation(record.incarnation.0 + 1 + who as u64 % 2);
        let requester = self.requesters.get_mut(who)?;
        match wish {
            Wish::Register => {
                let segment = self.disk.create(record.next_segment);
                requester.file = Some(segment);
                Some(Edit::Register { shard: SHARD, incarnation, segment, bytes: 4096 })
            }
            Wish::Begin => {
                let expects = (record.epoch(), record.incarnation);
                let sealed = record.epochs.last().map(|epoch| Tail {
                    segment: epoch.segment,
                    offset: 512,
                    end: epoch.first,
                    hash: [0; 32],
                });
                let segment = requester.file?;
                let registered = record.segments.get(&segment)?;
                let incarnation = registered.incarnation;
                Some(Edit::Begin { shard: SHARD, expects, sealed, incarnation, segment })
            }
        }
    }

    fn ask(&mut self, who: usize) {
        let wish = self.requesters.get_mut(who).and_then(|requester| requester.wishes.pop_front());
        let Some(edit) = wish.and_then(|wish| self.edit(who, wish)) else { return };
        self.next_token += 1;
        self.asked.insert(self.next_token, (who, edit));
        self.feed(Event::Request(self.next_token, vec![edit]));
    }

    fn feed(&mut self, event: Event) {
        let failed = matches!(event, Event::Appended { ok: false, .. });
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        if self.latched {
            let only_answers = effects.iter().all(|effect| matches!(effect, Effect::Answer(..)));
            assert!(only_answers, "a latched keeper does more than answer");
        }
        for effect in effects {
            self.disturb(&effect, failed);
            self.effects.push_back(effect);
        }
    }

    /// What a mutant does in front of an effect.
    fn disturb(&mut self, effect: &Effect, failed: bool) {
        match (self.mutant, effect) {
            (Mutant::AnswersBeforeShutOut, Effect::ChangeGeneration(_)) if failed => {
                let token = self.asked.keys().next().copied().expect("somebody asked");
                self.effects.push_back(Effect::Answer(token, EditOutcome::Failed));
            }
            (Mutant::DeletesFirst | Mutant::PublishesFirst, Effect::Append(edits)) => {
                let mut next = self.core.manifest().clone();
                for edit in edits {
                    let dropped = next.apply(edit).expect("the keeper has tried it").dropped;
                    if self.mutant == Mutant::DeletesFirst && !dropped.is_empty() {
                        self.effects.push_back(Effect::Delete(dropped));
                    }
                }
                if self.mutant == Mutant::PublishesFirst {
                    self.effects.push_back(Effect::Publish(next));
                }
            }
            _ => {}
        }
    }

    /// Carries out the first effect, or begins to if it takes its time.
    fn carry(&mut self) {
        match self.effects.front().cloned() {
            Some(Effect::Append(edits)) => {
                self.disk.begin_append(&edits);
                self.under_way = true;
            }
            Some(Effect::ChangeGeneration(manifest)) => {
                self.disk.begin_generation(&manifest);
                self.under_way = true;
                return self.skip_change();
            }
            Some(Effect::Publish(manifest)) => {
                assert_eq!(manifest, *self.disk.certain(), "readers see what is not durable");
                assert!(self.disk.is_sure(), "readers see what a crash may take back");
                self.published = manifest;
            }
            Some(Effect::Answer(token, outcome)) => self.answer(token, outcome),
            Some(Effect::Delete(files)) => {
                files.iter().for_each(|(_, segment)| self.disk.delete(*segment));
            }
            None => {}
        }
        if !self.under_way {
            self.effects.pop_front();
        }
    }

    /// A mutant that lies about having changed the generation.
    fn skip_change(&mut self) {
        if self.mutant == Mutant::IgnoresFailure {
            self.disk.end_generation(Some(false));
            self.end();
            self.feed(Event::GenerationEnded(Generation::Changed));
        }
    }

    fn end(&mut self) {
        self.under_way = false;
        self.effects.pop_front();
    }

    fn answer(&mut self, token: Token, outcome: EditOutcome) {
        let (who, edit) = self.asked.remove(&token).expect("who asked is answered once");
        let mut with_edit = self.disk.certain().clone();
        let applied = with_edit.apply(&edit);
        match outcome {
            EditOutcome::Committed => {
                assert!(self.disk.is_sure(), "committed, and a crash may take it back");
                assert_eq!(self.published, *self.disk.certain(), "committed before it is visible");
                assert!(applied.is_err(), "committed, and not there");
            }
            EditOutcome::Declined(why) => assert_eq!(applied.err(), Some(why), "declined for that"),
            EditOutcome::Failed => {
                assert!(self.disk.is_sure(), "failed, and a crash may bring it back");
                assert!(applied.is_ok(), "failed, and it is there");
            }
            EditOutcome::Indeterminate => self.latched = true,
        }
        let refused = matches!(outcome, EditOutcome::Declined(_) | EditOutcome::Failed);
        if let (Edit::Register { segment, .. }, true) = (edit, refused) {
            self.disk.delete(segment);
        }
        if let (false, Some(requester)) =
            (outcome == EditOutcome::Committed, self.requesters.get_mut(who))
        {
            requester.wishes.clear();
        }
    }

    /// Everything in memory is gone; what was asked for is asked for again by whoever comes next.
    fn crash(&mut self, left: Left) {
        self.crashes_left -= 1;
        let torn = self.disk.crash(left);
        self.core = Keeper::new(self.disk.certain().clone(), torn);
        self.published = self.disk.certain().clone();
        self.effects.clear();
        self.asked.clear();
        (self.under_way, self.latched) = (false, false);
        if let Some(first) = self.requesters.first_mut() {
            first.wishes = VecDeque::from([Wish::Register, Wish::Begin]);
        }
    }

    fn check(&self) {
        if self.published == *self.disk.certain() {
            // Memory may only be behind while an append is done and not yet reported.
            assert_eq!(*self.core.manifest(), self.published, "memory is not what is durable");
        }
        // What nobody waits for changes nothing.
        let mut core = self.core.clone();
        let mut effects = Vec::new();
        let waits = |effect: fn(&Effect) -> bool| self.effects.iter().any(effect);
        if !waits(|effect| matches!(effect, Effect::Append(_))) {
            core.on_event(Event::Appended { ok: true, full: false }, &mut effects);
        }
        if !waits(|effect| matches!(effect, Effect::ChangeGeneration(_))) {
            core.on_event(Event::GenerationEnded(Generation::Changed), &mut effects);
        }
        assert_eq!(effects, [], "an event that nobody waits for has an effect");
        assert_eq!(core, self.core, "and changes the core");
    }
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

/// Guards F5, F22, F23, F26: memory, disk and answers agree, now and after a crash.
#[test]
fn memory_is_the_last_durable_state() {
    let start =
        |preparers, crashes, failures| World::new(Mutant::None, preparers, crashes, failures);
    assert!(explore("manifest, two lives", start(0, 1, 2)) > 10_000);
    assert!(explore("manifest, two crashes", start(0, 2, 1)) > 10_000);
    assert!(explore("manifest, two lives and a preparer", start(1, 0, 2)) > 10_000);
}

/// Guards F5.
#[test]
#[should_panic(expected = "failed, and a crash may bring it back")]
fn mutant_an_answer_before_the_edit_is_shut_out_is_noticed() {
    explore("manifest, early answer", World::new(Mutant::AnswersBeforeShutOut, 1, 1, 2));
}

/// Guards F4, F5.
#[test]
#[should_panic(expected = "failed, and a crash may bring it back")]
fn mutant_an_ignored_failure_is_noticed() {
    explore("manifest, ignored failure", World::new(Mutant::IgnoresFailure, 1, 1, 2));
}

/// Guards F23.
#[test]
#[should_panic(expected = "deletes a file that the manifest names")]
fn mutant_an_early_delete_is_noticed() {
    explore("manifest, early delete", World::new(Mutant::DeletesFirst, 1, 1, 2));
}

/// Guards F22.
#[test]
#[should_panic(expected = "readers see what is not durable")]
fn mutant_an_early_publish_is_noticed() {
    explore("manifest, early publish", World::new(Mutant::PublishesFirst, 1, 1, 2));
}
