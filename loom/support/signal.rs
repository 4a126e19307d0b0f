//! A stand-in for `tokio::sync::Notify` as it is used here: enable, look, then wait for whatever comes after the enable.

use loom::sync::{Condvar, Mutex};

/// See the module.
#[derive(Debug)]
pub struct Signal {
    count: Mutex<u64>,
    raised: Condvar,
}

/// What [`Signal::enable`] has seen.
#[derive(Debug)]
pub struct Enabled(u64);

impl Signal {
    pub fn new() -> Self {
        Self { count: Mutex::new(0), raised: Condvar::new() }
    }

    pub fn notify_waiters(&self) {
        *self.count.lock().unwrap() += 1;
        self.raised.notify_all();
    }

    pub fn enable(&self) -> Enabled {
        Enabled(*self.count.lock().unwrap())
    }

    pub fn wait(&self, enabled: Enabled) {
        let mut count = self.count.lock().unwrap();
        while *count == enabled.0 {
            count = self.raised.wait(count).unwrap();
        }
    }
}
