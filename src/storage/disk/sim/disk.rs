//! The simulated disk's own interface: what a test arms, switches and asks.

use std::fmt;
use std::io;

use super::call::Call;
use super::plan::{Fault, FaultKind};
use super::state::State;
use crate::sync::{Arc, Mutex, MutexGuard};

/// A disk in memory that can lie, fail, fill up, hang and lose power.
///
/// A cheap handle: clones are the same disk. It implements the crate's `Disk`, so a runtime can be opened on it. All
/// calls may be made from any thread. At first there are the directories `/` and the empty path, which relative
/// names start from.
///
/// What it may do to the data, and nothing worse:
/// - **Writes.** Bytes outside a write's range never change. Inside it every 512-byte piece, aligned in the file, is
///   after a crash independently what it was at the last sync or what some write since then made of it, and one piece
///   of a file may be torn at any byte. A sync that returned `Ok` ends the choice.
/// - **Length.** Durable with the sync. A crash may keep the old one, the new one or any in between, and what was added
///   reads as zeroes; zeroes appear nowhere else.
/// - **Failed syncs.** The cache still shows the new data and the disk has the old. The pages are clean: a later sync
///   returns `Ok` and makes none of it durable, and `drop_cache` brings the old data back.
/// - **Names.** `create`, `create_dir`, `rename` and `remove` are kept or lost one by one until the directory's
///   `sync_dir`. A rename is atomic for the new name. After a lost rename both old names stand; after a kept one the
///   old name may be there too, for the same file. A failed `sync_dir` changes nothing: the next `Ok` counts.
/// - **Calls.** Any can fail as [`FaultKind`] has it, or hang as long as a [`Stall`](super::Stall) lives.
///
/// ```
/// use mainstay::sim::SimDisk;
///
/// let disk = SimDisk::new(1);
/// disk.put("data/file", b"durable");
/// disk.overwrite("data/file", 0, b"D")?;
/// let after = disk.crash(7);
/// assert_eq!(after.read("data/file").as_deref(), Some(&b"Durable"[..]));
/// assert_eq!(after.files(), disk.files());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk. The seed decides what failing writes leave behind and what a stalled sync covers; with the
    /// same seed and the same order of calls everything happens the same way again.
    pub fn new(seed: u64) -> Self {
        Self::from_state(State::new(seed))
    }

    pub(super) fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// How many calls have been counted.
    pub fn calls(&self) -> u64 {
        self.state().call_count
    }

    /// The calls counted, in order.
    pub fn trace(&self) -> Vec<Call> {
        self.state().trace.clone()
    }

    /// Goes on counting from here: after `set_call_count(0)` the next call is number 1. Forgets the trace. Faults
    /// armed for a number keep it.
    pub fn set_call_count(&self, count: u64) {
        let mut state = self.state();
        state.call_count = count;
        state.trace.clear();
    }

    /// Whether calls that are not mutations go uncounted, and so untraced and out of the reach of numbered faults.
    /// Default: `false`. Predicates and stalls see them either way.
    pub fn count_only_mutations(&self, only: bool) {
        self.state().only_mutations = only;
    }

    /// Arms a fault for the call of that number.
    pub fn fail(&self, fault: Fault) {
        self.state().plan.armed.insert(fault.at, fault.kind);
    }

    /// Arms a fault for a call counted from here: 1 (or 0) is the next one.
    pub fn fail_in(&self, calls: u64, kind: FaultKind) {
        let mut state = self.state();
        let at = state.call_count.saturating_add(calls.max(1));
        state.plan.armed.insert(at, kind);
    }

    /// Asks the predicate at every call from now on, unless a numbered fault hits the call or an older predicate has
    /// an answer. The predicate must not call the disk's `Disk` or `DiskFile` methods.
    pub fn fail_when(&self, predicate: impl FnMut(&Call) -> Option<FaultKind> + Send + 'static) {
        let predicate = Arc::new(Mutex::new(Box::new(predicate) as _));
        self.state().plan.predicates.push(predicate);
    }

    /// Takes back every numbered fault and predicate. What is broken for good ([`SimDisk::mend`] ends that), full or
    /// without power stays so.
    pub fn disarm(&self) {
        let mut state = self.state();
        state.plan.armed.clear();
        state.plan.predicates.clear();
    }

    /// Ends every [`FaultKind::ErrorForEver`] that has fired: for looking at what lies behind it. Pages that a failed
    /// sync has left stay clean and not durable.
    pub fn mend(&self) {
        self.state().plan.broken.clear();
    }

    /// Ends [`FaultKind::NoSpace`].
    pub fn free_space(&self) {
        self.state().plan.full = false;
    }

    /// Cuts the power now, between two calls: [`FaultKind::Crash`] without a call.
    pub fn cut_power(&self) {
        self.state().powered = false;
    }

    /// Whether the power has been cut.
    pub fn is_power_cut(&self) -> bool {
        !self.state().powered
    }

    /// Whether `sync` returns `Ok` and makes nothing durable. For showing that a suite notices.
    pub fn lie_about_sync(&self, lie: bool) {
        self.state().lies.sync = lie;
    }

    /// Whether `sync_dir` returns `Ok` and makes nothing durable. For showing that a suite notices.
    pub fn lie_about_sync_dir(&self, lie: bool) {
        self.state().lies.sync_dir = lie;
    }

    /// Makes `refused_file_system` name this one for every path, also after a crash or a kill.
    pub fn pretend_file_system(&self, name: &'static str) {
        self.state().file_system = Some(name);
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        formatter
            .debug_struct("SimDisk")
            .field("seed", &state.seed)
            .field("call_count", &state.call_count)
            .field("powered", &state.powered)
            .finish_non_exhaustive()
    }
}

/// What every call gets once the power is cut.
pub(super) fn power_cut() -> io::Error {
    io::Error::other("power cut")
}
