//! Reading: views of published roots, and what became of a position.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Outcome, Runtime};
use crate::actor::slot::{Entity, Life, Slot};
use crate::error::{DurableError, NotExecuted, ReadError};
use crate::machine::StateMachine;
use crate::model::{Manifest, Position, ShardId};
use crate::state::{Root, View};
use crate::sync::Arc;
use crate::sync::published::Positioned;

/// Who waits for a root looks for himself now and then.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

type Seen<M> = Result<Arc<Root<Entity<M>>>, ReadError>;

impl<M: StateMachine> Runtime<M> {
    /// What is published now, in every shard. Never waits and never fails as a whole; it may not show the newest
    /// receipts. Roots are published on demand, and this is one: a shard that goes on writing will soon publish a
    /// newer one. One that is idle will not; [`Runtime::view`] makes it.
    #[must_use]
    pub fn latest(&self) -> View<M::Entity> {
        let seen = self.shared.slots.iter().map(|slot| {
            slot.published.hint();
            seen(slot)
        });
        View::new(self.shared.hasher, seen.collect())
    }

    /// As [`Runtime::latest`], without a hint: a busy shard is spared the copies that a newer root would cost it.
    pub(crate) fn glimpse(&self) -> View<M::Entity> {
        View::new(self.shared.hasher, self.shared.slots.iter().map(|slot| seen(slot)).collect())
    }

    /// The exclusive end of what each shard has answered.
    pub(crate) fn answered(&self) -> Vec<Position> {
        self.shared.slots.iter().map(|slot| slot.life().answered()).collect()
    }

    /// A view that shows at least everything that was answered, to anybody, before the call.
    ///
    /// Shards whose published root is older are asked for a newer one; a shard that does not deliver within
    /// [`Options::view_deadline`](crate::Options::view_deadline) is [`ReadError::Stale`] in the view, on its own keys
    /// only. Fenced shards, and those of a runtime that was shut down, are read as before.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Runtime};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
    /// let before = runtime.view().await;
    /// let receipt = runtime.submit(Command::set("greeting", "hello")).await?;
    /// let after = runtime.view().await;
    /// assert!(before.get(b"greeting")?.is_none()); // a view never changes
    /// assert!(after.get(b"greeting")?.is_some());
    /// assert!(after.end(receipt.shard)? > receipt.position);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation
    /// Nothing happens.
    pub async fn view(&self) -> View<M::Entity> {
        let wanted = self.answered();
        let mut seen: Vec<Seen<M>> = self.shared.slots.iter().map(|slot| seen(slot)).collect();
        let is_behind = |seen: &Seen<M>, wanted: &Position| seen.as_ref().is_ok_and(|root| root.end() < *wanted);
        if !seen.iter().zip(&wanted).any(|(seen, wanted)| is_behind(seen, wanted)) {
            // Who reads now will read again: the next root may as well come with the next batch as after it.
            self.shared.slots.iter().for_each(|slot| slot.published.hint());
            return View::new(self.shared.hasher, seen);
        }
        // All are asked before any is waited for.
        let deadline = Instant::now() + self.shared.options.view_deadline;
        for ((slot, seen), wanted) in self.shared.slots.iter().zip(&seen).zip(&wanted) {
            if is_behind(seen, wanted) {
                ask(slot);
            }
        }
        for ((slot, seen), wanted) in self.shared.slots.iter().zip(&mut seen).zip(&wanted) {
            if is_behind(seen, wanted) {
                *seen = fresh(slot, *wanted, deadline).await;
            }
        }
        View::new(self.shared.hasher, seen)
    }

    /// What became of a position, from the watermarks and the manifest's table of epochs: for
    /// [`SubmitError::Unconfirmed`](crate::SubmitError::Unconfirmed), in this runtime or after another opening. Does
    /// not wait: while it is [`Outcome::Pending`], ask again later or use [`Runtime::durable`]. A shard that does not
    /// exist is `Forgotten`.
    ///
    /// ```
    /// use mainstay::kv::{Command, Kv};
    /// use mainstay::{Options, Outcome, Runtime, SyncPolicy};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let hour = SyncPolicy::Interval(Duration::from_secs(3600));
    /// let runtime = Runtime::open(Kv, Options { sync: hour, ..Options::new(dir.path()) }).await?;
    /// let receipt = runtime.submit(Command::set("greeting", "hello")).await?;
    /// assert_eq!(runtime.outcome(receipt.shard, receipt.position).await, Outcome::Accepted);
    /// runtime.durable(receipt.shard, receipt.position).await?; // now, not in an hour
    /// assert_eq!(runtime.outcome(receipt.shard, receipt.position).await, Outcome::Durable);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancellation
    /// Nothing happens.
    #[expect(clippy::unused_async, reason = "older epochs will be looked up on the disk")]
    pub async fn outcome(&self, shard: ShardId, position: Position) -> Outcome {
        let Some(slot) = self.shared.slots.get(shard.0 as usize) else {
            return Outcome::Forgotten;
        };
        outcome(&slot.life(), shard, position, &self.shared.keeper.manifest())
    }

    /// Waits until a position is synced: for more than the policy gave. Under `Interval` and `Never` it has the log
    /// synced now. [`ShardStats::durable`](crate::ShardStats::durable) only shows how far the log is synced.
    ///
    /// There is no deadline: while a disk stalls, and for a position of the running epoch that was not given out yet,
    /// this waits. Put a timeout around it where that matters.
    ///
    /// # Errors
    /// [`DurableError::NotExecuted`]: the position is not part of the log, or [`Outcome::Forgotten`].
    /// [`DurableError::Stopped`]: nobody is left to sync it, since the shard is fenced or refused or the runtime has
    /// ended. [`DurableError::NoSuchShard`].
    ///
    /// # Cancellation
    /// Nothing is undone.
    pub async fn durable(&self, shard: ShardId, position: Position) -> Result<(), DurableError> {
        let slot = self.shared.slots.get(shard.0 as usize).ok_or(DurableError::NoSuchShard)?;
        loop {
            let mut changed = pin!(slot.changed.notified());
            changed.as_mut().enable();
            match self.outcome(shard, position).await {
                Outcome::Durable => return Ok(()),
                Outcome::NotExecuted | Outcome::Forgotten => {
                    return Err(DurableError::NotExecuted);
                }
                Outcome::Accepted | Outcome::Pending => {}
            }
            let life = Arc::clone(&slot.life());
            if life.log.is_closed() && slot.lane.is_closed() {
                return Err(DurableError::Stopped);
            }
            life.want_sync();
            changed.await;
        }
    }
}

/// What a shard has published, if it was not refused.
fn seen<M: StateMachine>(slot: &Slot<M>) -> Seen<M> {
    if slot.refusal() == Some(NotExecuted::Refused) {
        return Err(ReadError::Refused(slot.shard));
    }
    Ok(slot.published.latest())
}

/// Asks the shard for a newer root.
fn ask<M: StateMachine>(slot: &Slot<M>) {
    slot.published.ask();
    // Behind a closed lane comes one last root, without being asked for.
    let _ = slot.lane.ring();
}

/// Waits for a root that holds everything below `wanted`.
async fn fresh<M: StateMachine>(slot: &Slot<M>, wanted: Position, deadline: Instant) -> Seen<M> {
    let (mut asks, mut late) = (true, false);
    loop {
        let mut changed = pin!(slot.changed.notified());
        changed.as_mut().enable();
        let root = slot.published.latest();
        if root.end() >= wanted {
            return Ok(root);
        }
        let stale = ReadError::Stale { shard: slot.shard, published: root.end(), answered: wanted };
        // In an orderly end the last root comes after the lane was closed.
        if slot.lane.is_closed() && slot.life().log.is_closed() {
            return Err(stale);
        }
        if late {
            return Err(stale);
        }
        if asks {
            ask(slot);
        }
        // Readers are woken from within the callers' runtime, which may be busy.
        asks = timeout_at(deadline.min(Instant::now() + LOOK_AGAIN), changed).await.is_ok();
        late = Instant::now() >= deadline;
    }
}

fn outcome<M: StateMachine>(life: &Life<M>, shard: ShardId, position: Position, manifest: &Manifest) -> Outcome {
    let record =
        manifest.shard(shard).and_then(|shard| shard.epochs.iter().find(|record| record.epoch == position.epoch));
    let Some(record) = record.filter(|record| record.first <= position.lsn) else {
        return Outcome::Forgotten;
    };
    if manifest.shard(shard).is_some_and(|shard| shard.poison.contains(&position)) {
        return Outcome::NotExecuted;
    }
    let ended = match record.end {
        // The last epoch of an earlier run stays open in the manifest until this life's writer begins. What an open has
        // read is on the disk, so every later open reads the same.
        None if position.epoch < life.epoch && !life.restarted => Some(life.first),
        // After a restart an old thread may still write behind that, until the edit that begins this life shuts it out.
        None if position.epoch < life.epoch && position.lsn < life.first => Some(life.first),
        None if position.epoch < life.epoch => return Outcome::Pending,
        end => end,
    };
    match ended {
        Some(end) if position.lsn < end => Outcome::Durable,
        Some(_) => Outcome::NotExecuted,
        None if position.lsn < life.tenure.durable() => Outcome::Durable,
        None if position.lsn < life.tenure.answered() => Outcome::Accepted,
        None => Outcome::Pending,
    }
}
