//! Rollbacks under every order of messages, failures and deaths, across shards with the real core of lives in each.
//!
//! In scope: a version that cannot be read; a commit that is declined, fails, or whose outcome nobody knows; the death
//! of the coordinator at any moment, with its commit on the way or behind it; deaths and restarts of shards, which read
//! the manifest at one moment and begin at a later one; files that a rollback removes under a reader of the log; a
//! second rollback; a client who writes to one shard after the other; a reader who collects roots one by one. A crash
//! is looked at in every state: the next open finds what the manifest says, or may say. Every reading makes a cold
//! file.
//! Not modelled: what two threads do to a slot (`loom/rollback.rs`), and other files (`tests/crash_sweep`).

mod cases;
mod commits;
mod coordinator;
mod files;
mod reader;
mod shard;

use std::collections::VecDeque;

use mainstay::model::{Incarnation, ShardId, VersionId};
use mainstay::protocol::rollback::{Event, Loading, Rollbacks};

use crate::dfs::Model;
use commits::{Commit, Fate};
use files::Files;
use reader::Reader;
use shard::{Content, Root, Shard, Truth};

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
    /// The files that a reading has made are removed when it is over, not when it is known what names them.
    SweepsAtOnce,
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
    /// Of the oldest reading that goes on.
    Load(bool),
    TooLate,
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
    Collect {
        late: bool,
    },
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
    loading: VecDeque<Loading>,
    loaded: bool,
    files: Files,
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
            loading: VecDeque::new(),
            loaded: false,
            files: Files::default(),
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

    /// Every line that the next open may find begins with what was answered there and nothing of another.
    fn check(&self) {
        assert_eq!(self.answered + usize::from(self.request.is_some()), self.made, "a request is answered once");
        self.files.check();
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
                let loading = self.loading.pop_front().expect("it goes on");
                // One that was given up says nothing about the next.
                self.loaded |= ok && self.loading.is_empty() && self.request.is_some();
                let cold = ok.then(|| self.files.make(self.coordinator, loading));
                self.feed(Event::Loaded(loading, cold));
            }
            Step::TooLate => {
                self.left.failures -= 1;
                let loading = *self.loading.back().expect("it goes on");
                self.feed(Event::Deadline(loading));
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
        self.files.at_rest(self.coordinator);
        for shard in &self.shards {
            assert!(!self.silent || shard.closed, "nobody knows what counts, and it is open");
            let serves = shard.serves() && shard.life.timeline == self.timeline;
            assert!(shard.closed || serves, "a shard is left behind");
        }
    }
}
