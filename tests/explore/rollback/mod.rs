//! Rollbacks under every order of messages, failures and deaths, across shards with the real core of lives in each.
//!
//! In scope: a version that cannot be read; a commit that is declined, fails, or whose outcome nobody knows; the death
//! of the coordinator at any moment, with its commit on the way or behind it; deaths and restarts of shards, which read
//! the manifest at one moment and begin at a later one; files that a rollback removes under a reader of the log; a
//! second rollback; a client who writes to one shard after the other; a reader who collects roots one by one. A crash
//! is looked at in every state: the next open finds what the manifest says, or may say.
//! Not modelled: what two threads do to a slot (`loom/rollback.rs`), and files (`tests/crash_sweep`).

mod cases;
mod commits;
mod reader;
mod shard;

use std::collections::VecDeque;

use mainstay::model::{Incarnation, ShardId, VersionId};
use mainstay::protocol::rollback::{Effect, Event, Failed, Rollbacks};

use crate::dfs::Model;
use commits::{Commit, Fate};
use reader::Reader;
use shard::{Content, Resume, Root, Shard, Truth};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// A shard is abandoned when it is told to go on, not when all are.
    ResumesFirst,
    /// A life begins whatever the timeline is by then.
    BeginsAnywhere,
    /// What was read for the rollback is the state, whatever has been answered there since.
    HandsOverTwice,
    /// A view does not look at timelines.
    ViewMixes,
    /// Nobody is fenced after a commit that may count.
    GoesOn,
    /// A coordinator that begins anew looks at nothing.
    NeverFinishes,
}

/// How often what may happen.
#[derive(Clone, Copy, Debug)]
struct Left {
    requests: usize,
    writes: u8,
    deaths: u32,
    coordinators: u32,
    views: u32,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Request,
    Load(bool),
    Keep(Fate),
    CarryOut,
    Report,
    Resumed,
    CoordinatorDies,
    Look,
    Write(usize),
    Die(usize),
    Notice(usize),
    PauseOver(usize, Incarnation),
    Read(usize, (Incarnation, u64), bool),
    RolledBack(usize),
    Fence(usize),
    View,
    Collect { late: bool },
}

#[derive(Clone, Debug)]
struct Runtime {
    mutant: Mutant,
    left: Left,
    shards: Vec<Shard>,
    /// The manifest: the timeline, what each shard's log holds in each, and the versions that are kept.
    timeline: u64,
    lines: Vec<Vec<Content>>,
    versions: Vec<VersionId>,
    latched: bool,
    /// After a crash this timeline may count as well.
    may_be: Option<u64>,
    coordinator: u32,
    core: Rollbacks,
    loading: Option<VersionId>,
    loaded: bool,
    /// The keeper takes them in order.
    commits: VecDeque<Commit>,
    resumed: VecDeque<(u32, usize, bool)>,
    /// Version and timeline of the request that runs, and how many were made and answered.
    request: Option<(VersionId, u64)>,
    made: usize,
    answered: usize,
    /// No earlier timeline may answer any more; none at all.
    floor: u64,
    silent: bool,
    reader: Option<Reader>,
}

/// What the versions hold, oldest first. Afterwards one more command was executed.
fn version(version: VersionId) -> Content {
    (1..version.0 as u8).collect()
}

impl Runtime {
    fn new(shards: usize, left: Left, mutant: Mutant) -> Self {
        let content = vec![1, 2];
        Self {
            mutant,
            left,
            shards: vec![Shard::new(mutant, content.clone()); shards],
            timeline: 0,
            lines: vec![vec![content]; shards],
            versions: vec![VersionId(1), VersionId(2)],
            latched: false,
            may_be: None,
            coordinator: 1,
            core: Rollbacks::new(shards as u32),
            loading: None,
            loaded: false,
            commits: VecDeque::new(),
            resumed: VecDeque::new(),
            request: None,
            made: 0,
            answered: 0,
            floor: 0,
            silent: false,
            reader: None,
        }
    }

    fn with<R>(&mut self, shard: usize, act: impl FnOnce(&mut Shard, &Truth<'_>) -> R) -> R {
        let truth = Truth { timeline: self.timeline, lines: &self.lines[shard] };
        act(&mut self.shards[shard], &truth)
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Load(version) => self.loading = Some(version),
            Effect::Commit(edit) => {
                assert!(self.loaded, "nobody has read what will be needed");
                let coordinator = self.coordinator;
                self.commits.push_back(Commit { coordinator, edit, outcome: None, carried_out: false });
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
            Err(Failed::Unreachable | Failed::NotCommitted) => {
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

    fn finish(&mut self) {
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

    /// A client writes to a shard and is answered.
    fn write(&mut self, shard: usize) {
        self.left.writes -= 1;
        let number = 10 + self.left.writes;
        let life = &mut self.shards[shard].life;
        assert!(!self.silent, "answered, and nobody knows which line counts");
        assert!(life.timeline >= self.floor, "an old life answers after a new one");
        assert!(life.timeline <= self.timeline, "answered in a timeline that does not count");
        self.floor = life.timeline;
        life.content.push(number);
        let root: Root = (life.timeline, life.content.clone());
        self.lines[shard][life.timeline as usize].push(number);
        self.shards[shard].published = root;
    }

    fn coordinator_dies(&mut self) {
        self.left.coordinators -= 1;
        self.coordinator += 1;
        self.core = Rollbacks::new(self.shards.len() as u32);
        (self.loading, self.loaded) = (None, false);
        // Whoever has asked learns that nobody will answer.
        self.answered += usize::from(self.request.take().is_some());
        self.finish();
    }

    /// Every line that the next open may find begins with what was answered there and nothing of another.
    fn check(&self) {
        assert_eq!(self.answered + usize::from(self.request.is_some()), self.made, "a request is answered once");
        for (shard, lines) in self.shards.iter().zip(&self.lines) {
            shard.check();
            let line = &lines[shard.life.timeline as usize];
            let is_whole = shard.life.revoked || *line == shard.life.content;
            assert!(is_whole, "what was answered is not in the log that counts");
        }
        // What an open that finds the other line would lose, nobody was promised.
        if let Some(timeline) = self.may_be.filter(|_| self.silent) {
            assert!(self.mutant != Mutant::GoesOn || timeline == self.timeline + 1);
        }
    }

    fn steps_of_the_coordinator(&self, steps: &mut Vec<Step>) {
        let open = self.shards.iter().all(|shard| !shard.closed);
        if self.left.requests > 0 && !self.core.is_busy() && open {
            steps.push(Step::Request);
        }
        if self.loading.is_some() {
            steps.push(Step::Load(true));
            if self.left.failures > 0 {
                steps.push(Step::Load(false));
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

    fn steps_of_a_shard(&self, at: usize, steps: &mut Vec<Step>) {
        let shard = &self.shards[at];
        if self.left.writes > 0 && shard.answers() {
            steps.push(Step::Write(at));
        }
        // Somebody has to come by: who waits in vain, or its client who tries again.
        if shard.alive && shard.life.revoked && self.left.writes > 0 {
            steps.push(Step::Notice(at));
        }
        if shard.alive && self.left.deaths > 0 {
            steps.push(Step::Die(at));
        }
        steps.extend(shard.pauses(self.timeline).map(|life| Step::PauseOver(at, life)));
        for reading in &shard.readings {
            steps.push(Step::Read(at, *reading, true));
            if reading.1 != self.timeline {
                steps.push(Step::Read(at, *reading, false));
            }
        }
        if !shard.mailbox.is_empty() {
            steps.push(Step::RolledBack(at));
        }
        if shard.told_to_fence {
            steps.push(Step::Fence(at));
        }
    }
}

impl Model for Runtime {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.steps_of_the_coordinator(&mut steps);
        (0..self.shards.len()).for_each(|shard| self.steps_of_a_shard(shard, &mut steps));
        match &self.reader {
            Some(reader) => {
                let late = !reader.can_go_on(&self.shards, self.mutant);
                steps.push(Step::Collect { late });
            }
            None if self.left.views > 0 => steps.push(Step::View),
            None => {}
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Request => {
                self.left.requests -= 1;
                self.made += 1;
                // The newer one first; then there is an older one to go back to.
                let wanted = VersionId(1 + self.left.requests as u64);
                self.request = Some((wanted, self.timeline));
                self.feed(Event::Requested(wanted, self.timeline));
            }
            Step::Load(ok) => {
                self.left.failures -= u32::from(!ok);
                (self.loading, self.loaded) = (None, ok);
                self.feed(Event::Loaded(ok));
            }
            Step::Keep(fate) => {
                self.left.failures -= u32::from(!matches!(fate, Fate::Durable));
                self.keep(fate);
            }
            Step::CarryOut => self.task(false),
            Step::Report => self.task(true),
            Step::Resumed => {
                let (coordinator, shard, ok) = self.resumed.pop_front().expect("it is there");
                if coordinator == self.coordinator {
                    self.feed(Event::Resumed(ShardId(shard as u32), ok));
                }
            }
            Step::CoordinatorDies => self.coordinator_dies(),
            Step::Look => self.finish(),
            Step::Write(shard) => self.write(shard),
            Step::Die(shard) => {
                self.left.deaths -= 1;
                self.with(shard, Shard::end);
            }
            Step::Notice(shard) => {
                self.left.writes -= 1;
                self.with(shard, Shard::end);
            }
            Step::PauseOver(shard, life) => self.with(shard, |shard, truth| shard.pause_over(life, truth)),
            Step::Read(shard, reading, ok) => self.with(shard, |shard, truth| shard.read(reading, ok, truth)),
            Step::RolledBack(shard) => {
                let (coordinator, ok) = self.with(shard, Shard::rolled_back);
                self.resumed.push_back((coordinator, shard, ok));
            }
            Step::Fence(shard) => self.with(shard, Shard::stop),
            Step::View => {
                self.left.views -= 1;
                self.reader = Some(Reader::new(&self.shards));
            }
            Step::Collect { late } => {
                let mut reader = self.reader.take().expect("somebody reads");
                if !reader.look(&self.shards, late, self.mutant) {
                    self.reader = Some(reader);
                }
            }
        }
        self.check();
    }

    fn at_rest(&self) {
        assert!(self.request.is_none(), "somebody waits for ever");
        for shard in &self.shards {
            assert!(!self.silent || shard.closed, "nobody knows what counts, and it is open");
            let serves = shard.serves() && shard.life.timeline == self.timeline;
            assert!(shard.closed || serves, "a shard is left behind");
        }
    }
}
