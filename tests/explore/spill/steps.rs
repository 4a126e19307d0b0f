//! What may happen next.

use std::collections::BTreeSet;

use mainstay::model::EditOutcome;
use mainstay::protocol::spill::{Event, Gate, PAUSE_MS};

use super::disk::{Edit, Snapshot};
use super::shard::{Key, files_of};
use super::world::{Life, World};
use crate::dfs::Model;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Put(Key),
    Delete(Key),
    /// The spiller hears what the shard has told.
    Hear,
    Look,
    Stop,
    Write,
    DiskFull,
    Edit(EditOutcome),
    HandOver,
    Unlink,
    /// A reader takes a root, or lets it go.
    View,
    Leave,
    /// A snapshot is begun, or its file is whole.
    Take,
    Taken,
    Retire,
    Crash(bool),
    /// The shard dies; its files are read.
    Die,
    Read,
}

impl World {
    /// Would a look, after the longest pause, change anything?
    fn is_look_due(&self) -> bool {
        let mut effects = Vec::new();
        self.core.clone().on_event(self.now_ms + PAUSE_MS.1, Event::Look, &mut effects);
        !effects.is_empty()
    }

    fn steps_of_others(&self, steps: &mut Vec<Step>) {
        let left = &self.left;
        if left.commands > 0 && self.lives() {
            steps.extend((1..=left.keys).map(Step::Put));
            steps.extend(self.state.keys().map(|key| Step::Delete(*key)));
        }
        if self.reader.is_some() {
            steps.push(Step::Leave);
        } else if left.views > 0 && self.lives() {
            steps.push(Step::View);
        }
        if self.taking.is_some() {
            steps.push(Step::Taken);
        } else if left.snapshots > 0 && self.lives() {
            steps.push(Step::Take);
        }
        let is_retiring = self.keeper.queue.iter().any(|edit| matches!(edit, Edit::Retire));
        if left.retires > 0 && self.keeper.manifest.snapshots.len() > 1 && !is_retiring {
            steps.push(Step::Retire);
        }
        if left.crashes > 0 {
            steps.push(Step::Crash(false));
            steps.extend(self.keeper.maybe.as_ref().map(|_| Step::Crash(true)));
        }
        if left.deaths > 0 && self.lives() {
            steps.push(Step::Die);
        }
        if left.stops > 0 {
            steps.push(Step::Stop);
        }
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.steps_of_others(&mut steps);
        if !self.shard.mail.is_empty() {
            steps.push(Step::Hear);
        }
        // Pauses are long: what was told has been heard. With a manifest that has failed it would try for ever.
        if self.shard.mail.is_empty() && self.keeper.maybe.is_none() && self.is_look_due() {
            steps.push(Step::Look);
        }
        if self.writing.is_some() {
            steps.push(Step::Write);
            steps.extend((self.left.failures > 0).then_some(Step::DiskFull));
        }
        if !self.keeper.queue.is_empty() {
            steps.push(Step::Edit(EditOutcome::Committed));
            if self.left.failures > 0 && self.keeper.maybe.is_none() {
                steps.extend([EditOutcome::Failed, EditOutcome::Indeterminate].map(Step::Edit));
            }
        }
        // With a manifest that has failed it would read for ever.
        steps.extend((matches!(self.life, Life::Dead) && self.keeper.maybe.is_none()).then_some(Step::Read));
        steps.extend(self.is_handing_over.then_some(Step::HandOver));
        steps.extend((!self.to_unlink.is_empty()).then_some(Step::Unlink));
        steps
    }

    fn is_rare(step: Step) -> bool {
        let is_bad = matches!(step, Step::Edit(fate) if fate != EditOutcome::Committed);
        is_bad || matches!(step, Step::Crash(_) | Step::Die | Step::DiskFull | Step::Stop)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Put(key) => self.command(key, Some(self.left.keys + 1 + self.log.len() as u8)),
            Step::Delete(key) => self.command(key, None),
            Step::Hear => {
                let event = self.shard.mail.pop_front().expect("it was told");
                self.feed(event);
            }
            Step::Look => {
                self.now_ms += PAUSE_MS.1;
                self.feed(Event::Look);
            }
            Step::Stop => {
                self.left.stops -= 1;
                self.is_stopped = true;
                self.feed(Event::Stop);
            }
            Step::Write => self.write(),
            Step::DiskFull => {
                self.left.failures -= 1;
                self.fail();
            }
            Step::Edit(fate) => {
                self.left.failures -= u8::from(fate != EditOutcome::Committed);
                self.edit(fate);
            }
            Step::HandOver => self.hand_over(),
            Step::Unlink => {
                let file = self.to_unlink.remove(0);
                self.remove(file);
            }
            Step::View => {
                self.left.views -= 1;
                self.reader = Some(self.root());
            }
            Step::Leave => self.reader = None,
            Step::Take => {
                self.left.snapshots -= 1;
                let (state, map) = (self.state.clone(), self.shard.map.clone());
                self.taking = Some(Snapshot { state, map, end: self.log.len() });
            }
            Step::Taken => self.keeper.queue.extend(self.taking.take().map(Edit::Adopt)),
            Step::Retire => {
                self.left.retires -= 1;
                self.keeper.queue.push_back(Edit::Retire);
            }
            Step::Crash(counts) => self.crash(counts),
            Step::Die => self.die(),
            Step::Read => self.read_again(),
        }
        self.check();
    }

    fn at_rest(&self) {
        assert!(!self.core.is_busy() && self.made.as_ref().is_none_or(|_| self.has_ended()), "a job never ends");
        let over = self.shard.over();
        let expected = if self.has_ended() { self.gate != Gate::Wait } else { self.gate == Gate::Open && over == 0 };
        assert!(expected, "the gate is wrong, or memory is not freed");
        let manifest = &self.keeper.manifest;
        if !self.has_ended() && !self.has_lost_a_prune {
            let needed: BTreeSet<_> = manifest.needed().union(&files_of(&self.shard.map)).copied().collect();
            let is_needed = |file| needed.contains(file) || self.left_over.contains(file);
            assert!(self.files.keys().all(is_needed), "a file is left that nobody needs");
        }
        let is_named = |file| self.keeper.possible().any(|manifest| manifest.cold.contains_key(file));
        let is_known = |file| is_named(file) || self.left_over.contains(file);
        assert!(self.files.keys().all(is_known), "a file is left that nobody knows of");
    }
}

impl World {
    /// Nothing is begun any more.
    fn has_ended(&self) -> bool {
        self.is_stopped || self.keeper.maybe.is_some() || !self.lives()
    }

    fn command(&mut self, key: Key, version: Option<u8>) {
        self.left.commands -= 1;
        self.log.push((key, version));
        match version {
            Some(version) => _ = self.state.insert(key, version),
            None => _ = self.state.remove(&key),
        }
        self.shard.apply(key, version);
    }
}
