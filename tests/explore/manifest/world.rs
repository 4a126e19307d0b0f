//! A manifest keeper's shell, its disk and those who ask it, in steps.

use std::collections::{BTreeMap, VecDeque};

use mainstay::model::{DataFile, Edit, EditOutcome, Incarnation, Manifest, SegmentSeq, Tail};
use mainstay::protocol::manifest::{Effect, Event, Generation, Keeper, Token};

use super::disk::{Disk, Left, SHARD};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
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
pub(super) enum Wish {
    Register,
    Begin,
}

#[derive(Clone, Debug)]
pub(super) struct Requester {
    pub(super) wishes: VecDeque<Wish>,
    /// The file that it has made.
    pub(super) file: Option<SegmentSeq>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub(super) core: Keeper,
    pub(super) mutant: Mutant,
    pub(super) disk: Disk,
    pub(super) published: Manifest,
    /// Effects still to be carried out, and whether the first of them is under way.
    pub(super) effects: VecDeque<Effect>,
    pub(super) under_way: bool,
    pub(super) requesters: Vec<Requester>,
    pub(super) asked: BTreeMap<Token, (usize, Edit)>,
    pub(super) next_token: Token,
    pub(super) latched: bool,
    pub(super) crashes_left: u32,
    pub(super) failures_left: u32,
}

impl World {
    /// Two lives, and so many preparers.
    pub fn new(mutant: Mutant, preparers: usize, crashes: u32, failures: u32) -> Self {
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

    pub(super) fn ask(&mut self, who: usize) {
        let wish = self.requesters.get_mut(who).and_then(|requester| requester.wishes.pop_front());
        let Some(edit) = wish.and_then(|wish| self.edit(who, wish)) else { return };
        self.next_token += 1;
        self.asked.insert(self.next_token, (who, edit.clone()));
        self.feed(Event::Request(self.next_token, vec![edit]));
    }

    pub(super) fn feed(&mut self, event: Event) {
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
    pub(super) fn carry(&mut self) {
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
                for file in files {
                    let DataFile::Segment(_, segment) = file else { panic!("nobody makes snapshots here") };
                    self.disk.delete(segment);
                }
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

    pub(super) fn end(&mut self) {
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
        if let (false, Some(requester)) = (outcome == EditOutcome::Committed, self.requesters.get_mut(who)) {
            requester.wishes.clear();
        }
    }

    /// Everything in memory is gone; what was asked for is asked for again by whoever comes next.
    pub(super) fn crash(&mut self, left: Left) {
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

    pub(super) fn check(&self) {
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
