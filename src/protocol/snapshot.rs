//! Snapshots of one shard: when one is taken, and what becomes of it.
//!
//! ```text
//! due, or asked for --> take --written--> adopt --committed--> answer, prune
//!                        |  \                 |
//!        deadline, cancel|   failed           +-- declined, failed --> remove, answer
//!                        v
//!                 cancel, answer; what comes late is removed
//! ```
//! A job streams a root that nobody changes any more to a file, on a thread of its own, and waits until the log is
//! synced up to its position. The shard takes no part in it.
//!
//! Invariants:
//! - one job at a time, but for threads that were given up and have not come back; while there is one of those, nothing
//!   is begun unasked;
//! - whoever asks is answered once, by a job that began after the question;
//! - what counts as "since the last one" is counted from the position that was adopted, not from when it was;
//! - a file is removed only if it was certainly not adopted; after one of which nobody knows that, none is begun
//!   unasked;
//! - while a job runs nothing of the shard is dropped, so however it ends, what is not needed goes then.

use std::collections::BTreeSet;

use crate::model::{Declined, EditOutcome, Lsn};

/// Names a job of a shard.
pub type Job = u64;

/// Names who asked, who is answered once.
pub type Token = u64;

/// After a failure nothing is begun unasked for so long; twice as long after each further one.
pub const PAUSE_MS: (u64, u64) = (1_000, 300_000);

/// When a snapshot is due by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// With so many bytes of log since the last one; 0: bytes do not matter.
    pub log_bytes: u64,
    /// But not before the log has grown by so much of the last snapshot's length.
    pub growth_percent: u64,
    /// With so many commands; 0: their number does not matter.
    pub commands: u64,
    /// After so long; 0: time does not matter.
    pub interval_ms: u64,
    /// But only with so many commands.
    pub interval_commands: u64,
    /// A job that takes longer is given up.
    pub deadline_ms: u64,
}

/// How far a shard had come at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything below was answered.
    pub end: Lsn,
    /// Bytes written to the log so far.
    pub log_bytes: u64,
}

/// A file that a job has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What it holds, and how much log there was by then.
    pub at: Progress,
    /// Its length.
    pub bytes: u64,
}

/// Why there is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk, the shard or a thread failed.
    Failed,
    /// It took too long.
    Deadline,
    /// Somebody has cancelled it.
    Cancelled,
    /// It kept too much memory alive.
    Memory,
    /// The log was taken back behind it, or a newer life has begun.
    Declined,
    /// It is not known whether the manifest names it.
    Indeterminate,
}

/// What happens to a shard's snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A look at the shard, now and then.
    Looked(Progress),
    /// The newest one that the manifest has, whoever has made it; the state may have gone back to it.
    Found(Taken),
    /// Somebody wants one of the present state, whatever the plan says.
    Requested(Token),
    /// A job's turn has come: from now on it takes time.
    Begun(Job),
    /// A job's file is whole, and the log synced up to its position. Nothing to hold: none.
    Written(Job, Option<Taken>),
    /// A job has ended without a file.
    Failed(Job, Failure),
    /// The edit that adopts a job's file ended so.
    Adopted(Job, EditOutcome),
    /// Whoever can wants the running job to end.
    Cancel(Failure),
}

/// What the shell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin a job.
    Take(Job),
    /// Have it end soon. It may report as if nothing had happened.
    Cancel(Job),
    /// Have the manifest adopt its file.
    Adopt(Job),
    /// Remove its file, and let go of what was kept for it.
    Remove(Job),
    /// Drop what is no longer needed.
    Prune,
    /// Tell who asked.
    Answer(Token, Result<(), Failure>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Taking(Job),
    Adopting(Job, Taken),
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshots {
    plan: Plan,
    phase: Phase,
    next: Job,
    /// The last one that was adopted, and when it was begun.
    last: Taken,
    last_ms: u64,
    began_ms: u64,
    is_begun: bool,
    /// Nothing is begun unasked before this time, and the pause that led to it.
    retry: (u64, u64),
    /// Who is answered by the running job, and who by the next one.
    served: Vec<Token>,
    waiting: Vec<Token>,
    given_up: BTreeSet<Job>,
}

impl Snapshots {
    /// A shard that was recovered from `last` at this time, which counts as when it was taken.
    #[must_use]
    pub fn new(plan: Plan, last: Taken, now_ms: u64) -> Self {
        Self {
            plan,
            phase: Phase::Idle,
            next: 1,
            last,
            last_ms: now_ms,
            began_ms: now_ms,
            is_begun: false,
            retry: (0, 0),
            served: Vec::new(),
            waiting: Vec::new(),
            given_up: BTreeSet::new(),
        }
    }

    /// Is a job running?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Has the last job that is over failed?
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.retry.1 > 0
    }

    /// Takes an event, at a time of a clock that only goes up, and adds what to do, in order.
    pub fn on_event(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Looked(progress) => self.on_look(now_ms, progress, effects),
            Event::Found(taken) => {
                if taken.at.end != self.last.at.end {
                    (self.last, self.last_ms) = (taken, now_ms);
                }
            }
            Event::Requested(token) => self.waiting.push(token),
            Event::Begun(job) => {
                if self.phase == Phase::Taking(job) {
                    (self.began_ms, self.is_begun) = (now_ms, true);
                }
            }
            Event::Written(job, taken) => self.on_written(job, taken, effects),
            Event::Failed(job, failure) => {
                if self.phase == Phase::Taking(job) {
                    self.fail(now_ms, failure, effects);
                }
                self.given_up.remove(&job);
                effects.push(Effect::Prune);
            }
            Event::Adopted(job, outcome) => self.on_adopted(now_ms, job, outcome, effects),
            Event::Cancel(why) => self.give_up(now_ms, why, effects),
        }
        if self.phase == Phase::Idle && !self.waiting.is_empty() {
            self.served = std::mem::take(&mut self.waiting);
            self.take(now_ms, effects);
        }
    }

    fn on_look(&mut self, now_ms: u64, progress: Progress, effects: &mut Vec<Effect>) {
        match self.phase {
            Phase::Taking(_) if self.is_begun && now_ms >= self.began_ms.saturating_add(self.plan.deadline_ms) => {
                self.give_up(now_ms, Failure::Deadline, effects);
            }
            Phase::Idle if self.is_due(now_ms, progress) => self.take(now_ms, effects),
            _ => {}
        }
    }

    fn is_due(&self, now_ms: u64, progress: Progress) -> bool {
        let Plan { log_bytes, growth_percent, commands, interval_ms, interval_commands, .. } = self.plan;
        let new_commands = progress.end.since(self.last.at.end);
        if new_commands == 0 || now_ms < self.retry.0 || !self.given_up.is_empty() {
            return false;
        }
        let growth = (self.last.bytes / 100).saturating_mul(growth_percent);
        let new_bytes = progress.log_bytes.saturating_sub(self.last.at.log_bytes);
        let by_bytes = log_bytes > 0 && new_bytes >= log_bytes.max(growth);
        let by_commands = commands > 0 && new_commands >= commands;
        let is_time = now_ms >= self.last_ms.saturating_add(interval_ms);
        let by_time = interval_ms > 0 && is_time && new_commands >= interval_commands;
        by_bytes || by_commands || by_time
    }

    fn take(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let job = self.next;
        self.next += 1;
        (self.phase, self.began_ms, self.is_begun) = (Phase::Taking(job), now_ms, false);
        effects.push(Effect::Take(job));
    }

    fn on_written(&mut self, job: Job, taken: Option<Taken>, effects: &mut Vec<Effect>) {
        if self.given_up.remove(&job) {
            effects.extend(taken.map(|_| Effect::Remove(job)));
            effects.push(Effect::Prune);
        }
        if self.phase != Phase::Taking(job) {
            return;
        }
        match taken {
            Some(taken) => {
                self.phase = Phase::Adopting(job, taken);
                effects.push(Effect::Adopt(job));
            }
            None => {
                self.succeed(effects);
                effects.push(Effect::Prune);
            }
        }
    }

    fn on_adopted(&mut self, now_ms: u64, job: Job, outcome: EditOutcome, effects: &mut Vec<Effect>) {
        let Phase::Adopting(adopting, taken) = self.phase else { return };
        if adopting != job {
            return;
        }
        let failure = match outcome {
            EditOutcome::Committed => {
                (self.last, self.last_ms) = (taken, self.began_ms);
                self.succeed(effects);
                return effects.push(Effect::Prune);
            }
            // The log begins behind it: a rewrite was faster, and what this one holds is in a newer one.
            EditOutcome::Declined(Declined::Backwards) => {
                effects.extend([Effect::Remove(job), Effect::Prune]);
                return self.succeed(effects);
            }
            EditOutcome::Declined(_) => Failure::Declined,
            EditOutcome::Failed => Failure::Failed,
            EditOutcome::Indeterminate => Failure::Indeterminate,
        };
        if outcome != EditOutcome::Indeterminate {
            effects.extend([Effect::Remove(job), Effect::Prune]);
        }
        self.fail(now_ms, failure, effects);
    }

    fn give_up(&mut self, now_ms: u64, why: Failure, effects: &mut Vec<Effect>) {
        if let Phase::Taking(job) = self.phase {
            self.given_up.insert(job);
            effects.push(Effect::Cancel(job));
            self.fail(now_ms, why, effects);
        }
    }

    fn succeed(&mut self, effects: &mut Vec<Effect>) {
        (self.phase, self.retry) = (Phase::Idle, (0, 0));
        effects.extend(self.served.drain(..).map(|token| Effect::Answer(token, Ok(()))));
    }

    fn fail(&mut self, now_ms: u64, failure: Failure, effects: &mut Vec<Effect>) {
        let pause = (self.retry.1 * 2).clamp(PAUSE_MS.0, PAUSE_MS.1);
        // The manifest takes no edits any more, and each try would leave a file that nobody may remove.
        let retry_ms = if failure == Failure::Indeterminate { u64::MAX } else { now_ms.saturating_add(pause) };
        (self.phase, self.retry) = (Phase::Idle, (retry_ms, pause));
        effects.extend(self.served.drain(..).map(|token| Effect::Answer(token, Err(failure))));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
