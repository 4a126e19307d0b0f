//! The published root of a shard: what readers see, and how they ask for a newer one.
//!
//! Publishing costs the shard path copies, so it happens on demand: a reader that finds the cell behind what was
//! answered *asks* and rings the shard; the shard *takes* the ask and sends its root with its next batch, an empty one
//! if need be; the writer publishes it after everything in it is as durable as the policy promises.
//!
//! Invariants: a root that is taken for an ask is at least as new as everything answered when the ask was made, because
//! the ask is taken before the root is cloned; the cell only moves forward.
//!
//! Loom does not see `arc_swap`: under loom the cell is a lock with the same interface, and a stress test covers the
//! real one.

use super::Arc;
use super::atomic::{AtomicBool, Ordering};
use crate::model::Position;

/// A value that ends at a position, so that newer and older can be told apart.
pub trait Positioned {
    /// The exclusive end of what it contains.
    fn end(&self) -> Position;
}

/// See the module.
#[derive(Debug)]
pub struct Published<R> {
    cell: cell::Cell<R>,
    asked: AtomicBool,
}

impl<R: Positioned> Published<R> {
    /// Starts with a root.
    #[must_use]
    pub fn new(root: Arc<R>) -> Self {
        Self { cell: cell::Cell::new(root), asked: AtomicBool::new(false) }
    }

    /// The root that is published now.
    pub fn latest(&self) -> Arc<R> {
        self.cell.load()
    }

    /// Publishes a root and returns the one it replaces, for the reaper; or gives an older one back unpublished.
    /// Callers are serialised by the [tenure](super::tenure) that lets them publish.
    pub fn publish(&self, root: Arc<R>) -> Arc<R> {
        if root.end() < self.latest().end() { root } else { self.cell.swap(root) }
    }

    /// Publishes a recovered root, whatever was there before. Only between two lives.
    pub fn replace(&self, root: Arc<R>) -> Arc<R> {
        self.cell.swap(root)
    }

    /// A reader wants a newer root. If it waits for it, it must ring the shard afterwards, whoever asked before.
    pub fn ask(&self) {
        self.asked.swap(true, Ordering::AcqRel);
    }

    /// Somebody reads what is published: the next batch may as well bring a newer root. Nobody waits for it, so this
    /// only looks at the flag if it is up already.
    pub fn hint(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            self.ask();
        }
    }

    /// The shard takes the ask: the root that it clones after this serves everybody who asked before.
    pub fn take_ask(&self) -> bool {
        self.asked.swap(false, Ordering::AcqRel)
    }
}

#[cfg(not(loom))]
mod cell {
    use super::Arc;

    #[derive(Debug)]
    pub(super) struct Cell<R>(arc_swap::ArcSwap<R>);

    impl<R> Cell<R> {
        pub(super) fn new(root: Arc<R>) -> Self {
            Self(arc_swap::ArcSwap::new(root))
        }

        pub(super) fn load(&self) -> Arc<R> {
            self.0.load_full()
        }

        pub(super) fn swap(&self, root: Arc<R>) -> Arc<R> {
            self.0.swap(root)
        }
    }
}

#[cfg(loom)]
mod cell {
    use super::Arc;
    use crate::sync::Mutex;

    #[derive(Debug)]
    pub(super) struct Cell<R>(Mutex<Arc<R>>);

    impl<R> Cell<R> {
        pub(super) fn new(root: Arc<R>) -> Self {
            Self(Mutex::new(root))
        }

        pub(super) fn load(&self) -> Arc<R> {
            Arc::clone(&self.0.lock())
        }

        pub(super) fn swap(&self, root: Arc<R>) -> Arc<R> {
            std::mem::replace(&mut *self.0.lock(), root)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
