//! A WAL writer's shell, its shard, its preparer and its disk, in steps.

use std::collections::VecDeque;

use mainstay::model::{Durability, EditOutcome, Lsn, SegmentSeq, SyncPolicy};
use mainstay::protocol::commit::{Action, Commit, Completion, Handed, Opening, Stop};

use super::files::{Files, LIMITS};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Says that it has synced.
    SkipsSync,
    /// Takes the second sync's word after the first has failed.
    RetriesSync,
    /// Hands over more than was granted.
    IgnoresGrant,
    /// Says that an edit of unknown outcome is committed.
    BelievesEdits,
}

/// What may go wrong, and how much work there is.
#[derive(Clone, Debug)]
pub struct Plan {
    pub policy: SyncPolicy,
    pub mutant: Mutant,
    pub eager: bool,
    /// Payload bytes of the batches to come; 0: one that only carries a root.
    pub batches: Vec<u64>,
    pub failures: u32,
    pub bad_edits: u32,
    pub missing_spares: u32,
    pub sync_wishes: u32,
    pub cuts: u32,
    pub revokes: u32,
    /// How often time may pass while there is something else to do.
    pub hurries: u32,
}

/// What the shell waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Open(SegmentSeq, Opening),
    Write { end: Lsn, bytes: u64, is_note: bool },
    Sync,
    Rewrite,
    Begin(SegmentSeq),
    Move(SegmentSeq),
    Seal,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ToWriter {
    Batch(Handed),
    Wanted,
    Sync,
    Boundary,
    Finish,
}

#[derive(Clone, Debug)]
pub struct Writer {
    pub(super) core: Commit,
    pub(super) plan: Plan,
    pub(super) now_ms: u64,

    pub(super) next: Lsn,
    /// Cumulative bytes handed over, and granted as far as the shard has heard.
    pub(super) handed: u64,
    pub(super) granted: u64,
    /// The grant at which the shard has said that it wants more.
    pub(super) wanted_at: Option<u64>,
    pub(super) finishing: bool,
    pub(super) lane: VecDeque<ToWriter>,

    pub(super) queue: VecDeque<Handed>,
    pub(super) doing: Option<Doing>,
    pub(super) preparing: bool,
    pub(super) idle: bool,
    pub(super) files: Files,
    pub(super) completed: Lsn,
    /// The last action failed, or was an empty frame.
    pub(super) spent: bool,
    pub(super) move_failed: bool,
    pub(super) revoked: bool,
    pub(super) failed_ever: bool,
    /// Somebody waits for everything below to be synced.
    pub(super) synced_to: Lsn,
    /// Where cuts lie that nobody has been told of.
    pub(super) boundaries: VecDeque<Lsn>,
    pub(super) stopped: Option<Stop>,
}

impl Writer {
    pub fn new(plan: Plan) -> Self {
        let end = Lsn(5);
        Self {
            core: Commit::new(plan.policy, LIMITS, end, plan.eager),
            plan,
            now_ms: 0,
            next: end,
            handed: 0,
            granted: 0,
            wanted_at: None,
            finishing: false,
            lane: VecDeque::new(),
            queue: VecDeque::new(),
            doing: None,
            preparing: false,
            idle: false,
            files: Files::new(end),
            completed: end,
            spent: false,
            move_failed: false,
            revoked: false,
            failed_ever: false,
            synced_to: end,
            boundaries: VecDeque::new(),
            stopped: None,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.plan.mutant == Mutant::IgnoresGrant && self.granted > 0
            || self.granted.saturating_sub(self.handed) >= LIMITS.batch_bytes_max
    }

    pub(super) fn hand(&mut self, payload: u64) {
        let count = u64::from(payload > 0);
        self.next = self.next.plus(count);
        self.handed += LIMITS.batch_bytes(payload);
        self.lane.push_back(ToWriter::Batch(Handed { end: self.next, bytes: payload }));
    }

    /// One round of the shell's loop: what was handed over, the time, the next action.
    pub(super) fn turn(&mut self) {
        for message in std::mem::take(&mut self.lane) {
            match message {
                ToWriter::Batch(batch) => {
                    self.core.on_queued(batch);
                    self.queue.push_back(batch);
                }
                ToWriter::Wanted => self.core.on_wanted(),
                ToWriter::Sync => self.core.on_sync_wanted(),
                ToWriter::Boundary => self.core.on_boundary(),
                ToWriter::Finish => self.core.on_finish(),
            }
        }
        self.core.on_time(self.now_ms);
        let action = self.core.next();
        self.idle = action.is_none();
        match action {
            Some(action) if self.revoked && !matches!(action, Action::Stop(_)) => {
                self.core.on_revoked();
            }
            Some(action) => self.begin(action),
            None => {}
        }
        if self.doing.is_none() {
            self.grant();
        }
    }

    fn begin(&mut self, action: Action) {
        self.doing = Some(match action {
            Action::Prepare => {
                assert!(!self.preparing, "one spare is made at a time");
                self.preparing = true;
                return;
            }
            Action::Complete(completion) => return self.complete(&completion),
            Action::Boundary => {
                let boundary = self.boundaries.pop_front();
                assert_eq!(boundary, Some(self.files.written()), "a frame ends at the boundary");
                assert_eq!(boundary, Some(self.files.durable()), "everything below it is synced");
                return;
            }
            Action::Stop(why) => return self.stop(why),
            Action::Write { batches, durable_end } => {
                assert!(durable_end <= self.files.durable(), "a frame claims too much");
                let frame: Vec<_> = self.queue.drain(..batches).collect();
                let payload = frame.iter().map(|batch| batch.bytes).sum();
                let single = frame.iter().filter(|batch| batch.bytes > 0).count() <= 1;
                assert!(single || payload <= LIMITS.frame_payload_max, "a frame is too long");
                let end = frame.last().map_or(self.files.written(), |batch| batch.end);
                let is_note = frame.is_empty();
                let boundary = self.boundaries.front();
                assert!(boundary.is_none_or(|boundary| end <= *boundary), "a frame reaches over a boundary");
                Doing::Write { end, bytes: LIMITS.frame_bytes(payload), is_note }
            }
            Action::Open(segment, opening) => Doing::Open(segment, opening),
            Action::Sync => Doing::Sync,
            Action::Rewrite { durable_end } => {
                assert!(durable_end <= self.files.durable(), "a frame claims too much");
                Doing::Rewrite
            }
            Action::Begin(segment) => Doing::Begin(segment),
            Action::Move(segment) => Doing::Move(segment),
            Action::Seal => {
                assert!(self.move_failed || !self.preparing, "gives up while a spare is made");
                assert!(self.files.keeps_what_is_intact(), "gives up what the disk may have taken");
                Doing::Seal
            }
            Action::Close => Doing::Close,
        });
    }

    pub(super) fn done(&mut self, mut ok: bool) {
        let Some(doing) = self.doing.take() else { return };
        self.failed_ever |= !ok;
        let is_move = matches!(doing, Doing::Open(_, Opening::Move) | Doing::Rewrite);
        self.move_failed |= is_move && !ok;
        self.spent = !ok || matches!(doing, Doing::Write { is_note: true, .. });
        match doing {
            Doing::Open(segment, opening) => self.files.open(segment, opening, ok),
            Doing::Write { end, bytes, .. } => self.files.write(end, bytes, ok),
            Doing::Sync if self.plan.mutant == Mutant::SkipsSync => {}
            Doing::Sync => {
                self.files.sync(ok);
                ok |= self.plan.mutant == Mutant::RetriesSync;
            }
            _ => self.files.rewrite(ok),
        }
        self.core.on_done(ok);
        self.grant();
    }

    pub(super) fn edit(&mut self, mut outcome: EditOutcome) {
        let Some(doing) = self.doing.take() else { return };
        let committed = outcome == EditOutcome::Committed;
        self.failed_ever |= !committed;
        self.move_failed |= matches!(doing, Doing::Move(_)) && !committed;
        self.spent = !committed;
        match doing {
            Doing::Begin(segment) => self.files.begin(segment, committed),
            Doing::Move(segment) => self.files.moved(segment, committed),
            Doing::Seal => {
                let durable_ends = self.plan.policy == SyncPolicy::Always;
                assert!(!durable_ends || self.completed <= self.files.durable(), "a seal cuts off what was durable");
                self.files.sealed |= committed;
            }
            _ => {
                assert_eq!(self.files.durable(), self.next, "closes before the end is durable");
            }
        }
        if outcome == EditOutcome::Indeterminate && self.plan.mutant == Mutant::BelievesEdits {
            outcome = EditOutcome::Committed;
        }
        self.core.on_edit(outcome);
        self.grant();
    }

    fn complete(&mut self, completion: &Completion) {
        let end = completion.end();
        let zeroes = self.queue.drain(..completion.without_commands());
        assert!(zeroes.into_iter().all(|batch| batch.bytes == 0 && batch.end == end));
        assert_eq!(end, self.files.written(), "completes what is not written");
        assert_eq!(completion.durability(), self.plan.policy.durability());
        if completion.durability() == Durability::Durable {
            assert!(end <= self.files.durable(), "complete, and a crash may take it back");
        }
        assert!(end >= self.completed, "completions go forward");
        self.completed = end;
    }

    fn stop(&mut self, why: Stop) {
        assert_eq!(self.stopped.replace(why), None, "stops once");
        match why {
            Stop::Finished => {
                assert!(self.finishing && self.queue.is_empty() && self.lane.is_empty());
                assert_eq!(self.completed, self.next, "finished, and somebody is not answered");
                assert_eq!(self.files.durable(), self.next, "finished, and not durable");
            }
            Stop::Sealed => {
                assert!(self.files.sealed || !self.files.has_frames(), "not sealed");
            }
            Stop::Superseded => assert!(self.failed_ever || self.revoked),
            Stop::Unknown => assert!(self.failed_ever, "nothing has failed"),
        }
        assert_eq!(self.core.next(), None, "acts after its end");
        assert_eq!(self.core.deadline_ms(), None, "has a deadline after its end");
    }

    /// The shell publishes the grant after every action.
    pub(super) fn grant(&mut self) {
        let before = std::mem::replace(&mut self.granted, self.core.granted());
        let may_go_back = self.spent || self.revoked;
        assert!(may_go_back || before <= self.granted, "a grant goes back without a failure");
        if self.wanted_at.is_some_and(|seen| seen < self.granted) {
            self.wanted_at = None;
        }
        self.spent = false;
    }
}
