//! Which call fails, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::call::Call;
use super::stall::Gate;
use super::tree::InodeId;
use crate::sync::{Arc, Mutex};

/// A failure that waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Number of the call, from 1. A number that has passed already never fires.
    pub at: u64,
    /// What happens there.
    pub kind: FaultKind,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FaultKind {
    /// This call fails with `EIO`. Of a write nothing, a prefix, some pieces or all arrive in the cache; a sync
    /// leaves the disk as it was and the pages clean; any other call changes nothing.
    ErrorOnce,
    /// This call fails like [`FaultKind::ErrorOnce`], and so does every later one of the same sort on the same
    /// thing. The thing is the file (whatever its name) for a call on an open file, else the directory; the sorts
    /// are the mutations and the others ([`Operation::is_mutation`](super::Operation::is_mutation)). Until
    /// [`SimDisk::mend`](super::SimDisk::mend).
    ErrorForEver,
    /// This call does all of its work and then reports `EIO`: who takes the error for "did not happen" is wrong.
    ErrorAfterEffect,
    /// The disk is full from this call on: whatever allocates (a new file or directory, a write that extends a
    /// file) fails with [`StorageFull`](std::io::ErrorKind::StorageFull) until
    /// [`SimDisk::free_space`](super::SimDisk::free_space). Of such a write, a prefix that fits may arrive.
    NoSpace,
    /// The power is cut in the middle of this call. It and every later call, through any handle of this disk, fail
    /// with "power cut" and change nothing any more; [`SimDisk::crash`](super::SimDisk::crash) shows what is left.
    Crash,
}

/// What a call works on, as far as lasting failures are concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Inode(InodeId),
    Directory(PathBuf),
}

/// A target that fails for good: its mutations, or its other calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Broken {
    pub(super) target: Target,
    pub(super) mutation: bool,
}

/// Decides about a call, outside the disk's lock.
pub(super) type Predicate = Arc<Mutex<Box<dyn FnMut(&Call) -> Option<FaultKind> + Send>>>;

#[derive(Default)]
pub(super) struct Plan {
    pub(super) armed: BTreeMap<u64, FaultKind>,
    pub(super) predicates: Vec<Predicate>,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) broken: BTreeSet<Broken>,
    pub(super) full: bool,
}
