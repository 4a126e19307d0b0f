//! The coordinator: what it is told, what it has done, and how it dies.

use mainstay::model::{ShardId, VersionId};
use mainstay::protocol::rollback::{Effect, Event, Failed, Rollbacks};

use super::commits::{Commit, Fate};
use super::shard::{Content, Resume, Shard};
use super::{Mutant, Runtime, Step, version};

impl Runtime {
    pub fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    pub fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load(loading, _) => self.loading.push_back(loading),
            Effect::Commit(edit) => {
                assert!(self.loaded, "nobody has read what will be needed");
                let coordinator = self.coordinator;
                if self.mutant == Mutant::SweepsAtOnce {
                    self.files.remove(&edit);
                }
                self.commits.push_back(Commit { coordinator, edit, outcome: None, carried_out: false });
            }
            Effect::Sweep(loading) => {
                let may_count = |commit: &Commit| commit.coordinator == self.coordinator && commit.outcome.is_none();
                assert!(!self.commits.iter().any(may_count), "swept before it is known what counts");
                self.files.sweep(self.coordinator, loading);
            }
            Effect::Abandon if self.mutant == Mutant::ResumesFirst => {}
            Effect::Abandon => self.shards.iter_mut().for_each(|shard| shard.abandon(self.timeline)),
            Effect::Resume(ShardId(shard), timeline) => {
                let state = self.request.map(|(wanted, _)| version(wanted));
                self.send(shard, timeline, state);
            }
            Effect::Recover(ShardId(shard)) => self.send(shard, self.timeline, None),
            Effect::Fence if self.mutant == Mutant::GoesOn => {}
            Effect::Fence => {
                self.shards.iter_mut().for_each(Shard::fence);
                self.silent = true;
            }
            Effect::Done(result) => self.done(result),
            Effect::Busy => unreachable!("it is asked only when nothing runs"),
        }
    }

    fn send(&mut self, shard: u32, timeline: u64, state: Option<Content>) {
        let resume = Resume { coordinator: self.coordinator, timeline, state };
        self.shards[shard as usize].mailbox.push_back(resume);
    }

    fn done(&mut self, result: Result<VersionId, Failed>) {
        let (version, timeline) = self.request.take().expect("somebody has asked");
        self.answered += 1;
        self.loaded = false;
        match result {
            Ok(done) => {
                assert_eq!((done, self.timeline), (version, timeline + 1), "went somewhere else");
                self.floor = self.timeline;
            }
            Err(Failed::Unreachable | Failed::Deadline | Failed::Cancelled | Failed::NotCommitted) => {
                let untouched = self.shards.iter().all(|shard| shard.life.timeline <= self.timeline);
                assert!(untouched, "a rollback that has failed has changed something");
            }
            Err(Failed::Indeterminate) => self.silent = true,
            Err(Failed::Shard(shard)) => {
                let shard = &self.shards[shard.0 as usize];
                let is_excused = shard.deaths > 0 || self.silent || self.made > 1 || self.mutant != Mutant::None;
                assert!(is_excused, "a shard fails without a death");
            }
        }
    }

    pub fn finish(&mut self) {
        let is_left = |shard: &Shard| !shard.closed && shard.life.timeline != self.timeline;
        let is_needed = !self.core.is_busy() && self.shards.iter().any(is_left);
        if is_needed && self.mutant != Mutant::NeverFinishes {
            self.feed(Event::Unfinished);
        }
    }

    /// A look at the shards would have something to do.
    fn has_to_look(&self) -> bool {
        let is_left = |shard: &Shard| !shard.closed && shard.life.timeline != self.timeline;
        let is_heard = self.commits.is_empty() && self.resumed.is_empty();
        let is_quiet = is_heard && self.shards.iter().all(Shard::is_quiet);
        self.mutant != Mutant::NeverFinishes && is_quiet && !self.core.is_busy() && self.shards.iter().any(is_left)
    }

    pub fn coordinator_dies(&mut self) {
        self.left.coordinators -= 1;
        self.coordinator += 1;
        self.core = Rollbacks::new(self.shards.len() as u32);
        self.loading.clear();
        self.loaded = false;
        // Whoever has asked learns that nobody will answer.
        self.answered += usize::from(self.request.take().is_some());
        self.finish();
    }

    pub fn steps_of_the_coordinator(&self, steps: &mut Vec<Step>) {
        let open = self.shards.iter().all(|shard| !shard.closed);
        if self.left.requests > 0 && !self.core.is_busy() && open {
            steps.push(Step::Request);
        }
        if !self.loading.is_empty() {
            steps.push(Step::Load(true));
            if self.left.failures > 0 {
                steps.extend([Step::Load(false), Step::TooLate]);
            }
        }
        if self.commits.iter().any(|commit| commit.outcome.is_none()) {
            steps.push(Step::Keep(Fate::Durable));
            if self.left.failures > 0 {
                steps.extend([Step::Keep(Fate::Fails), Step::Keep(Fate::Unknown)]);
            }
        }
        if let Some(commit) = self.commits.iter().find(|commit| commit.outcome.is_some()) {
            steps.push(if commit.carried_out { Step::Report } else { Step::CarryOut });
        }
        if !self.resumed.is_empty() {
            steps.push(Step::Resumed);
        }
        if self.left.coordinators > 0 && (self.core.is_busy() || !self.commits.is_empty()) {
            steps.push(Step::CoordinatorDies);
        }
        if self.has_to_look() {
            steps.push(Step::Look);
        }
    }
}
