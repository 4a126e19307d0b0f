//! How far a shard has come: what it shows, what it has synced, and what became of a position. For readers, and for
//! whoever makes a snapshot or a version.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::keeper::Keeper;
use super::slot::{Entity, Slot};
use crate::error::{DurableError, NotExecuted, ReadError};
use crate::machine::StateMachine;
use crate::model::Position;
use crate::runtime::Outcome;
use crate::state::Root;
use crate::sync::Arc;
use crate::sync::published::Positioned;

/// Who waits for a root looks for himself now and then.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(crate) type Seen<M> = Result<Arc<Root<Entity<M>>>, ReadError>;

/// What a shard has published, if it was not refused.
pub(crate) fn seen<M: StateMachine>(slot: &Slot<M>) -> Seen<M> {
    if slot.refusal() == Some(NotExecuted::Refused) {
        return Err(ReadError::Refused(slot.shard));
    }
    Ok(slot.published.latest())
}

/// Asks the shard for a newer root.
pub(crate) fn ask<M: StateMachine>(slot: &Slot<M>) {
    slot.published.ask();
    // Behind a closed lane comes one last root, without being asked for.
    let _ = slot.lane.ring();
}

/// What is published does not hold everything below `wanted`.
pub(crate) fn stale<M: StateMachine>(slot: &Slot<M>, wanted: Position) -> ReadError {
    ReadError::Stale { shard: slot.shard, published: slot.published.latest().end(), answered: wanted }
}

/// Waits for a root that holds everything below `wanted`, in this timeline or a later one.
pub(crate) async fn fresh<M: StateMachine>(
    slot: &Slot<M>,
    wanted: Position,
    timeline: u64,
    deadline: Instant,
) -> Seen<M> {
    let (mut asks, mut late) = (true, false);
    loop {
        let mut changed = pin!(slot.changed.notified());
        changed.as_mut().enable();
        let root = slot.published.latest();
        if root.end() >= wanted && root.timeline() >= timeline {
            return Ok(root);
        }
        let stale = stale(slot, wanted);
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

/// What became of a position, from the watermarks and the manifest's table of epochs.
pub(crate) fn outcome<M: StateMachine>(slot: &Slot<M>, keeper: &Keeper, position: Position) -> Outcome {
    let (life, shard, manifest) = (slot.life(), slot.shard, keeper.manifest());
    if manifest.shard(shard).is_some_and(|shard| shard.is_abandoned(position)) {
        return Outcome::RolledBack;
    }
    // Behind the end that an abandoned epoch had there was nothing.
    let mut abandoned = manifest.shard(shard).into_iter().flat_map(|shard| &shard.abandoned);
    if abandoned.any(|part| part.epoch == position.epoch && part.from <= position.lsn) {
        return Outcome::NotExecuted;
    }
    let epochs = manifest.shard(shard).map(|shard| shard.epochs.iter());
    let record = epochs.and_then(|mut epochs| epochs.find(|record| record.epoch == position.epoch));
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

/// Waits until a position is synced, and has that done now.
pub(crate) async fn durable<M: StateMachine>(
    slot: &Slot<M>,
    keeper: &Keeper,
    position: Position,
) -> Result<(), DurableError> {
    loop {
        let mut changed = pin!(slot.changed.notified());
        changed.as_mut().enable();
        match outcome(slot, keeper, position) {
            Outcome::Durable => return Ok(()),
            Outcome::NotExecuted | Outcome::RolledBack | Outcome::Forgotten => return Err(DurableError::NotExecuted),
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

/// Waits until everything below `end`, which was published, is synced, and has that done now.
pub(crate) async fn synced<M: StateMachine>(slot: &Slot<M>, end: Position) -> Result<(), DurableError> {
    loop {
        let mut changed = pin!(slot.changed.notified());
        changed.as_mut().enable();
        let life = Arc::clone(&slot.life());
        // What a life has begun with was synced before.
        let synced = if end.epoch == life.epoch { life.tenure.durable() } else { life.first };
        if end.lsn <= synced {
            return Ok(());
        }
        if end.epoch < life.epoch {
            return Err(DurableError::NotExecuted);
        }
        if life.log.is_closed() && slot.lane.is_closed() {
            return Err(DurableError::Stopped);
        }
        life.want_sync();
        changed.await;
    }
}
