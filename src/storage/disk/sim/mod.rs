//! The lying simulated disk: [`SimDisk`], an in-memory `Disk` for crash and failure tests.
//!
//! What it may do to the data, and nothing worse, is stated at [`SimDisk`]. It is deterministic for a seed as long as
//! the calls come in the same order. Not here: any knowledge of the formats, slow but finite disks, hard links,
//! truncation, directories that are renamed or removed.
//!
//! Inside, `image` holds bytes, `content` one file's cache and disk, `tree` the names, `plan` which call fails;
//! `names` and `files` are the
//! traits, and `perform` is the one way in for every call of them.

mod call;
mod content;
mod crash;
mod disk;
mod files;
mod image;
mod inspect;
mod names;
mod perform;
mod plan;
mod random;
mod stall;
mod state;
#[cfg(test)]
mod tests;
mod tree;

pub use call::{Call, Operation};
pub use disk::SimDisk;
pub use plan::{Fault, FaultKind};
pub use stall::Stall;
