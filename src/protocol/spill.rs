//! One shard's spiller: when values go from memory to a cold file, when files are compacted, when they are given up.
//!
//! ```text
//! pressure --> spill ----+                                       +--> release, at zero --> prune
//!                        +--written--> commit --> hand over --> live values of each file
//! look ------> compact --+                |                      +--> compact, below half
//!                                         +-- declined, failed --> remove, try again later
//!                                         +-- indeterminate --> nothing more
//! ```
//! A job copies from a root that nobody changes, on a thread of its own. It is the shard that puts locations into its
//! map, entry by entry where it still has the very same one; whatever was overwritten or removed meanwhile is dead in
//! the new file from the start. Which values are picked, what a file looks like and what snapshots need is not decided
//! here; nor who removes a file that the manifest has dropped.
//!
//! Invariants:
//! - memory keeps what is spilled, and the old file what is compacted, until the manifest has adopted the new file and
//!   the shard has handed over: a job that fails loses nothing, and is tried again after pauses that grow;
//! - one job at a time;
//! - a file is removed only if the manifest certainly does not name it; one of which nobody knows that is neither
//!   handed over nor removed, and nothing is begun any more;
//! - a file that was adopted is released once, when nothing of it is live, which may be at the hand-over already; from
//!   then on nothing is copied from it;
//! - the gate says `Wait` only while a job runs, and not for longer than the plan's patience.

mod event;
mod files;

pub use event::{Adopted, Effect, Event, Failure, Gate, Handed, Job, Plan, Written};

use crate::model::{ColdSeq, EditOutcome};
use files::Files;

/// The pause after a failure; twice as long after each further one, up to the second. Short, because callers are
/// refused meanwhile.
pub const PAUSE_MS: (u64, u64) = (200, 10_000);

/// Nothing is tried again before a time, and the pause that led to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Retry {
    at_ms: u64,
    pause_ms: u64,
}

impl Retry {
    fn is_due(self, now_ms: u64) -> bool {
        now_ms >= self.at_ms
    }

    fn fail(&mut self, now_ms: u64) {
        self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MS.0, PAUSE_MS.1);
        self.at_ms = now_ms.saturating_add(self.pause_ms);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Writing,
    Committing(Written),
    HandingOver(Written),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    job: Job,
    /// What a compaction copies from; nothing: it is a spill.
    sources: Vec<ColdSeq>,
    since_ms: u64,
    /// There was a moment without pressure since: whatever it was given may have been emptied before.
    was_relieved: bool,
    step: Step,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spiller {
    plan: Plan,
    over: u64,
    /// Since when there is pressure, if there is any.
    pressed_ms: u64,
    gate: Gate,
    running: Option<Running>,
    next: Job,
    files: Files,
    is_releasing: bool,
    /// An earlier life may have released without coming to the prune.
    is_prune_due: bool,
    /// Somebody has looked, and there was no occasion yet to begin a compaction.
    has_looked: bool,
    /// The last job was a spill: a compaction comes before the next one, or files would grow under steady pressure.
    has_spilled: bool,
    /// Why the last spill failed.
    failure: Option<Failure>,
    spill_retry: Retry,
    compact_retry: Retry,
    release_retry: Retry,
    is_stopped: bool,
    /// Nobody knows what the manifest says.
    is_uncertain: bool,
}

impl Spiller {
    /// A life whose loaded map refers to these files. What nothing refers to is released, or pruned, by its
    /// first event.
    #[must_use]
    pub fn new(plan: Plan, files: impl IntoIterator<Item = (ColdSeq, Adopted)>) -> Self {
        let mut core = Self {
            plan,
            over: 0,
            pressed_ms: 0,
            gate: Gate::Open,
            running: None,
            next: 1,
            files: Files::default(),
            is_releasing: false,
            is_prune_due: false,
            has_looked: false,
            has_spilled: false,
            failure: None,
            spill_retry: Retry::default(),
            compact_retry: Retry::default(),
            release_retry: Retry::default(),
            is_stopped: false,
            is_uncertain: false,
        };
        for (file, adopted) in files {
            core.is_prune_due |= adopted.released && adopted.live == 0;
            core.files.adopt(file, adopted);
        }
        core
    }

    /// Is there a file that the manifest may not have yet? A hand-over is for the shard alone.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !matches!(running.step, Step::HandingOver(_)))
    }

    /// Why the last spill led to nothing, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// What the shard was told last.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// Takes an event, at a time of a clock that only goes up, and adds what to do, in order.
    pub fn on_event(&mut self, now_ms: u64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Pressure { over } => self.on_pressure(now_ms, over),
            Event::Uses { file, live } => self.files.uses(file, live),
            Event::Written(job, written) => self.on_written(job, written, effects),
            Event::Failed(job, failure) => {
                if let Some(running) = self.running.take_if(|running| running.is_at(job, &Step::Writing)) {
                    self.on_failed(now_ms, &running, failure);
                }
            }
            Event::Committed(job, outcome) => self.on_committed(now_ms, job, outcome, effects),
            Event::HandedOver(job, handed) => self.on_handed_over(job, &handed),
            Event::Released(files, outcome) => self.on_released(now_ms, &files, outcome, effects),
            Event::Look => self.has_looked = true,
            Event::Stop => self.is_stopped = true,
        }
        self.release(now_ms, effects);
        self.begin(now_ms, effects);
        self.tell(now_ms, effects);
    }

    fn has_ended(&self) -> bool {
        self.is_stopped || self.is_uncertain
    }

    fn on_pressure(&mut self, now_ms: u64, over: u64) {
        if self.over == 0 {
            self.pressed_ms = now_ms;
        }
        self.over = over;
        if over > 0 {
            return;
        }
        if let Some(running) = &mut self.running {
            running.was_relieved = true;
        }
        if self.failure == Some(Failure::Nothing) {
            // Nor does it say anything about the next time that there was nothing before.
            (self.failure, self.spill_retry) = (None, Retry::default());
        }
    }

    fn on_failed(&mut self, now_ms: u64, running: &Running, failure: Failure) {
        if running.sources.is_empty() && running.was_relieved && failure == Failure::Nothing {
            // What was too much was removed before anybody looked. That says nothing about the next time.
            self.has_spilled = true;
        } else {
            self.fail(now_ms, &running.sources, failure);
        }
    }

    fn on_written(&mut self, job: Job, written: Written, effects: &mut Vec<Effect>) {
        let has_ended = self.has_ended();
        let Some(running) = self.running.as_mut().filter(|running| running.is_at(job, &Step::Writing)) else { return };
        if has_ended {
            self.running = None;
            return effects.push(Effect::Remove(job));
        }
        running.step = Step::Committing(written);
        effects.push(Effect::Commit(job));
    }

    fn on_committed(&mut self, now_ms: u64, job: Job, outcome: EditOutcome, effects: &mut Vec<Effect>) {
        let Some(running) = self.running.as_mut().filter(|running| running.job == job) else { return };
        let Step::Committing(written) = running.step else { return };
        match outcome {
            // Nobody may be there to hand over to. The next life finds the file, and nothing that refers to it.
            EditOutcome::Committed if self.is_stopped => self.running = None,
            EditOutcome::Committed => {
                running.step = Step::HandingOver(written);
                effects.push(Effect::HandOver(job));
            }
            EditOutcome::Declined(_) | EditOutcome::Failed => {
                effects.push(Effect::Remove(job));
                let sources = std::mem::take(&mut running.sources);
                self.running = None;
                self.fail(now_ms, &sources, Failure::Manifest);
            }
            EditOutcome::Indeterminate => (self.running, self.is_uncertain) = (None, true),
        }
    }

    fn on_handed_over(&mut self, job: Job, handed: &Handed) {
        let Some(running) = self.running.take_if(|running| running.job == job) else { return };
        let Step::HandingOver(Written { file, bytes, values }) = running.step else {
            self.running = Some(running);
            return;
        };
        let live = |file| handed.live.iter().find(|(one, _)| *one == file).map_or(0, |(_, live)| *live);
        self.over = handed.over;
        self.files.adopt(file, Adopted { bytes, values, live: live(file), released: false });
        for source in &running.sources {
            self.files.uses(*source, live(*source));
        }
        self.files.leave(&running.sources);
        if running.sources.is_empty() {
            (self.failure, self.spill_retry, self.has_spilled) = (None, Retry::default(), true);
        } else {
            (self.compact_retry, self.has_spilled) = (Retry::default(), false);
        }
    }

    fn on_released(&mut self, now_ms: u64, files: &[ColdSeq], outcome: EditOutcome, effects: &mut Vec<Effect>) {
        self.is_releasing = false;
        match outcome {
            EditOutcome::Committed => {
                self.release_retry = Retry::default();
                effects.push(Effect::Prune);
            }
            // The manifest has gone on without this life, or has dropped them. The next life finds what is left.
            EditOutcome::Declined(_) => {}
            EditOutcome::Failed => return self.release_retry.fail(now_ms),
            EditOutcome::Indeterminate => return self.is_uncertain = true,
        }
        self.files.forget(files);
    }

    fn fail(&mut self, now_ms: u64, sources: &[ColdSeq], failure: Failure) {
        if sources.is_empty() {
            (self.failure, self.has_spilled) = (Some(failure), true);
            self.spill_retry.fail(now_ms);
        } else if failure == Failure::Nothing {
            self.files.leave(sources);
        } else {
            self.has_spilled = false;
            self.compact_retry.fail(now_ms);
        }
    }

    fn release(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.is_prune_due) {
            effects.push(Effect::Prune);
        }
        let dead = self.files.dead();
        if !self.has_ended() && !self.is_releasing && !dead.is_empty() && self.release_retry.is_due(now_ms) {
            self.is_releasing = true;
            effects.push(Effect::Release(dead));
        }
    }

    fn begin(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if self.has_ended() || self.running.is_some() {
            return;
        }
        let is_spill_due = self.over > 0 && self.spill_retry.is_due(now_ms);
        let is_compaction_due = self.has_looked && (self.has_spilled || !is_spill_due);
        let can_compact = is_compaction_due && self.compact_retry.is_due(now_ms);
        let sources = if can_compact { self.files.sources(self.plan.batch_bytes) } else { Vec::new() };
        self.has_looked &= !is_compaction_due;
        let job = self.next;
        if !sources.is_empty() {
            effects.push(Effect::Compact { job, files: sources.clone() });
        } else if is_spill_due {
            // A whole batch, however little would do: many small files would each have to be kept, counted and read.
            effects.push(Effect::Spill { job, bytes: self.plan.batch_bytes });
        } else {
            return;
        }
        self.next += 1;
        self.running = Some(Running { job, sources, since_ms: now_ms, was_relieved: false, step: Step::Writing });
    }

    fn tell(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        // A compaction may have run for long when somebody begins to wait.
        let waits_since = |running: &Running| running.since_ms.max(self.pressed_ms);
        let is_late = |running: &Running| now_ms >= waits_since(running).saturating_add(self.plan.patience_ms);
        let gate = if self.has_ended() {
            Gate::Refuse
        } else if self.over == 0 {
            Gate::Open
        } else if self.failure.is_some() || self.running.as_ref().is_none_or(is_late) {
            Gate::Refuse
        } else {
            Gate::Wait
        };
        if gate != self.gate {
            self.gate = gate;
            effects.push(Effect::Gate(gate));
        }
    }
}

impl Running {
    fn is_at(&self, job: Job, step: &Step) -> bool {
        self.job == job && self.step == *step
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
