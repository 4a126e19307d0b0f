//! Calls that hang: a gate that matching calls wait at, and the handle that opens it.
//!
//! The `Condvar` is the standard library's: the shim has none, and no loom model runs the simulator.

use std::fmt;
use std::sync::{Condvar, PoisonError};

use super::call::Call;
use super::disk::SimDisk;
use crate::sync::{Arc, Mutex};

/// While this lives, the calls that match hang inside the disk, without holding any lock of it.
///
/// A call is counted, and its faults are decided, when it is made; its effect comes when it is released. A sync that
/// is released makes durable what was written before it was called, and of what was written since then all or
/// nothing, as the disk's seed has it. A power cut releases nobody; dropping the handle does.
pub struct Stall {
    disk: SimDisk,
    gate: Arc<Gate>,
}

type Matcher = Box<dyn FnMut(&Call) -> bool + Send>;

pub(super) struct Gate {
    matches: Mutex<Matcher>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: usize,
    open: bool,
}

impl SimDisk {
    /// From now on, calls for which the predicate says `true` hang until the handle releases them. The predicate
    /// must not call the disk's `Disk` or `DiskFile` methods.
    #[must_use = "dropping the handle releases the calls"]
    pub fn stall(&self, matches: impl FnMut(&Call) -> bool + Send + 'static) -> Stall {
        let gate =
            Arc::new(Gate { matches: Mutex::new(Box::new(matches)), queue: Mutex::default(), changed: Condvar::new() });
        self.state().plan.gates.push(Arc::clone(&gate));
        Stall { disk: self.clone(), gate }
    }
}

impl Stall {
    /// How many calls hang here now.
    pub fn waiting(&self) -> usize {
        self.gate.queue.lock().waiting
    }

    /// Blocks until at least one call hangs here, for ever if none ever does. Returns at once after a release.
    pub fn wait_until_stalled(&self) {
        self.gate.wait_while(|queue| queue.waiting == 0 && !queue.open);
    }

    /// Lets the calls go on, and all later ones pass.
    pub fn release(&self) {
        self.disk.state().plan.gates.retain(|gate| !Arc::ptr_eq(gate, &self.gate));
        self.gate.queue.lock().open = true;
        self.gate.changed.notify_all();
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stall").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Gate {
    /// Returns at once, or when the gate has been opened if the call is one that it stops.
    pub(super) fn pass(&self, call: &Call) {
        let stops = (*self.matches.lock())(call);
        if !stops {
            return;
        }
        self.queue.lock().waiting += 1;
        self.changed.notify_all();
        self.wait_while(|queue| !queue.open);
        self.queue.lock().waiting -= 1;
    }

    fn wait_while(&self, condition: impl Fn(&Queue) -> bool) {
        let queue = self.queue.lock();
        let done = self.changed.wait_while(queue, |queue| condition(queue));
        drop(done.unwrap_or_else(PoisonError::into_inner));
    }
}
