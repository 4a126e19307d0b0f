//! A stand-in for `tokio::sync::Notify` as it is used here: enable, look, then wait for whatever comes after the
//! enable.

use super::Watched;

/// See the module.
#[derive(Debug)]
pub struct Signal(Watched<u64>);

/// What [`Signal::enable`] has seen.
#[derive(Debug)]
pub struct Enabled(u64);

impl Signal {
    pub fn new() -> Self {
        Self(Watched::new(0))
    }

    pub fn notify_waiters(&self) {
        self.0.change(|count| *count += 1);
    }

    pub fn enable(&self) -> Enabled {
        Enabled(self.0.with(|count| *count))
    }

    pub fn wait(&self, enabled: &Enabled) {
        self.0.wait(|count| (*count != enabled.0).then_some(()));
    }
}
