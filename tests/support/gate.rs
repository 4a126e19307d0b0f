//! A gate in front of `apply`: a slow machine without sleeps.
#![allow(dead_code, reason = "each test uses its part")]

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mainstay::{Abort, At, CodecError, Lsn, StateMachine, Txn};

/// Lets commands below an lsn through. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    end: Lsn,
    waits: bool,
}

/// A machine behind a gate.
pub struct Gated<M>(pub M, pub Gate);

/// Opens the gate for good: a worker that waits for ever would keep a failing test from ending.
pub struct OpenOnDrop(pub Gate);

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, lsn: Lsn) {
        let mut state = self.state();
        while lsn >= state.end {
            state.waits = true;
            state = self.0.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opens it for commands below an lsn.
    pub fn open_below(&self, end: Lsn) {
        *self.state() = State { end, waits: false };
        self.0.opened.notify_all();
    }

    pub fn open(&self) {
        self.open_below(Lsn(u64::MAX));
    }

    pub fn close(&self) {
        self.open_below(Lsn(0));
    }

    /// Is `apply` held up?
    pub fn somebody_waits(&self) -> bool {
        self.state().waits
    }
}

impl<M: StateMachine> StateMachine for Gated<M> {
    type Command = M::Command;
    type Entity = M::Entity;
    type Reply = M::Reply;
    const SCHEMA: u32 = M::SCHEMA;

    fn key<'a>(&self, command: &'a Self::Command) -> Cow<'a, [u8]> {
        self.0.key(command)
    }

    fn apply(&self, at: At, state: &mut Txn<'_, M::Entity>, command: M::Command) -> Result<M::Reply, Abort> {
        self.1.pass(at.position.lsn);
        self.0.apply(at, state, command)
    }

    fn upcast_command(&self, schema: u32, bytes: &[u8]) -> Result<M::Command, CodecError> {
        self.0.upcast_command(schema, bytes)
    }
}

/// Polls once, with nobody to wake.
pub fn poll_once<F: Future + ?Sized>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Looks until it holds; panics if it never does.
pub async fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(120), what, holds).await;
}

/// The same, where it would come in the end without what is tested.
pub async fn until_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < patience, "it never happens: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
