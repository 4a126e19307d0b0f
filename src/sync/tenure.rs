//! The right of one incarnation to answer, publish and raise the watermarks, and the callers that wait for it.
//!
//! Callers whose commands were accepted are *parked* here, where three parties can take them: the WAL writer when the
//! log is as durable as the policy promises, the shard's timer when that takes too long, and the supervisor when it
//! revokes the incarnation. Whoever takes a caller answers it, and nobody else can: taking moves it out from under one
//! lock.
//!
//! Invariants: after [`Tenure::revoke`] has returned nothing is published, raised or answered for this incarnation,
//! however late a thread of it wakes; a watermark is raised after the root is published and before the caller is
//! answered, so who holds an answer finds its write.

use std::collections::VecDeque;

use super::Mutex;
use super::mutants::{self, Mutant};
use super::watermark::Watermark;
use crate::model::Lsn;

/// Callers of one batch.
#[derive(Debug)]
struct Parked<P> {
    end: Lsn,
    expires_ms: u64,
    ports: P,
}

#[derive(Debug)]
struct State<P> {
    revoked: bool,
    parked: VecDeque<Parked<P>>,
}

/// See the module.
#[derive(Debug)]
pub struct Tenure<P> {
    answered: Watermark,
    durable: Watermark,
    state: Mutex<State<P>>,
}

/// What [`Tenure::expire`] took, and when to come again.
#[derive(Debug, PartialEq, Eq)]
pub struct Expired<P> {
    /// Callers that have waited too long.
    pub ports: Vec<P>,
    /// When the next ones will have, if there are any.
    pub next_ms: Option<u64>,
}

impl<P> Tenure<P> {
    /// A tenure that starts with everything below `end` answered and durable.
    #[must_use]
    pub fn new(end: Lsn) -> Self {
        Self {
            answered: Watermark::new(end),
            durable: Watermark::new(end),
            state: Mutex::new(State { revoked: false, parked: VecDeque::new() }),
        }
    }

    /// Every lsn below has been answered, or could be, under the policy.
    pub fn answered(&self) -> Lsn {
        self.answered.get()
    }

    /// Every lsn below is synced.
    pub fn durable(&self) -> Lsn {
        self.durable.get()
    }

    /// The shard's side: parks the callers of a batch that ends at `end`, before the batch is handed over.
    ///
    /// # Errors
    /// The tenure is revoked; the callers come back.
    pub fn park(&self, end: Lsn, expires_ms: u64, ports: P) -> Result<(), P> {
        let mut state = self.state.lock();
        if state.revoked {
            return Err(ports);
        }
        state.parked.push_back(Parked { end, expires_ms, ports });
        Ok(())
    }

    /// The writer's side: everything below `end` is as durable as the policy promises. Publishes, raises the watermark
    /// and takes the callers, which are the writer's to answer. `None`: revoked, and nothing has happened.
    pub fn complete(&self, end: Lsn, publish: impl FnOnce()) -> Option<Vec<P>> {
        let mut state = self.state.lock();
        if state.revoked {
            return None;
        }
        publish();
        self.answered.raise(end);
        let done = state.parked.iter().take_while(|parked| parked.end <= end).count();
        Some(state.parked.drain(..done).map(|parked| parked.ports).collect())
    }

    /// The writer's side: everything below `end` is synced. `false`: revoked, and nothing has happened.
    pub fn synced(&self, end: Lsn) -> bool {
        let state = self.state.lock();
        if !state.revoked {
            self.durable.raise(end);
        }
        !state.revoked
    }

    /// The timer's side: takes the callers that have waited until `now_ms` or longer.
    pub fn expire(&self, now_ms: u64) -> Expired<P> {
        let mut state = self.state.lock();
        let late = state.parked.iter().take_while(|parked| parked.expires_ms <= now_ms).count();
        let ports = state.parked.drain(..late).map(|parked| parked.ports).collect();
        Expired { ports, next_ms: state.parked.front().map(|parked| parked.expires_ms) }
    }

    /// The supervisor's side, or the writer's own after a seal: ends the tenure and takes all callers.
    pub fn revoke(&self) -> Vec<P> {
        let mut state = self.state.lock();
        if mutants::is_on(Mutant::StaleIncarnation) {
            return Vec::new();
        }
        state.revoked = true;
        state.parked.drain(..).map(|parked| parked.ports).collect()
    }

    /// Has it ended?
    pub fn is_revoked(&self) -> bool {
        self.state.lock().revoked
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
