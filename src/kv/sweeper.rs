//! [`Sweeper`]: finds entities that have expired and has their deletion logged.
//!
//! Expiry needs no sweeper to be right: readers and commands pass over what has expired. A sweeper frees its memory. It
//! looks at published roots, a slice at a time, and submits the keys it finds; [`Command::Sweep`] decides again, by logged
//! time, so a key that was written meanwhile stays and a sweep that is lost or repeated does no harm.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::command::Command;
use super::machine::Kv;
use super::read::{Clock, wall_clock};
use crate::error::{NotExecuted, SubmitError};
use crate::model::ShardId;
use crate::runtime::Runtime;

/// What a key takes in an encoded sweep beyond its own bytes, at most.
const KEY_OVERHEAD_BYTES: usize = 9;
/// What an encoded sweep takes beyond its keys, at most.
const COMMAND_OVERHEAD_BYTES: usize = 16;
/// A sweep is no longer than this, unless one key is: others do not wait long behind it.
const COMMAND_BYTES: usize = 16 * 1024;
/// One round in so many asks for fresh roots; the others take what is published, which costs the shards nothing. A shard
/// that has gone idle would otherwise never show its last commands.
const ASK_EVERY: u64 = 10;
/// While a slice has at least one expired key in so many, the next one follows at once.
const WORTHWHILE: usize = 8;

/// How much a [`Sweeper`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweeperOptions {
    /// The pause between two rounds over the shards, at least 1 ms. Default 100 ms.
    pub interval: Duration,
    /// How many keys of a shard one slice looks at. Default 1,024, which takes a fraction of a millisecond.
    pub slice_keys: usize,
    /// How many slices of a shard one round looks at, at most; more than one only while many keys have expired. Default
    /// 32.
    pub slices_max: usize,
}

impl Default for SweeperOptions {
    fn default() -> Self {
        Self { interval: Duration::from_millis(100), slice_keys: 1_024, slices_max: 32 }
    }
}

/// A task that frees what has expired, in every shard. Dropping it stops it.
///
/// It holds a clone of the runtime, so stop it before you expect dropping the runtime to close the directory. An orderly
/// [`Runtime::shutdown`] ends it too.
#[derive(Debug)]
pub struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Starts sweeping. Must be called within a tokio runtime with timers enabled, as
    /// [`Runtime::open`] must.
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
}

/// What came of a slice.
#[derive(PartialEq, Eq)]
enum Slice {
    /// Many keys had expired: the next slice is worth a look now.
    Worthwhile,
    /// The rest can wait for the next round.
    Enough,
    /// The runtime takes no commands any more.
    ShuttingDown,
}

async fn run(runtime: Runtime<Kv>, options: SweeperOptions) {
    let mut shards: Vec<Progress> = (0..runtime.shard_count())
        .map(|shard| Progress { shard: ShardId(shard), from: 0, command_bytes: COMMAND_BYTES })
        .collect();
    let mut rounds = interval(options.interval.max(Duration::from_millis(1)));
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 0_u64.. {
        rounds.tick().await;
        if round.is_multiple_of(ASK_EVERY) {
            drop(runtime.view().await);
        }
        for progress in &mut shards {
            for _ in 0..options.slices_max {
                match slice(&runtime, progress, options.slice_keys).await {
                    Slice::Worthwhile => tokio::task::yield_now().await,
                    Slice::Enough => break,
                    Slice::ShuttingDown => return,
                }
            }
        }
    }
}

async fn slice(runtime: &Runtime<Kv>, progress: &mut Progress, slice_keys: usize) -> Slice {
    let shard = progress.shard;
    // The view is not held while commands are on their way: it would cost the shard copies.
    let (expired, next) = {
        let view = runtime.latest();
        let clock = Clock::of(&view, shard, wall_clock());
        let page = view.scan(shard, progress.from, slice_keys.max(1));
        let (Ok(clock), Ok(page)) = (clock, page) else {
            return Slice::Enough;
        };
        let expired = page.entries.into_iter().filter(|(_, entity)| !clock.shows(entity));
        (expired.map(|(key, _)| Bytes::from(key)).collect::<Vec<_>>(), page.next)
    };
    let found = expired.len();
    for keys in chunks(expired, progress.command_bytes) {
        match runtime.submit_to(shard, Command::Sweep { keys }).await {
            Ok(_) => {}
            Err(SubmitError::NotExecuted(NotExecuted::ShuttingDown)) => {
                return Slice::ShuttingDown;
            }
            Err(SubmitError::NotExecuted(NotExecuted::TooLarge { limit, .. })) => {
                // The keys come up again in the next pass.
                progress.command_bytes = progress.command_bytes.min(limit as usize);
            }
            Err(_) => break,
        }
    }
    progress.from = next.unwrap_or(0);
    if next.is_some() && found * WORTHWHILE >= slice_keys {
        Slice::Worthwhile
    } else {
        Slice::Enough
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
        let keys: Vec<Bytes> =
            (0..300_usize).map(|length| Bytes::from(vec![7; length % 260])).collect();
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
