//! What all connections share: the runtime, limits, counters, and the sign to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;

use mainstay::kv::Kv;
use mainstay::{Runtime, SyncPolicy};
use tokio::sync::watch;

use super::input::RequestLimits;
use super::ledger::Ledger;

/// The version whose behaviour clients may expect.
pub const REDIS_VERSION: &str = "7.0.15";

/// Limits, and what `INFO` and `CONFIG GET` tell.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: SocketAddr,
    pub sync: SyncPolicy,
    pub spill: bool,
    pub connections_max: usize,
    pub requests: RequestLimits,
    pub reply_bytes_max: usize,
}

#[derive(Default)]
pub struct Counters {
    pub connected: AtomicUsize,
    pub connections: AtomicU64,
    pub rejected: AtomicU64,
    pub requests: AtomicU64,
}

pub struct Shared {
    pub runtime: Runtime<Kv>,
    pub settings: Settings,
    pub started: Instant,
    pub counters: Counters,
    pub ledger: Arc<Ledger>,
    stopping: watch::Sender<bool>,
}

impl Shared {
    pub fn new(runtime: Runtime<Kv>, settings: Settings) -> Self {
        let ledger = Arc::new(Ledger::new(runtime.clone()));
        Self {
            runtime,
            settings,
            started: Instant::now(),
            counters: Counters::default(),
            ledger,
            stopping: watch::Sender::new(false),
        }
    }

    /// Has the listener and every connection end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits for [`Shared::stop`].
    pub async fn stopped(&self) {
        // The sender is in `self`, so it cannot be gone before.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}
