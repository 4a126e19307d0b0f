//! Reading through a view: which keys a reader may still see.

use std::time::{SystemTime, UNIX_EPOCH};

use super::entity::Entity;
use crate::model::{ShardId, Time};
use crate::state::{EntityRef, ReadError, View};

/// The wall clock, for [`read`] and [`digest`](super::digest()).
#[must_use]
pub fn wall_clock() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// What is under a key and has not expired. `now` is the caller's wall clock, see [`wall_clock`]; the later of it and
/// the shard's logged time decides, so a key that a command has found expired is expired for readers too.
///
/// # Errors
/// As [`View::read`].
///
/// # Cancellation
/// Nothing happens.
pub async fn read(view: &View<Entity>, key: &[u8], now: Time) -> Result<Option<EntityRef<Entity>>, ReadError> {
    shown(view, key, view.read(key).await?, now)
}

/// As [`read`] for many keys, in their order.
///
/// # Errors
/// As [`View::read`], of the first key that has one.
///
/// # Cancellation
/// Nothing happens.
pub async fn read_many<K: AsRef<[u8]>>(
    view: &View<Entity>,
    keys: &[K],
    now: Time,
) -> Result<Vec<Option<EntityRef<Entity>>>, ReadError> {
    let found = view.read_many(keys).await.into_iter().zip(keys);
    found.map(|(entity, key)| shown(view, key.as_ref(), entity?, now)).collect()
}

fn shown(
    view: &View<Entity>,
    key: &[u8],
    entity: Option<EntityRef<Entity>>,
    now: Time,
) -> Result<Option<EntityRef<Entity>>, ReadError> {
    if entity.as_ref().is_none_or(|entity| entity.expires_ms().is_none()) {
        return Ok(entity);
    }
    let clock = Clock::of(view, view.shard_of(key), now)?;
    Ok(entity.filter(|entity| clock.shows(entity)))
}

/// The time by which readers of one shard judge expiry, for scans: the later of the shard's logged time and the wall
/// clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock(Time);

impl Clock {
    /// The clock of a shard in a view, given the caller's wall clock.
    ///
    /// # Errors
    /// As [`View::time`].
    pub fn of(view: &View<Entity>, shard: ShardId, now: Time) -> Result<Self, ReadError> {
        Ok(Self(view.time(shard)?.max(now)))
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> Time {
        self.0
    }

    /// Whether an entity of the shard is still there for readers.
    #[must_use]
    pub fn shows(self, entity: &Entity) -> bool {
        !entity.is_expired(self.0)
    }
}
