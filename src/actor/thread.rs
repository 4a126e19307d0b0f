//! A thread for an actor that blocks.

use std::panic::catch_unwind;

use ractor::SpawnErr;
use ractor::thread_local::ThreadLocalActorSpawner;

/// A thread with a runtime of its own.
///
/// # Errors
/// There are no threads or file descriptors left. ractor panics then, which would end whoever asks.
pub(crate) fn spawner() -> Result<ThreadLocalActorSpawner, SpawnErr> {
    let none = |_| SpawnErr::StartupFailed("the process has no thread or file descriptor left for an actor".into());
    catch_unwind(ThreadLocalActorSpawner::new).map_err(none)
}
