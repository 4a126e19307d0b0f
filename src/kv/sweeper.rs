//! [`Sweeper`]: finds entities that have expired and has their deletion logged.
//!
//! Expiry needs no sweeper to be right: readers and commands pass over what has expired. A sweeper frees its memory.
//! It looks at a view, a slice at a time, and submits the keys it finds; [`Command::Sweep`] decides again, by logged
//! time, so a key that was written meanwhile stays and a sweep that is lost or repeated does no harm.
//!
//! What is not in memory is read for that, some keys a slice: what a sweep reads is bounded by time and not by how much
//! there is. So a large cold state is gone through slowly, in hours while nothing of it is seen to expire. That is no
//! use of those keys and brings none of them back to memory; one that cannot be read stays. A cold key that has expired
//! is shown to nobody meanwhile; it takes its place in the map, and its value that in its file.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use super::command::Command;
use super::entity::Entity;
use super::machine::Kv;
use super::read::{Clock, wall_clock};
use crate::error::{NotExecuted, ReadError, SubmitError};
use crate::model::ShardId;
use crate::runtime::Runtime;
use crate::state::View;

/// What a key takes in an encoded sweep beyond its own bytes, at most.
const KEY_OVERHEAD_BYTES: usize = 9;
/// What an encoded sweep takes beyond its keys, at most.
const COMMAND_OVERHEAD_BYTES: usize = 16;
/// A sweep is no longer than this, unless one key is: others do not wait long behind it.
const COMMAND_BYTES: usize = 16 * 1024;
/// A view serves this many rounds. A younger one would show little more, and every view that is taken costs a busy
/// shard copies of the paths that it changes next.
const ROUNDS_A_VIEW: u32 = 10;
/// So many keys of a slice are read if they are not in memory: the slice ends there, and the next one goes on. With the
/// default interval that is up to 640 pages a second of each shard while some keys have an expiry, and 13 while none is
/// known to have one; more only while many of them have expired.
const COLD_KEYS: usize = 64;
/// No option makes it spin.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// While a slice has at least one expired key in so many, the next one follows at once.
const WORTHWHILE: usize = 8;

/// How much a [`Sweeper`] does. More fields may come: change those of [`SweeperOptions::default`].
///
/// ```
/// let mut options = mainstay::kv::SweeperOptions::default();
/// options.slice_keys = 256;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweeperOptions {
    /// The pause between two rounds over the shards while some keys have an expiry; less than 1 ms counts as 1 ms.
    /// Default 100 ms.
    pub interval: Duration,
    /// The pause while no key is known to have one; less than 1 ms counts as 1 ms. Default 5 s. As a newer root is not
    /// free for a busy shard, one whose state has changed since the last pause is looked at as of its last published
    /// root, which it refreshes every 30 s.
    pub idle_interval: Duration,
    /// How many keys of a shard one slice looks at; 0 counts as 1. Default 1,024, which takes a fraction of a
    /// millisecond where they are in memory. Of those that are not it reads 64 at most, and ends there.
    pub slice_keys: usize,
    /// How many slices of a shard one round looks at, at most: more than one only while many keys have expired, or
    /// after an idle pause. Default 32; 0: nothing is ever swept.
    pub slices_max: u32,
}

impl Default for SweeperOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            idle_interval: Duration::from_secs(5),
            slice_keys: 1_024,
            slices_max: 32,
        }
    }
}

/// A task that frees what has expired, in every shard. Dropping it stops it.
///
/// It holds a clone of the runtime, so stop it before you expect dropping the runtime to close the directory. An
/// orderly [`Runtime::shutdown`] ends it too.
#[derive(Debug)]
pub struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Starts sweeping, in a task of the tokio runtime that this is called within; it needs timers.
    ///
    /// ```
    /// use mainstay::kv::{Kv, Sweeper, SweeperOptions};
    /// use mainstay::{Options, Runtime};
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// let sweeper = Sweeper::start(runtime.clone(), SweeperOptions::default());
    /// // ...
    /// sweeper.stop().await;
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use = "dropping it stops it"]
    pub fn start(runtime: Runtime<Kv>, options: SweeperOptions) -> Self {
        Self(tokio::spawn(run(runtime, options)))
    }

    /// Stops sweeping. On return the sweeper's clone of the runtime is gone.
    ///
    /// # Cancellation
    /// The sweeper stops all the same.
    pub async fn stop(mut self) {
        self.0.abort();
        // It ends by being aborted, or has ended before: both are what was wanted.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where the sweeper is in one shard.
struct Progress {
    shard: ShardId,
    from: u64,
    command_bytes: usize,
    /// Whether an entity with an expiry was seen in this pass over the shard, and in the one before.
    expiring: bool,
    expiring_before: bool,
}

/// What a slice has found.
struct Slice {
    expired: Vec<Bytes>,
    /// So many keys were looked at.
    keys: usize,
    /// It was the last of a pass.
    is_last: bool,
}

/// The runtime takes no commands any more.
struct ShuttingDown;

async fn run(runtime: Runtime<Kv>, options: SweeperOptions) {
    let mut shards: Vec<Progress> = (0..runtime.shard_count()).map(|shard| Progress::new(ShardId(shard))).collect();
    let mut answered = runtime.answered();
    loop {
        let idle = !shards.iter().any(Progress::is_worthwhile);
        sleep(if idle { options.idle_interval } else { options.interval }.max(PAUSE_MIN)).await;
        let busy = std::mem::replace(&mut answered, runtime.answered()) != answered;
        // The last commands of a shard that has gone idle are published only because somebody asks.
        let view = if idle && busy { runtime.glimpse() } else { runtime.view().await };
        for round in 0..ROUNDS_A_VIEW {
            if round > 0 {
                sleep(options.interval.max(PAUSE_MIN)).await;
            }
            for progress in &mut shards {
                if sweep(&runtime, &view, progress, idle, &options).await.is_err() {
                    return;
                }
            }
            if !shards.iter().any(Progress::is_worthwhile) {
                break;
            }
        }
    }
}

/// Looks at some slices of one shard.
async fn sweep(
    runtime: &Runtime<Kv>,
    view: &View<Entity>,
    progress: &mut Progress,
    thorough: bool,
    options: &SweeperOptions,
) -> Result<(), ShuttingDown> {
    for _ in 0..options.slices_max.max(1) {
        let slice_keys = options.slice_keys.max(1);
        // A shard that cannot be read now is looked at in a later round.
        let Ok(slice) = progress.look(view, slice_keys).await else {
            return Ok(());
        };
        let many = slice.expired.len() * WORTHWHILE >= slice.keys;
        let was_cut = slice.keys < slice_keys;
        progress.submit(runtime, slice.expired).await?;
        if slice.is_last || !(many || thorough && !was_cut) {
            return Ok(());
        }
        yield_now().await;
    }
    Ok(())
}

impl Progress {
    fn new(shard: ShardId) -> Self {
        let command_bytes = COMMAND_BYTES;
        Self { shard, from: 0, command_bytes, expiring: false, expiring_before: false }
    }

    /// Whether some of the shard's keys have an expiry, as far as is known.
    fn is_worthwhile(&self) -> bool {
        self.expiring || self.expiring_before
    }

    /// Finds the expired keys of the next slice.
    async fn look(&mut self, view: &View<Entity>, slice_keys: usize) -> Result<Slice, ReadError> {
        let clock = Clock::of(view, self.shard, wall_clock())?;
        let page = view.read_pass(self.shard, self.from, slice_keys, COLD_KEYS).await?;
        self.expiring |=
            page.entries.iter().any(|(_, entity)| entity.as_ref().is_some_and(|entity| entity.expires_ms().is_some()));
        let (keys, is_last) = (page.entries.len(), page.next.is_none());
        self.from = page.next.unwrap_or(0);
        if is_last {
            self.expiring_before = std::mem::take(&mut self.expiring);
        }
        let expired =
            page.entries.into_iter().filter(|(_, entity)| entity.as_ref().is_some_and(|entity| !clock.shows(entity)));
        Ok(Slice { expired: expired.map(|(key, _)| Bytes::from(key)).collect(), keys, is_last })
    }

    /// Has keys removed. What cannot be submitted now comes up again in the next pass.
    async fn submit(&mut self, runtime: &Runtime<Kv>, keys: Vec<Bytes>) -> Result<(), ShuttingDown> {
        for keys in chunks(keys, self.command_bytes) {
            match runtime.submit_to(self.shard, Command::Sweep { keys }).await {
                Ok(_) => {}
                Err(SubmitError::NotExecuted(NotExecuted::ShuttingDown)) => {
                    return Err(ShuttingDown);
                }
                Err(SubmitError::NotExecuted(NotExecuted::TooLarge { limit, .. })) => {
                    self.command_bytes = self.command_bytes.min(limit as usize);
                }
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// Splits keys into commands of at most `command_bytes`, or one key.
fn chunks(keys: Vec<Bytes>, command_bytes: usize) -> Vec<Vec<Bytes>> {
    let mut chunks: Vec<Vec<Bytes>> = Vec::new();
    let mut room = 0;
    for key in keys {
        let bytes = key.len() + KEY_OVERHEAD_BYTES;
        match chunks.last_mut() {
            Some(chunk) if bytes <= room => {
                chunk.push(key);
                room -= bytes;
            }
            _ => {
                room = command_bytes.saturating_sub(COMMAND_OVERHEAD_BYTES + bytes);
                chunks.push(vec![key]);
            }
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn chunks_fit_and_keep_every_key() {
        let keys: Vec<Bytes> = (0..300_usize).map(|length| Bytes::from(vec![7; length % 260])).collect();
        for command_bytes in [0, 100, 300, 1_000, 1_000_000] {
            let chunks = chunks(keys.clone(), command_bytes);
            assert_eq!(chunks.concat(), keys);
            for chunk in chunks {
                let one = chunk.len() == 1;
                let bytes = codec::encode(&Command::Sweep { keys: chunk }).unwrap().len();
                assert!(one || bytes <= command_bytes, "{bytes} of {command_bytes}");
            }
        }
    }
}
