//! Credits: the bound on what is on its way through one shard, from `submit` to the answer.
//!
//! One semaphore counts bytes; a command is charged its encoded length, but at least the byte limit divided by the
//! count limit, so that the number of commands is bounded too. A charge comes back when the command's batch has been
//! written and answered (or refused), so whatever stalls behind the lane, what has piled up is bounded. Frames kept for
//! a move have a bound of their own.

use crate::sync::Arc;
use tokio::sync::Semaphore;

/// See the module.
#[derive(Debug)]
pub(crate) struct Credits {
    semaphore: Semaphore,
    least: u32,
    all: u32,
}

/// Credits that a batch holds; they come back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    credits: Arc<Credits>,
    bytes: usize,
}

impl Credits {
    /// For so many commands and bytes, or for the part of both that there is memory for.
    pub(crate) fn new(commands: u32, bytes: u32, part: u32) -> Self {
        let all = part.min(bytes);
        // A short command takes no less memory where there is room for fewer.
        let least = (bytes / commands).clamp(1, all.max(1));
        Self { semaphore: Semaphore::new(all as usize), least, all }
    }

    /// What a command of this length is charged.
    pub(crate) fn charge(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).clamp(self.least, self.all.max(self.least))
    }

    /// Takes credits, waiting in order of arrival. `false`: the shard has closed. Dropping the future takes nothing.
    pub(crate) async fn take(&self, charge: u32) -> bool {
        match self.semaphore.acquire_many(charge).await {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Takes credits if there are any free.
    pub(crate) fn try_take(&self, charge: u32) -> bool {
        self.semaphore.try_acquire_many(charge).map(|permit| permit.forget()).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.semaphore.add_permits(bytes);
    }

    /// Nobody waits here any more.
    pub(crate) fn close(&self) {
        self.semaphore.close();
    }
}

impl Held {
    pub(crate) fn new(credits: Arc<Credits>) -> Self {
        Self { credits, bytes: 0 }
    }

    pub(crate) fn add(&mut self, charge: u32) {
        self.bytes += charge as usize;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.credits.give_back(self.bytes);
    }
}
