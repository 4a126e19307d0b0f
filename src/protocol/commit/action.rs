//! The vocabulary of group commit: what the writer's shell is told to do, and what it reports back.

use crate::model::{Durability, Lsn, SegmentSeq};

/// Sizes that the writer plans with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Payload of one frame.
    pub frame_payload_max: u64,
    /// The largest batch as a frame of its own.
    pub batch_bytes_max: u64,
    /// Bytes of a frame beside its payload, and the multiple it is rounded up to.
    pub frame_overhead: u64,
    /// See `frame_overhead`.
    pub alignment: u64,
    /// Bytes of a segment beside its frames.
    pub segment_overhead: u64,
    /// With so many bytes of frames that are kept it is time for a sync, whatever the policy.
    pub kept_bytes_max: u64,
}

impl Limits {
    /// Bytes of a frame with this payload.
    #[must_use]
    pub fn frame_bytes(&self, payload: u64) -> u64 {
        (self.frame_overhead + payload).next_multiple_of(self.alignment)
    }

    /// What a batch counts against the [grant](super::Commit::granted): a frame of its own, or nothing if it has no
    /// commands.
    #[must_use]
    pub fn batch_bytes(&self, payload: u64) -> u64 {
        if payload == 0 { 0 } else { self.frame_bytes(payload) }
    }
}

/// A batch that the shard has handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The lsn after its last command.
    pub end: Lsn,
    /// Its bytes in a frame's payload; 0 for a batch without commands, which only carries a root.
    pub bytes: u64,
}

/// Why a segment is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The writer's life begins.
    Begin,
    /// The one before is full.
    Roll,
    /// The one before has failed.
    Move,
}

/// Proof that everything below `end` is as durable as `durability` says. Made here only; not to be cloned.
#[derive(Debug, PartialEq, Eq)]
pub struct Completion {
    pub(super) end: Lsn,
    pub(super) durability: Durability,
    pub(super) without_commands: usize,
}

impl Completion {
    /// The exclusive end.
    #[must_use]
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// What its receipts promise.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// How many batches at the front of the queue are complete without being written, having no commands.
    #[must_use]
    pub fn without_commands(&self) -> usize {
        self.without_commands
    }
}

/// Why a writer stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It was asked to, and everything is answered and durable.
    Finished,
    /// A newer incarnation has begun, or the tenure was revoked.
    Superseded,
    /// The log ends at its durable end: what is not answered is certainly not executed.
    Sealed,
    /// What is not answered may or may not be executed.
    Unknown,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Make and register a spare. Answered later, by `on_spare` or `on_no_spare`.
    Prepare,
    /// Commit the edit that begins the writer's life with this file.
    Begin(SegmentSeq),
    /// Write and sync the header of this spare; it becomes the file that is written.
    Open(SegmentSeq, Opening),
    /// Write the first so many queued batches as one frame; none: an empty frame.
    Write {
        /// How many.
        batches: usize,
        /// For the frame's header.
        durable_end: Lsn,
    },
    /// Sync the file. The frames that were written to it need not be kept any longer.
    Sync,
    /// Publish, raise the watermark, answer.
    Complete(Completion),
    /// Tell whoever wanted the first boundary: everything below it is synced, and the log has a frame that ends there.
    Boundary,
    /// Write all kept frames again, to the file just opened, and sync it.
    Rewrite {
        /// For the frames' headers.
        durable_end: Lsn,
    },
    /// Commit the edit that moves the log to this file.
    Move(SegmentSeq),
    /// Commit the edit that ends the epoch at the durable end.
    Seal,
    /// Commit the edit that marks an orderly end.
    Close,
    /// End.
    Stop(Stop),
}
