//! Group commit: in which order a shard's WAL writer writes, syncs, publishes and answers, and what it does when the
//! disk fails.
//!
//! ```text
//! events in                      actions out, one at a time
//! queued, spare, no spare   -->  begin, open, write, sync, complete, prepare, close, stop
//! done or failed, time           rewrite, move, seal     (after a failed write or sync)
//! ```
//! The shell asks for the [next action](Commit::next), carries it out, and says how it went; it decides nothing.
//!
//! Invariants:
//! - a [`Completion`], the only thing an `Ok` can be made from, exists only for what is as durable as the policy
//!   promises;
//! - after a failed write or sync no frame goes to that file again: the frames since the last good sync are written
//!   once more, to a fresh file, and one edit moves the log there;
//! - a failed sync is never tried again; after a failed write what went before it is synced, once, so that whatever
//!   becomes of the move, nothing is given up that the disk has taken;
//! - if that fails too, an edit seals the log at its durable end; until that is certain nobody is told "not executed";
//! - nothing is written before the edit that begins the writer's life;
//! - no frame reaches over a boundary, and none behind it is written before everything in front of it is synced.

mod action;
mod decide;
#[cfg(all(test, not(loom)))]
mod tests;

use std::collections::VecDeque;

pub use action::{Action, Completion, Handed, Limits, Opening, Stop};

use crate::model::{EditOutcome, Lsn, SegmentSeq, SyncPolicy};

/// An idle writer notes its durable end in an empty frame after this much quiet.
pub const QUIET_MS: u64 = 50;
/// Under [`SyncPolicy::Interval`] so many bytes are synced at once: nobody is answered during a sync, and one of a
/// whole segment takes as long as many of these.
pub const SYNC_BYTES: u64 = 1024 * 1024;
/// First and longest pause before a spare is tried again.
const RETRY_MS: (u64, u64) = (50, 1_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Ready for the next decision.
    Ready,
    /// Decided, not yet given out.
    Next(Step),
    /// The shell is carrying this out.
    Doing(Step),
    /// What was written can be completed.
    Completing,
    /// The first boundary is reached.
    AtBoundary,
    /// The file failed; a fresh one is needed.
    Failed,
    /// Stopping for this reason.
    Stopping(Stop),
    /// Stopped.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin(Fresh),
    Open(Fresh, Opening),
    Write { batches: usize, end: Lsn, bytes: u64 },
    Sync,
    Rewrite(Fresh),
    Move(Fresh),
    Seal,
    Close,
}

/// A registered spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fresh {
    segment: SegmentSeq,
    bytes: u64,
}

/// The core. See the module.
#[derive(Clone, Debug)]
pub struct Commit {
    policy: SyncPolicy,
    limits: Limits,
    phase: Phase,
    /// The edit that begins the writer's life is durable, and its file open.
    begun: bool,
    finishing: bool,
    queue: VecDeque<Handed>,

    spares: VecDeque<Fresh>,
    preparing: bool,
    wanted: bool,
    no_spare: bool,
    /// When to try for a spare again, and the pause before that.
    retry: Option<(u64, u64)>,

    /// Bytes left in the file that is written.
    room: u64,
    /// Bytes of the frames since the last good sync, which a move has to write again.
    kept: u64,
    /// Bytes of batches that have been written, each counted as a frame of its own.
    consumed: u64,

    written: Lsn,
    /// What was written without an error; less than `written` only between a failed write and the end of its move.
    intact: Lsn,
    /// Bytes of the frame whose write failed.
    broken: u64,
    durable: Lsn,
    /// The durable end that the last frame speaks of.
    noted: Lsn,
    written_ms: u64,
    sync_due_ms: Option<u64>,
    /// Somebody waits for a sync of everything below.
    sync_wanted: Option<Lsn>,
    /// A frame has to end at each of these, synced before the next one is written: a cut lies there.
    boundaries: VecDeque<Lsn>,
    now_ms: u64,
}

impl Commit {
    /// A writer whose log, recovered and synced, ends at `end`. An eager one begins at once, which shuts out whatever
    /// the incarnation before it may still do; others begin when they are first [wanted](Commit::on_wanted).
    #[must_use]
    pub fn new(policy: SyncPolicy, limits: Limits, end: Lsn, eager: bool) -> Self {
        Self {
            policy,
            limits,
            phase: Phase::Ready,
            begun: false,
            finishing: false,
            queue: VecDeque::new(),
            spares: VecDeque::new(),
            preparing: false,
            wanted: eager,
            no_spare: false,
            retry: None,
            room: 0,
            kept: 0,
            consumed: 0,
            written: end,
            intact: end,
            broken: 0,
            durable: end,
            noted: end,
            written_ms: 0,
            sync_due_ms: None,
            sync_wanted: None,
            boundaries: VecDeque::new(),
            now_ms: 0,
        }
    }

    /// Bytes of frames that are kept, to be written again by a move, until the next good sync.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Everything below is synced.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Cumulative bytes, each batch counted as a frame of its own, for which the log certainly has a place. Nothing
    /// before the writer's life has begun, so that no position is ever given out under an epoch that may not come.
    #[must_use]
    pub fn granted(&self) -> u64 {
        if !self.begun {
            return 0;
        }
        let spares: u64 = self.spares.iter().map(|spare| self.capacity(*spare)).sum();
        // Every file may end with a gap that the next batch did not fit into.
        let gaps = (1 + self.spares.len() as u64) * self.limits.batch_bytes_max;
        // A failed file takes nothing more, and what it held moves to a spare.
        let (active, moved) = match self.phase {
            Phase::Failed => (0, self.kept),
            Phase::Next(step) | Phase::Doing(step) => match step {
                Step::Open(fresh, Opening::Move) | Step::Rewrite(fresh) | Step::Move(fresh) => {
                    (self.capacity(fresh), self.kept)
                }
                _ if self.broken > 0 => (0, self.kept),
                _ => (self.room, 0),
            },
            _ => (self.room, 0),
        };
        self.consumed + (active + spares).saturating_sub(gaps + moved)
    }

    /// Will nothing more be queued?
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// Did the last attempt to make a spare fail, with none left?
    #[must_use]
    pub fn lacks_spare(&self) -> bool {
        self.no_spare && self.spares.is_empty()
    }

    /// When [`Commit::on_time`] is wanted next, if nothing else happens.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let note = self.wants_note().then_some(self.written_ms + QUIET_MS);
        let sync = self.sync_due_ms.filter(|_| self.phase == Phase::Ready);
        let retry = self.retry.filter(|_| self.could_use_spare()).map(|(at, _)| at);
        [note, sync, retry].into_iter().flatten().min()
    }

    /// The time, in milliseconds of a clock that only goes up.
    pub fn on_time(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// The shard has commands but no room for them: begin, if that has not happened yet.
    pub fn on_wanted(&mut self) {
        self.wanted = true;
    }

    /// A batch was handed over.
    pub fn on_queued(&mut self, batch: Handed) {
        self.queue.push_back(batch);
    }

    /// A spare is registered and may be opened.
    pub fn on_spare(&mut self, segment: SegmentSeq, bytes: u64) {
        (self.preparing, self.no_spare, self.retry) = (false, false, None);
        self.spares.push_back(Fresh { segment, bytes });
    }

    /// No spare could be made.
    pub fn on_no_spare(&mut self) {
        let pause = self.retry.map_or(RETRY_MS.0, |(_, pause)| (pause * 2).min(RETRY_MS.1));
        (self.preparing, self.no_spare) = (false, true);
        self.retry = Some((self.now_ms + pause, pause));
    }

    /// Somebody waits for what is queued and written so far to be synced, whatever the policy.
    pub fn on_sync_wanted(&mut self) {
        let end = self.queue.back().map_or(self.written, |batch| batch.end);
        self.sync_wanted = self.sync_wanted.max(Some(end));
    }

    /// A cut lies behind what is queued and written so far.
    pub fn on_boundary(&mut self) {
        self.boundaries.push_back(self.queue.back().map_or(self.written, |batch| batch.end));
    }

    /// Nothing more will be queued: finish what is there and stop.
    pub fn on_finish(&mut self) {
        self.finishing = true;
    }

    /// The tenure was revoked: stop at once.
    pub fn on_revoked(&mut self) {
        if self.phase != Phase::Stopped {
            self.phase = Phase::Stopping(Stop::Superseded);
        }
    }

    /// The last action, if it was to open, write, sync or rewrite, was carried out with this success.
    pub fn on_done(&mut self, ok: bool) {
        let Phase::Doing(step) = self.phase else { return };
        self.phase = match (step, ok) {
            (Step::Open(fresh, Opening::Begin | Opening::Roll), true) => {
                (self.begun, self.room) = (true, self.capacity(fresh));
                Phase::Ready
            }
            (Step::Open(fresh, Opening::Move), true) => Phase::Next(Step::Rewrite(fresh)),
            (Step::Write { batches, bytes, .. }, true) => self.after_write(batches, bytes),
            (Step::Write { bytes, .. }, false) => {
                self.broken = bytes;
                if self.durable < self.intact { Phase::Next(Step::Sync) } else { Phase::Failed }
            }
            (Step::Sync, true) => self.after_sync(),
            (Step::Rewrite(fresh), true) => Phase::Next(Step::Move(fresh)),
            // No frame of this life exists, so nothing of it can be found again.
            (Step::Open(_, Opening::Begin), false) => Phase::Stopping(Stop::Sealed),
            (Step::Open(_, Opening::Roll) | Step::Sync, false) => Phase::Failed,
            (Step::Open(_, Opening::Move) | Step::Rewrite(_), false) => Phase::Next(Step::Seal),
            (Step::Begin(_) | Step::Move(_) | Step::Seal | Step::Close, _) => self.phase,
        };
    }

    /// The last action, if it was to commit an edit, ended so.
    pub fn on_edit(&mut self, outcome: EditOutcome) {
        use EditOutcome::{Committed, Declined, Failed, Indeterminate};
        let Phase::Doing(step) = self.phase else { return };
        self.phase = match (step, outcome) {
            (Step::Begin(fresh), Committed) => Phase::Next(Step::Open(fresh, Opening::Begin)),
            (Step::Move(fresh), Committed) => self.after_move(fresh),
            (Step::Seal, Committed) => Phase::Stopping(Stop::Sealed),
            // Without the mark the log is as durable; only the next open has less evidence.
            (Step::Close, _) => Phase::Stopping(Stop::Finished),
            (_, Declined(_)) => Phase::Stopping(Stop::Superseded),
            // No frame of this life exists, whatever became of the edit.
            (Step::Begin(_), Failed | Indeterminate) => Phase::Stopping(Stop::Sealed),
            (Step::Move(_), Failed) => Phase::Next(Step::Seal),
            (Step::Move(_), Indeterminate) | (Step::Seal, Failed | Indeterminate) => Phase::Stopping(Stop::Unknown),
            (Step::Open(..) | Step::Write { .. } | Step::Sync | Step::Rewrite(_), _) => self.phase,
        };
    }

    /// What to do now; `None`: wait for an event.
    #[allow(clippy::should_implement_trait, reason = "events come between the calls")]
    pub fn next(&mut self) -> Option<Action> {
        if self.wants_spare() {
            self.preparing = true;
            return Some(Action::Prepare);
        }
        if matches!(self.phase, Phase::Ready | Phase::Failed) {
            self.phase = self.decide()?;
        }
        match self.phase {
            Phase::Next(step) => {
                self.phase = Phase::Doing(step);
                Some(self.start(step))
            }
            Phase::Completing => {
                self.phase = Phase::Ready;
                Some(Action::Complete(self.complete()))
            }
            Phase::AtBoundary => {
                self.phase = Phase::Ready;
                self.boundaries.pop_front();
                Some(Action::Boundary)
            }
            Phase::Stopping(why) => {
                self.phase = Phase::Stopped;
                Some(Action::Stop(why))
            }
            Phase::Ready | Phase::Doing(_) | Phase::Failed | Phase::Stopped => None,
        }
    }

    fn start(&mut self, step: Step) -> Action {
        match step {
            Step::Begin(fresh) => Action::Begin(fresh.segment),
            Step::Open(fresh, opening) => Action::Open(fresh.segment, opening),
            Step::Write { batches, end, bytes } => {
                // The frame is kept from now on: if writing it fails, a move writes it again.
                (self.written, self.noted) = (end, self.durable);
                self.kept += bytes;
                let limits = self.limits;
                let taken = self.queue.drain(..batches);
                self.consumed += taken.map(|batch| limits.batch_bytes(batch.bytes)).sum::<u64>();
                Action::Write { batches, durable_end: self.durable }
            }
            Step::Sync => Action::Sync,
            Step::Rewrite(_) => Action::Rewrite { durable_end: self.durable },
            Step::Move(fresh) => Action::Move(fresh.segment),
            Step::Seal => Action::Seal,
            Step::Close => Action::Close,
        }
    }

    fn after_write(&mut self, batches: usize, bytes: u64) -> Phase {
        self.room = self.room.saturating_sub(bytes);
        self.intact = self.written;
        self.written_ms = self.now_ms;
        match self.policy {
            SyncPolicy::Always => return Phase::Next(Step::Sync),
            // A note is of use only once it is on the disk.
            _ if batches == 0 => return Phase::Next(Step::Sync),
            SyncPolicy::Interval(interval) => {
                let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
                self.sync_due_ms.get_or_insert(self.now_ms.saturating_add(interval_ms));
            }
            SyncPolicy::Never => {}
        }
        Phase::Completing
    }

    fn after_sync(&mut self) -> Phase {
        self.durable = self.intact;
        (self.kept, self.sync_due_ms) = (self.broken, None);
        if self.broken > 0 {
            return Phase::Failed;
        }
        if self.policy == SyncPolicy::Always { Phase::Completing } else { Phase::Ready }
    }

    fn after_move(&mut self, fresh: Fresh) -> Phase {
        self.room = self.capacity(fresh).saturating_sub(self.kept);
        self.noted = self.durable;
        (self.durable, self.intact) = (self.written, self.written);
        (self.kept, self.broken, self.sync_due_ms) = (0, 0, None);
        Phase::Completing
    }

    fn complete(&mut self) -> Completion {
        let without_commands = self.queue.iter().take_while(|batch| batch.bytes == 0).count();
        self.queue.drain(..without_commands);
        Completion { end: self.written, durability: self.policy.durability(), without_commands }
    }
}
