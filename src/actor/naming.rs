//! Names of a runtime's actors: `mainstay-RUNTIME/SHARD/ROLE.INCARNATION`, as tokio-console shows them.

use crate::sync::counters::Counter;

/// How many runtimes this process has started.
static RUNTIMES: Counter = Counter::zero();

/// Prefix for the names of one runtime's actors and threads: actor names are global to the process.
pub(crate) fn process_unique_name() -> String {
    format!("mainstay-{}", RUNTIMES.next())
}
