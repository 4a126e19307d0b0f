//! Commit-then-publish: when an edit is in the manifest, and what its requester is told.
//!
//! ```text
//! request  -->  append  --appended-->  publish, answer committed, delete what it dropped
//!                  |                        (sometimes: change the generation)
//!                  +--failed-->  change the generation to memory's state, without the edit
//!                                  |            |
//!                          changed: answer    not: latch for good, answer indeterminate
//!                          "failed"
//! ```
//! Invariants:
//! - memory is the last state that is certainly durable; readers see no other;
//! - an edit that was declined or failed changes neither memory nor disk, now or after a crash;
//! - after a failed append or sync nothing is appended to that generation again, and nobody is answered or loses a file
//!   until another generation is certain;
//! - files are deleted only after the edit that drops them is durable.

use std::collections::VecDeque;

use crate::model::{DataFile, Edit, EditOutcome, Manifest};

/// Names a requester, who is answered once.
pub type Token = u64;

/// How a change of generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The new one counts.
    Changed,
    /// The old one certainly counts.
    Unchanged,
    /// After a crash either may count.
    Unknown,
}

/// What happens to the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants edits, all or none.
    Request(Token, Vec<Edit>),
    /// The append was carried out: durable, or not known.
    Appended {
        /// Durable?
        ok: bool,
        /// Is a new generation due?
        full: bool,
    },
    /// The change of generation ended.
    GenerationEnded(Generation),
}

/// What the keeper's shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append and sync, then report [`Event::Appended`].
    Append(Vec<Edit>),
    /// Make this the current state in a new generation, then report [`Event::GenerationEnded`].
    ChangeGeneration(Manifest),
    /// Let readers see this.
    Publish(Manifest),
    /// Tell a requester.
    Answer(Token, EditOutcome),
    /// Delete files that nothing names any more.
    Delete(Vec<DataFile>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Ready,
    Appending(Pending),
    /// After a failed append: the edit must be shut out before its requester is told.
    ShuttingOut(Token),
    /// The generation is full, or ends in a torn edit.
    Changing,
    Latched,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    token: Token,
    next: Manifest,
    dropped: Vec<DataFile>,
}

/// The core. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    manifest: Manifest,
    phase: Phase,
    /// The generation on disk must not be appended to.
    stale: bool,
    waiting: VecDeque<(Token, Vec<Edit>)>,
}

impl Keeper {
    /// A keeper of what was read. `torn`: the generation ends in an edit that was cut short.
    #[must_use]
    pub fn new(manifest: Manifest, torn: bool) -> Self {
        Self { manifest, phase: Phase::Ready, stale: torn, waiting: VecDeque::new() }
    }

    /// The last state that is certainly durable.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Is anything to be reported back by the shell?
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !matches!(self.phase, Phase::Ready | Phase::Latched)
    }

    /// Takes an event and adds what to do, in order.
    pub fn on_event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Request(token, edits) => self.waiting.push_back((token, edits)),
            Event::Appended { ok, full } => self.on_appended(ok, full, effects),
            Event::GenerationEnded(ended) => self.on_generation(ended, effects),
        }
        self.proceed(effects);
    }

    fn proceed(&mut self, effects: &mut Vec<Effect>) {
        while !self.is_busy() {
            if self.phase == Phase::Latched {
                let refused = self.waiting.drain(..);
                effects.extend(refused.map(|(token, _)| Effect::Answer(token, EditOutcome::Indeterminate)));
                return;
            }
            if self.stale && !self.waiting.is_empty() {
                return self.change(Phase::Changing, effects);
            }
            let Some((token, edits)) = self.waiting.pop_front() else { return };
            self.begin(token, edits, effects);
        }
    }

    fn begin(&mut self, token: Token, edits: Vec<Edit>, effects: &mut Vec<Effect>) {
        let (mut next, mut dropped) = (self.manifest.clone(), Vec::new());
        for edit in &edits {
            match next.apply(edit) {
                Ok(applied) => dropped.extend(applied.dropped),
                Err(declined) => {
                    return effects.push(Effect::Answer(token, EditOutcome::Declined(declined)));
                }
            }
        }
        self.phase = Phase::Appending(Pending { token, next, dropped });
        effects.push(Effect::Append(edits));
    }

    fn change(&mut self, phase: Phase, effects: &mut Vec<Effect>) {
        self.phase = phase;
        effects.push(Effect::ChangeGeneration(self.manifest.clone()));
    }

    fn on_appended(&mut self, ok: bool, full: bool, effects: &mut Vec<Effect>) {
        let pending = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::Appending(pending) => pending,
            other => {
                self.phase = other;
                return;
            }
        };
        if !ok {
            self.stale = true;
            return self.change(Phase::ShuttingOut(pending.token), effects);
        }
        self.manifest = pending.next;
        effects.push(Effect::Publish(self.manifest.clone()));
        effects.push(Effect::Answer(pending.token, EditOutcome::Committed));
        if !pending.dropped.is_empty() {
            effects.push(Effect::Delete(pending.dropped));
        }
        if full {
            self.change(Phase::Changing, effects);
        }
    }

    fn on_generation(&mut self, ended: Generation, effects: &mut Vec<Effect>) {
        let shut_out = match std::mem::replace(&mut self.phase, Phase::Ready) {
            Phase::ShuttingOut(token) => Some(token),
            Phase::Changing => None,
            other => {
                self.phase = other;
                return;
            }
        };
        match (ended, shut_out) {
            (Generation::Changed, token) => {
                self.stale = false;
                effects.extend(token.map(|token| Effect::Answer(token, EditOutcome::Failed)));
            }
            // Nothing was wrong with the old generation: it takes edits until it is really full.
            (Generation::Unchanged, None) if !self.stale => {}
            (Generation::Unchanged | Generation::Unknown, token) => {
                self.phase = Phase::Latched;
                effects.extend(token.map(|token| Effect::Answer(token, EditOutcome::Indeterminate)));
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
