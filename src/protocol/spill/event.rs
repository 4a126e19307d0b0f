//! What a spiller is told, and what it says. What it makes of that is in the module above.

use crate::model::{ColdSeq, EditOutcome};

/// Names a job of a spiller.
pub type Job = u64;

/// How much a spiller does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// A job writes at most so many bytes of values.
    pub batch_bytes: u64,
    /// Nobody is told to wait for a job that takes longer.
    pub patience_ms: u64,
}

/// A cold file that the manifest has, as the spiller knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its length.
    pub bytes: u64,
    /// Values that were written to it.
    pub values: u64,
    /// Values of it to which the working map refers.
    pub live: u64,
    /// The manifest has it as released already, by an earlier life: a snapshot alone keeps it.
    pub released: bool,
}

/// A cold file that a job has made: whole, and durable under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its number.
    pub file: ColdSeq,
    /// Its length.
    pub bytes: u64,
    /// Values in it.
    pub values: u64,
}

/// What a hand-over has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// By how many bytes the shard is over its spill mark now.
    pub over: u64,
    /// Live values of the new file, and of those it was copied from. What is not listed has none.
    pub live: Vec<(ColdSeq, u64)>,
}

/// Why a job led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk has no space for it.
    Full,
    /// The disk or a thread failed.
    Disk,
    /// There was nothing that could be written.
    Nothing,
    /// The manifest did not take the file.
    Manifest,
}

/// What a shard at its hard limit does with a command that needs memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Run it: the shard is not even over its spill mark. Who is at the limit all the same has not been heard yet, and
    /// is told otherwise soon.
    Open,
    /// Let it wait: a job that will free memory is on its way.
    Wait,
    /// Refuse it: nobody knows when there will be memory.
    Refuse,
}

/// What happens to a spiller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The shard is by so many bytes over its spill mark; 0: not at all. A level: the newest counts.
    Pressure {
        /// So many bytes.
        over: u64,
    },
    /// So many values of an adopted file are live. Told at least when that falls below half of them, and at zero.
    Uses {
        /// The file.
        file: ColdSeq,
        /// Values.
        live: u64,
    },
    /// A job's file is there.
    Written(Job, Written),
    /// A job has ended without a file.
    Failed(Job, Failure),
    /// The edit that adopts a job's file ended so.
    Committed(Job, EditOutcome),
    /// The shard has replaced what was still the same.
    HandedOver(Job, Handed),
    /// The edit that releases these files ended so.
    Released(Vec<ColdSeq>, EditOutcome),
    /// Time has passed. Files are looked through for what is worth a compaction.
    Look,
    /// The shard ends. What runs is brought to an end, and nothing is begun.
    Stop,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write values that are in memory to a new file.
    Spill {
        /// The job.
        job: Job,
        /// At most so many bytes of values.
        bytes: u64,
    },
    /// Copy the live values of these files to a new one. What cannot be read stays where it is.
    Compact {
        /// The job.
        job: Job,
        /// The files, oldest first.
        files: Vec<ColdSeq>,
    },
    /// Have the manifest adopt its file.
    Commit(Job),
    /// Have the shard refer to its file, where it still has what was copied.
    HandOver(Job),
    /// Remove its file, which the manifest certainly does not name.
    Remove(Job),
    /// Have the manifest record that the working state does not need these files. One such edit at a time.
    Release(Vec<ColdSeq>),
    /// Have the manifest drop what neither working state nor snapshots need.
    Prune,
    /// Tell the shard.
    Gate(Gate),
}
