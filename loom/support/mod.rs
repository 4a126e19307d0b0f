//! Stand-ins for what loom cannot see, and how a model is run.

mod caller;
pub mod cuts;
mod mailbox;
mod signal;
mod slot;
mod watch;

pub use caller::wait;
pub use mailbox::{Mailbox, drains};
pub use signal::Signal;
pub use slot::{Slot, root};
pub use watch::{Thread, Watched, spawn};

use std::sync::atomic::{AtomicU64, Ordering};

use mainstay::model::{Epoch, Lsn, Position};
use mainstay::sync::published::Positioned;

/// What an actor's mailbox holds here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Drain,
}

/// A root is where it ends.
#[derive(Debug)]
pub struct Root(pub Position);

impl Positioned for Root {
    fn end(&self) -> Position {
        self.0
    }
}

pub fn position(epoch: u64, lsn: u64) -> Position {
    Position { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

/// Explores every interleaving.
pub fn unbounded(model: impl Fn() + Sync + Send + 'static) {
    run(None, model);
}

/// Explores every interleaving with at most so many preemptions.
pub fn bounded(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    run(Some(preemptions), model);
}

/// `LOOM_MAX_PREEMPTIONS` has the last word about the bound. Prints how many interleavings there were.
fn run(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.max_branches = 10_000;
    let count = std::sync::Arc::new(AtomicU64::new(0));
    let counted = std::sync::Arc::clone(&count);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        watch::begin();
        model();
    });
    let bound = builder.preemption_bound;
    println!("{} interleavings, bound {bound:?}", count.load(Ordering::Relaxed));
}
