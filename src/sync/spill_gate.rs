//! What a shard at its limit does with commands that need memory: told by the spiller, looked at by the shard.
//!
//! A cell. Whoever sets it wakes the shard afterwards, which then looks again: what it has seen before that is at most
//! late.

use super::atomic::{AtomicU8, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub struct SpillGate(AtomicU8);

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// There is not too much in memory, as far as the spiller has heard.
    Room,
    /// Memory will be free soon.
    Wait,
    /// Nobody knows when.
    Refuse,
}

impl SpillGate {
    /// The spiller's side.
    pub fn set(&self, says: AtLimit) {
        self.0.store(says as u8, Ordering::Release);
    }

    /// The shard's side. Until anything was said there is no reason to refuse.
    pub fn get(&self) -> AtLimit {
        match self.0.load(Ordering::Acquire) {
            0 => AtLimit::Room,
            1 => AtLimit::Wait,
            _ => AtLimit::Refuse,
        }
    }
}
