//! Frees what readers and updates have left behind, away from shards, writers and readers.
//!
//! One thread per runtime. It ends when the last root that could need it is gone, and is never waited for.

use crate::state::Bury;
use crate::state::map::Map;
use crate::sync::Arc;

/// Hands maps to the reaper's thread.
struct Reaper<E>(flume::Sender<Map<E>>);

impl<E: Send + Sync> Bury<E> for Reaper<E> {
    fn bury(&self, map: Map<E>) {
        // Freeing an empty map is nothing, and without a thread the map is freed right here.
        if !map.is_empty() {
            let _ = self.0.send(map);
        }
    }
}

/// Starts a reaper.
pub(crate) fn start<E: Send + Sync + 'static>(runtime: &str) -> Arc<dyn Bury<E>> {
    let (sender, receiver) = flume::unbounded::<Map<E>>();
    let reaper = move || receiver.iter().for_each(drop);
    // Without a thread the receiver is dropped, and every map is freed where it is buried.
    if let Err(error) = std::thread::Builder::new().name(format!("{runtime}/reaper")).spawn(reaper) {
        tracing::warn!(%error, "no reaper thread: old roots are freed where they are dropped");
    }
    Arc::new(Reaper(sender))
}
