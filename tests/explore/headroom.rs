//! A shard at its limit and its spiller under every order of commands, messages, jobs, failures and looks.
//!
//! In scope: commands that grow and shrink the state, or could never fit; values that come back; a spill that frees
//! memory, finds nothing or fails, at any moment; messages heard late, in both directions; a gate that is set beside
//! them, and rings. After every step nobody is beyond the share, and at rest nobody waits: a command that waits for a
//! spill which is not coming would wait for ever. Not modelled: files (`spill`), and what two threads do to the gate
//! (`loom/spill_gate.rs`). Every value is one byte.

use std::collections::VecDeque;

use mainstay::model::{ColdSeq, EditOutcome};
use mainstay::protocol::headroom::{Fate, Headroom, Size};
use mainstay::protocol::spill::{Effect, Event, Failure, Gate, Handed, Job, Plan, Spiller, Written};

use crate::dfs::{Model, explore};

const SHARE: u64 = 4;
const MARK: u64 = 3;
/// What the other state takes, if there is one.
const BESIDE: u64 = 2;
const PLAN: Plan = Plan { batch_bytes: 2, patience_ms: u64::MAX };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// The spiller does not hear of a command that waits.
    WaitsInSilence,
    /// The shard does not look again when the gate is shut.
    ShutsWithoutABell,
    /// Keys above the mark are too much, and somebody is sent who finds nothing to spill.
    KeysPress,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    /// Commands that grow the state by so much each.
    commands: [u8; 3],
    removes: u8,
    returns: u8,
    failures: u8,
    times: u8,
    /// Another state comes beside this one, or goes.
    beside: u8,
}

/// What the shard is told.
#[derive(Clone, Copy, Debug)]
enum Mail {
    Share(Job),
    HandOver(Job, u64),
}

/// What the spiller is told.
#[derive(Clone, Debug)]
enum Told {
    Event(Event),
    /// A root with so much to copy.
    Root(Job, u64),
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Command(u8),
    Remove,
    Return,
    /// The doorbell is heard.
    Look,
    ShardHears,
    SpillerHears,
    /// The job ends: with a file, or without.
    Write,
    Fail,
    Time,
    Beside,
}

#[derive(Clone, Debug)]
struct World {
    mutant: Mutant,
    left: Left,
    headroom: Headroom,
    core: Spiller,
    /// What can be spilled of the state, and what cannot.
    here: u64,
    fixed: u64,
    waiting: Option<u64>,
    lane: VecDeque<u64>,
    gate: Gate,
    is_rung: bool,
    to_spiller: VecDeque<Told>,
    to_shard: VecDeque<Mail>,
    /// The job, and how much there is to copy in the root that it was given.
    writing: Option<(Job, u64)>,
    /// What was copied, and from a state in which so much was there.
    made: Option<(Job, u64)>,
    /// A spill has.
    has_failed: bool,
    now_ms: u64,
}

impl World {
    fn new(mutant: Mutant, left: Left) -> Self {
        Self {
            mutant,
            left,
            headroom: Headroom::new(Some(SHARE), Some(MARK)),
            core: Spiller::new(PLAN, []),
            here: 2,
            fixed: 1,
            waiting: None,
            lane: VecDeque::new(),
            gate: Gate::Open,
            is_rung: false,
            to_spiller: VecDeque::new(),
            to_shard: VecDeque::new(),
            writing: None,
            made: None,
            has_failed: false,
            now_ms: 0,
        }
    }

    /// Nothing but keys, and more than the mark.
    fn of_keys(mutant: Mutant, left: Left) -> Self {
        Self { here: 0, fixed: MARK, headroom: Headroom::new(Some(SHARE), Some(MARK - 1)), ..Self::new(mutant, left) }
    }

    fn size(&self) -> Size {
        Size { bytes: self.here + self.fixed, keys: self.fixed }
    }

    /// What the pressure comes from.
    fn pressing(&self) -> Size {
        let keys = if self.mutant == Mutant::KeysPress { 0 } else { self.fixed };
        Size { keys, ..self.size() }
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(self.now_ms, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Spill { job, .. } => self.to_shard.push_back(Mail::Share(job)),
                Effect::Commit(job) => self.feed(Event::Committed(job, EditOutcome::Committed)),
                Effect::HandOver(job) => {
                    let made = self.made.take().filter(|(made, _)| *made == job);
                    let (job, copied) = made.expect("its file is there");
                    self.to_shard.push_back(Mail::HandOver(job, copied));
                }
                Effect::Gate(gate) => {
                    self.gate = gate;
                    self.is_rung |= self.mutant != Mutant::ShutsWithoutABell;
                }
                Effect::Release(_) | Effect::Prune => {}
                Effect::Compact { .. } | Effect::Remove(_) => panic!("there is nothing to compact, or to remove"),
            }
        }
    }

    /// What the shard does in a turn.
    fn turn(&mut self) {
        while let Some(growth) = self.waiting.take().or_else(|| self.lane.pop_front()) {
            match self.headroom.run(self.size(), growth as i64, self.gate) {
                Fate::Lands => self.here += growth,
                Fate::Refused => {
                    let never = growth + self.fixed > SHARE;
                    assert!(never || self.has_failed, "refused, and a spill would help");
                }
                Fate::Waits => {
                    self.waiting = Some(growth);
                    break;
                }
            }
        }
        if self.mutant == Mutant::WaitsInSilence && self.waiting.is_some() {
            return;
        }
        if let Some(over) = self.headroom.pressure(self.pressing()) {
            self.to_spiller.push_back(Told::Event(Event::Pressure { over }));
        }
    }

    fn hand_over(&mut self, job: Job, copied: u64) {
        // What was removed meanwhile is not replaced, and what was written since is not either.
        self.here -= copied.min(self.here);
        let over = self.headroom.handed_over(self.pressing());
        let handed = Handed { over, live: vec![(ColdSeq(job), copied)] };
        self.to_spiller.push_back(Told::Event(Event::HandedOver(job, handed)));
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut may = |step, is_possible: bool| steps.extend(is_possible.then_some(step));
        for (at, count) in (0u8..).zip(self.left.commands) {
            may(Step::Command(at), count > 0);
        }
        may(Step::Remove, self.left.removes > 0 && self.here > 0);
        may(Step::Return, self.left.returns > 0);
        may(Step::Look, self.is_rung);
        may(Step::ShardHears, !self.to_shard.is_empty());
        may(Step::SpillerHears, !self.to_spiller.is_empty());
        may(Step::Write, self.writing.is_some());
        may(Step::Fail, self.writing.is_some() && self.left.failures > 0);
        may(Step::Time, self.left.times > 0);
        may(Step::Beside, self.left.beside > 0);
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Command(at) => {
                self.left.commands[at as usize] -= 1;
                self.lane.push_back([1, 3, SHARE + 1][at as usize]);
                self.is_rung = true;
            }
            Step::Remove => {
                self.left.removes -= 1;
                self.here -= 1;
                self.turn();
            }
            Step::Return => {
                self.left.returns -= 1;
                if self.headroom.returns(self.now_ms, self.size(), 1) {
                    self.here += 1;
                    assert!(self.size().bytes <= MARK.max(self.fixed), "comes back beyond the mark");
                }
                self.turn();
            }
            Step::Look => {
                self.is_rung = false;
                self.turn();
            }
            Step::ShardHears => {
                match self.to_shard.pop_front().expect("there is a message") {
                    Mail::Share(job) => self.to_spiller.push_back(Told::Root(job, self.here)),
                    Mail::HandOver(job, copied) => self.hand_over(job, copied),
                }
                self.turn();
            }
            Step::SpillerHears => match self.to_spiller.pop_front().expect("there is a message") {
                Told::Event(event) => self.feed(event),
                Told::Root(job, there) => assert!(self.writing.replace((job, there)).is_none(), "two jobs"),
            },
            Step::Write => {
                let (job, there) = self.writing.take().expect("it writes");
                let copied = there.min(PLAN.batch_bytes);
                if copied == 0 {
                    return self.feed(Event::Failed(job, Failure::Nothing));
                }
                self.made = Some((job, copied));
                self.feed(Event::Written(job, Written { file: ColdSeq(job), bytes: copied, values: copied }));
            }
            Step::Fail => {
                self.left.failures -= 1;
                self.has_failed = true;
                let (job, _) = self.writing.take().expect("it writes");
                self.feed(Event::Failed(job, Failure::Full));
            }
            Step::Time => {
                self.left.times -= 1;
                self.now_ms += 100_000;
                self.feed(Event::Look);
            }
            Step::Beside => {
                self.left.beside -= 1;
                self.headroom.make_way(if self.left.beside % 2 == 1 { BESIDE } else { 0 });
                self.is_rung = true;
            }
        }
        assert!(self.size().bytes <= SHARE, "beyond the share");
    }

    fn at_rest(&self) {
        assert_eq!((self.waiting, self.lane.len()), (None, 0), "somebody waits for nobody");
    }
}

const SOME: Left = Left { commands: [2, 1, 1], removes: 1, returns: 0, failures: 0, times: 0, beside: 0 };

/// More small commands than fit, and nothing else.
const MANY: Left = Left { commands: [5, 0, 0], removes: 0, returns: 1, failures: 0, times: 1, beside: 0 };

fn run(name: &str, left: Left, mutant: Mutant) -> usize {
    explore(&format!("headroom, {name}"), World::new(mutant, left))
}

fn run_keys(name: &str, left: Left, mutant: Mutant) -> usize {
    explore(&format!("headroom, {name}"), World::of_keys(mutant, left))
}

/// Guards F57: a command at the limit lands or is refused, and does not wait for ever.
#[test]
fn headroom_beside_spills() {
    assert!(run("commands", SOME, Mutant::None) > 1_000);
    assert!(run("failures", Left { failures: 1, times: 1, ..SOME }, Mutant::None) > 1_000);
    assert!(run("what comes back", Left { commands: [1, 1, 0], returns: 3, ..SOME }, Mutant::None) > 1_000);
}

/// Guards F57: the same while another state takes its place beside it, and when it has gone.
#[test]
fn headroom_beside_another_state() {
    let left = Left { commands: [2, 1, 0], returns: 1, beside: 2, ..SOME };
    assert!(run("another state", left, Mutant::None) > 1_000);
    assert!(
        run("another state stays", Left { beside: 3, returns: 0, failures: 1, times: 1, ..left }, Mutant::None) > 1_000
    );
    assert!(run_keys("another state, and keys", Left { beside: 2, ..MANY }, Mutant::None) > 100);
}

/// Guards F53, F57: where keys take all but a little, each command lands that fits beside them.
#[test]
fn headroom_beside_nothing_but_keys() {
    assert!(run_keys("keys", MANY, Mutant::None) > 100);
    assert!(run_keys("keys and failures", Left { failures: 1, times: 2, ..MANY }, Mutant::None) > 100);
}

/// Guards F53.
#[test]
#[should_panic(expected = "refused, and a spill would help")]
fn mutant_keys_that_press_are_noticed() {
    run_keys("keys press", Left { removes: 1, ..MANY }, Mutant::KeysPress);
}

/// Guards F57.
#[test]
#[should_panic(expected = "somebody waits for nobody")]
fn mutant_a_command_that_waits_in_silence_is_noticed() {
    run("silence", SOME, Mutant::WaitsInSilence);
}

/// Guards F57.
#[test]
#[should_panic(expected = "somebody waits for nobody")]
fn mutant_a_gate_that_shuts_without_a_bell_is_noticed() {
    run("no bell", Left { failures: 2, ..SOME }, Mutant::ShutsWithoutABell);
}
