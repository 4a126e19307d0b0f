//! One shard: its slot, and the supervisor's shell around the real core of lives.

use std::collections::{BTreeSet, VecDeque};

use mainstay::model::Incarnation;
use mainstay::protocol::restart::{Budget, Effect, Event, Fenced, Lives};

use super::Mutant;

/// One death is answered with a restart.
pub const BUDGET: Budget = Budget { restarts: 1, within_ms: 1_000, pause_ms: 1, pause_max_ms: 1 };

/// Which commands a state holds, by number.
pub type Content = Vec<u8>;

/// What readers see: of which timeline, and what is in it.
pub type Root = (u64, Content);

/// What the manifest says, as everybody sees it: the timeline, and each timeline's log of this shard.
pub struct Truth<'a> {
    pub timeline: u64,
    pub lines: &'a [Content],
}

#[derive(Clone, Debug)]
pub struct Life {
    pub incarnation: Incarnation,
    pub timeline: u64,
    pub content: Content,
    pub revoked: bool,
}

/// What the coordinator tells the supervisor.
#[derive(Clone, Debug)]
pub struct Resume {
    pub coordinator: u32,
    pub timeline: u64,
    pub state: Option<Content>,
}

#[derive(Clone, Debug)]
pub struct Shard {
    core: Lives,
    mutant: Mutant,
    /// The slot: the timeline that lives may begin in, the present life, what is published, is the gate closed.
    gate: u64,
    pub life: Life,
    pub published: Root,
    pub closed: bool,
    /// The pair of actors runs, however useless it is.
    pub alive: bool,
    pub deaths: u32,
    pauses: BTreeSet<Incarnation>,
    /// It may read in vain once while the commit is known and the gate is not raised yet; more says nothing new.
    in_vain: bool,
    /// Threads that read the log, and the timeline of the manifest that they follow.
    pub readings: BTreeSet<(Incarnation, u64)>,
    replayed: Option<Root>,
    pub mailbox: VecDeque<Resume>,
    /// The coordinator has told the supervisor that nothing lives here any more.
    pub told_to_fence: bool,
}

impl Shard {
    pub fn new(mutant: Mutant, content: Content) -> Self {
        let first = Incarnation(1);
        Self {
            core: Lives::new(BUDGET, first),
            mutant,
            gate: 0,
            published: (0, content.clone()),
            life: Life { incarnation: first, timeline: 0, content, revoked: false },
            closed: false,
            alive: true,
            deaths: 0,
            pauses: BTreeSet::new(),
            in_vain: false,
            readings: BTreeSet::new(),
            replayed: None,
            mailbox: VecDeque::new(),
            told_to_fence: false,
        }
    }

    pub fn answered(&self) -> Root {
        (self.life.timeline, self.life.content.clone())
    }

    /// Can its writer answer?
    pub fn answers(&self) -> bool {
        self.alive && !self.life.revoked && !self.closed
    }

    pub fn serves(&self) -> bool {
        self.core.is_serving() && self.answers()
    }

    pub fn pauses(&self, timeline: u64) -> impl Iterator<Item = Incarnation> {
        let waits = self.in_vain && self.gate < timeline;
        self.pauses.iter().copied().filter(move |_| !waits)
    }

    /// `Slot::abandon`.
    pub fn abandon(&mut self, timeline: u64) {
        if self.gate < timeline {
            (self.gate, self.life.revoked) = (timeline, true);
        }
    }

    /// `Slot::fence`, and the message that follows it.
    pub fn fence(&mut self) {
        (self.closed, self.life.revoked, self.told_to_fence) = (true, true, true);
    }

    pub fn stop(&mut self, truth: &Truth<'_>) {
        self.told_to_fence = false;
        self.feed(Event::Stop, truth);
        self.life.revoked = true;
    }

    /// The pair has ended: by itself, or because it was revoked.
    pub fn end(&mut self, truth: &Truth<'_>) {
        self.alive = false;
        let incarnation = self.life.incarnation;
        if self.life.timeline == truth.timeline {
            self.deaths += u32::from(!self.life.revoked);
            return self.feed(Event::Died { incarnation, now_ms: 0 }, truth);
        }
        self.feed(Event::Abandoned(incarnation), truth);
    }

    pub fn pause_over(&mut self, life: Incarnation, truth: &Truth<'_>) {
        self.pauses.remove(&life);
        self.in_vain |= self.gate < truth.timeline;
        self.feed(Event::PauseOver(life), truth);
    }

    /// The thread that reads the log is done. `ok`: it has found every file.
    pub fn read(&mut self, (life, timeline): (Incarnation, u64), ok: bool, truth: &Truth<'_>) {
        self.readings.remove(&(life, timeline));
        if life != self.core.incarnation() {
            return;
        }
        let event = if timeline != truth.timeline {
            Event::Abandoned(life)
        } else if ok {
            self.replayed = Some((timeline, truth.lines[timeline as usize].clone()));
            Event::Recovered(life)
        } else {
            Event::Refused(life)
        };
        self.feed(event, truth);
    }

    /// The next message of a coordinator. Returns who is told what.
    pub fn rolled_back(&mut self, truth: &Truth<'_>) -> (u32, bool) {
        let Some(Resume { coordinator, timeline, state }) = self.mailbox.pop_front() else { return (0, false) };
        if self.mutant == Mutant::ResumesFirst {
            self.abandon(timeline);
        }
        if timeline != truth.timeline {
            return (coordinator, false);
        }
        let has_begun = self.life.timeline == timeline;
        if has_begun && !(self.mutant == Mutant::HandsOverTwice && state.is_some()) {
            return (coordinator, self.core.is_serving());
        }
        match state {
            Some(content) => {
                self.replayed = Some((timeline, content));
                let next = self.core.incarnation().next();
                self.feed(Event::RolledBack(next), truth);
            }
            None if self.core.is_serving() => self.feed(Event::Abandoned(self.core.incarnation()), truth),
            None => {}
        }
        (coordinator, self.core.is_serving())
    }

    fn feed(&mut self, event: Event, truth: &Truth<'_>) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            self.carry_out(effect, truth);
        }
        // What is of an older life changes nothing: `restart.rs`.
        let present = self.core.incarnation();
        self.pauses.retain(|life| *life == present);
        self.readings.retain(|(life, _)| *life == present);
    }

    fn carry_out(&mut self, effect: Effect, truth: &Truth<'_>) {
        match effect {
            Effect::Revoke(life) => {
                self.life.revoked |= self.life.incarnation == life;
                self.alive = false;
            }
            Effect::Pause(life, _) => {
                self.pauses.insert(life);
            }
            Effect::Recover(life) => {
                self.readings.insert((life, truth.timeline));
            }
            Effect::Start(life) => {
                if self.begin(life, truth) {
                    self.alive = true;
                    self.replayed = None;
                } else {
                    self.feed(Event::Abandoned(life), truth);
                }
            }
            Effect::Show(life) => {
                if self.begin(life, truth) {
                    self.life.revoked = true;
                }
            }
            Effect::Refuse => self.closed = true,
            Effect::Fence(why) => {
                assert_eq!(why, Fenced::OverBudget, "a file that a rollback has removed is no damage");
                assert!(self.deaths > BUDGET.restarts, "a rollback counts as a death");
                self.closed = true;
            }
        }
    }

    /// The supervisor's look and `Slot::begin_life`.
    fn begin(&mut self, incarnation: Incarnation, truth: &Truth<'_>) -> bool {
        let Some((timeline, content)) = self.replayed.clone() else { return false };
        let is_present = timeline == truth.timeline && timeline == self.gate;
        if !is_present && self.mutant != Mutant::BeginsAnywhere {
            return false;
        }
        assert!(self.life.revoked, "two lives at once");
        assert_eq!(content, truth.lines[timeline as usize], "a life begins without what was answered");
        self.published = (timeline, content.clone());
        self.life = Life { incarnation, timeline, content, revoked: false };
        true
    }

    /// Nothing is on its way that would change anything.
    pub fn is_quiet(&self) -> bool {
        self.mailbox.is_empty() && !self.told_to_fence
    }

    pub fn check(&self) {
        let next = self.core.incarnation();
        let goes_on = self.pauses.contains(&next) || self.readings.iter().any(|(life, _)| *life == next);
        assert!(self.alive || self.closed || goes_on, "nothing will ever happen again");
    }
}
