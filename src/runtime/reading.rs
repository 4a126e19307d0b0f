//! Reading: views of published roots, and what became of a position.

use tokio::time::Instant;

use super::{Outcome, Runtime};
use crate::actor::progress::{self, Seen, ask, fresh, seen, stale};
use crate::error::DurableError;
use crate::machine::StateMachine;
use crate::model::{Position, ShardId};
use crate::state::{Root, View};
use crate::sync::Arc;
use crate::sync::published::Positioned;

/// Of the roots that were seen; 0 if there are none.
fn newest_timeline<E, X>(seen: &[Result<Arc<Root<E>>, X>]) -> u64 {
    seen.iter().flatten().map(|root| root.timeline()).max().unwrap_or(0)
}

impl<M: StateMachine> Runtime<M> {
    /// What is published now, in every shard. Never waits and never fails as a whole; it may not show the newest
    /// receipts. Roots are published on demand, and this is one: a shard that goes on writing will soon publish a
    /// newer one. One that is idle will not; [`Runtime::view`] makes it.
    #[must_use]
    pub fn latest(&self) -> View<M::Entity> {
        self.shared.slots.iter().for_each(|slot| slot.published.hint());
        self.glimpse()
    }

    /// As [`Runtime::latest`], without a hint: a busy shard is spared the copies that a newer root would cost it.
    pub(crate) fn glimpse(&self) -> View<M::Entity> {
        View::new(self.shared.hasher, self.of_one_timeline())
    }

    /// What is published in every shard, from one side of any rollback. In the middle of one, which is short, the
    /// shards that have not gone back yet are stale.
    fn of_one_timeline(&self) -> Vec<Seen<M>> {
        let mut roots: Vec<Seen<M>> = self.shared.slots.iter().map(|slot| seen(slot)).collect();
        let newest = newest_timeline(&roots);
        for (slot, root) in self.shared.slots.iter().zip(&mut roots) {
            if root.as_ref().is_ok_and(|root| root.timeline() < newest) {
                *root = Err(stale(slot, slot.life().answered()));
            }
        }
        roots
    }

    /// The exclusive end of what each shard has answered.
    pub(crate) fn answered(&self) -> Vec<Position> {
        self.shared.slots.iter().map(|slot| slot.life().answered()).collect()
    }

    /// A view that shows at least everything that was answered, to anybody, before the call.
    ///
    /// Shards whose published root is older are asked for a newer one; a shard that does not deliver within
    /// [`Options::view_deadline`](crate::Options::view_deadline) is [`ReadError::Stale`](crate::ReadError::Stale) in
    /// the view, on its own keys only. Fenced shards, and those of a runtime that was shut down, are read as before.
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
        // One root goes with itself.
        let mut newest = if seen.len() > 1 { newest_timeline(&seen) } else { 0 };
        let mixed = seen.len() > 1 && seen.iter().flatten().any(|root| root.timeline() != newest);
        if !mixed && !seen.iter().zip(&wanted).any(|(seen, wanted)| is_behind(seen, wanted)) {
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
        loop {
            for ((slot, seen), wanted) in self.shared.slots.iter().zip(&mut seen).zip(&wanted) {
                let is_old = |root: &Arc<Root<M::Entity>>| root.timeline() < newest;
                if is_behind(seen, wanted) || seen.as_ref().is_ok_and(is_old) {
                    *seen = fresh(slot, *wanted, newest, deadline).await;
                }
            }
            // A rollback may have come in between: then once more.
            match newest_timeline(&seen) {
                later if later > newest => newest = later,
                _ => return View::new(self.shared.hasher, seen),
            }
        }
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
        progress::outcome(slot, &self.shared.keeper, position)
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
        progress::durable(slot, &self.shared.keeper, position).await
    }
}
