//! A shard with its writer: the real [`Holder`], a log, and what is on its way to the coordinator.
//!
//! A mailbox dies with its life; what was sent before is still delivered. Whatever is not synced is lost with it.

use std::collections::{BTreeSet, VecDeque};

use mainstay::model::{Epoch, Lsn, Point, Position, ShardId, Time};
use mainstay::protocol::cut;
use mainstay::protocol::hold::{CutId, Effect, Event, Holder};

const HOLD_MAX_MS: u64 = 10;
/// Between two holds, so that the first one's timer comes during the second.
const BETWEEN_MS: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Prepare(CutId),
    Hold(CutId),
    Release(CutId),
}

#[derive(Clone, Debug)]
pub struct Shard {
    id: ShardId,
    core: Holder,
    is_up: bool,
    now_ms: u64,
    timers: BTreeSet<u64>,
    epoch: Epoch,
    /// Ends of what is applied and of what is durable.
    applied: Lsn,
    synced: Lsn,
    /// Boundaries in the writer's lane.
    marks: Vec<(CutId, Position)>,
    inbox: VecDeque<Message>,
    /// From the shard, from its writer, and from its snapshot threads.
    pub answers: VecDeque<cut::Event>,
    pub points: VecDeque<cut::Event>,
    pub files: VecDeque<cut::Event>,
    /// The hold that nothing has interrupted, and those that lasted until their release.
    holds: Option<CutId>,
    lasted: BTreeSet<CutId>,
}

impl Shard {
    pub fn new(id: ShardId) -> Self {
        Self {
            id,
            core: Holder::new(HOLD_MAX_MS),
            is_up: true,
            now_ms: 0,
            timers: BTreeSet::new(),
            epoch: Epoch(1),
            applied: Lsn::FIRST,
            synced: Lsn::FIRST,
            marks: Vec::new(),
            inbox: VecDeque::new(),
            answers: VecDeque::new(),
            points: VecDeque::new(),
            files: VecDeque::new(),
            holds: None,
            lasted: BTreeSet::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.is_up
    }

    pub fn is_holding(&self) -> bool {
        self.core.is_holding()
    }

    pub fn end(&self) -> Position {
        Position { epoch: self.epoch, lsn: self.applied }
    }

    pub fn is_durable(&self, end: Position) -> bool {
        end.epoch <= self.epoch && end.lsn <= self.synced
    }

    pub fn has_lasted(&self, cut: CutId) -> bool {
        self.lasted.contains(&cut)
    }

    pub fn has_message(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub fn prepares_next(&self) -> bool {
        matches!(self.inbox.front(), Some(Message::Prepare(_)))
    }

    /// Timers that come while it holds; the others change nothing.
    pub fn timers(&self) -> impl Iterator<Item = u64> {
        self.timers.iter().copied().filter(|_| self.is_holding())
    }

    pub fn owes_a_sync(&self) -> bool {
        self.is_up && (self.synced < self.applied || !self.marks.is_empty())
    }

    /// A dead actor's mailbox takes nothing.
    pub fn send(&mut self, message: Message) {
        if self.is_up {
            self.inbox.push_back(message);
        }
    }

    /// Applies a command and returns its number.
    pub fn apply(&mut self) -> Lsn {
        assert!(self.is_up && !self.is_holding(), "the lane is held");
        let lsn = self.applied;
        self.applied = lsn.plus(1);
        lsn
    }

    pub fn sync(&mut self) {
        self.synced = self.applied;
        for (cut, end) in std::mem::take(&mut self.marks) {
            self.answer_mark(cut, end);
        }
    }

    fn answer_mark(&mut self, cut: CutId, end: Position) {
        let point = Point { end, tail: None, digest: None };
        self.points.push_back(cut::Event::Point { cut, shard: self.id, point });
    }

    /// Handles a message. `is_early`: a mutant's writer answers before the sync.
    pub fn handle(&mut self, is_healthy: bool, is_early: bool) {
        match self.inbox.pop_front().expect("a message waits") {
            Message::Prepare(cut) => {
                self.sync();
                self.answers.push_back(cut::Event::Prepared { cut, shard: self.id, ok: is_healthy });
            }
            Message::Hold(cut) => {
                self.now_ms += BETWEEN_MS;
                self.feed(Event::Hold { cut, now_ms: self.now_ms, is_clear: self.marks.is_empty() });
                if is_early {
                    let marks = std::mem::take(&mut self.marks);
                    marks.into_iter().for_each(|(cut, end)| self.answer_mark(cut, end));
                }
            }
            Message::Release(cut) => {
                self.feed(Event::Release { cut });
                assert_ne!(self.holds, Some(cut), "released, and still holding");
            }
        }
    }

    pub fn end_timer(&mut self, at_ms: u64) {
        assert!(self.timers.remove(&at_ms));
        self.now_ms = self.now_ms.max(at_ms);
        self.feed(Event::Time { now_ms: self.now_ms });
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Arm { at_ms } => {
                    self.timers.insert(at_ms);
                }
                Effect::Held(cut) => {
                    self.holds = Some(cut);
                    self.marks.push((cut, self.end()));
                    self.answers.push_back(cut::Event::Held { cut, shard: self.id, end: self.end(), time: Time(0) });
                }
                Effect::Released { cut, held } => {
                    assert_eq!(held, self.holds == Some(cut), "{cut:?} says {held}");
                    if held {
                        self.lasted.insert(cut);
                    }
                    self.answers.push_back(cut::Event::Released { cut, shard: self.id, held });
                }
                Effect::Resume => {
                    assert!(self.holds.take().is_some(), "goes on twice");
                }
            }
        }
        assert_eq!(self.holds.is_some(), self.is_holding());
        assert!(!self.is_holding() || !self.timers.is_empty(), "holds, and nothing will ever end it");
    }

    pub fn die(&mut self) {
        self.is_up = false;
        self.core = Holder::new(HOLD_MAX_MS);
        self.applied = self.synced;
        self.holds = None;
        self.timers.clear();
        self.marks.clear();
        self.inbox.clear();
    }

    pub fn begin_anew(&mut self) {
        self.is_up = true;
        self.epoch = self.epoch.next();
    }
}
