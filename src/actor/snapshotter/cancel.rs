//! Has a job end early, and says why.

use tokio::sync::Notify;

use crate::protocol::snapshot::Failure;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    flag: AtomicBool,
    memory: AtomicBool,
    told: Notify,
}

impl Cancel {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
        self.told.notify_waiters();
        self.told.notify_one();
    }

    /// The same, because it keeps too much memory alive.
    pub(crate) fn cancel_for_memory(&self) {
        if !self.memory.swap(true, Ordering::AcqRel) {
            self.cancel();
        }
    }

    /// Why it was cancelled.
    pub(crate) fn why(&self) -> Failure {
        if self.memory.load(Ordering::Acquire) { Failure::Memory } else { Failure::Cancelled }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub(crate) async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.told.notified().await;
        }
    }
}
