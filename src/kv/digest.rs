//! One number for a whole state, to compare states that were reached in different ways.
//!
//! The BLAKE3 hashes of all entries, read as four little-endian 64-bit lanes, are added up lane by lane. A sum does
//! not depend on the order, so neither the number of shards nor the shape of the map matters. It finds accidents; it
//! is no proof against somebody who chooses keys to forge it.

use std::fmt;

use super::entity::Entity;
use crate::model::Time;
use crate::state::{ReadError, View};

const LANES: usize = 4;

/// A digest of a logical state: keys, values and expiries. Prints as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest([u64; LANES]);

/// The digest of everything in a view that has not expired at `now`. Takes about 0.3 microseconds an entry: not for
/// an async task.
///
/// Two views have the same digest at the same `now` if they show the same keys with the same values and expiries,
/// however many shards they have.
///
/// # Errors
/// [`ReadError::Stale`] or [`ReadError::Refused`], of any shard; [`ReadError::Unreadable`], of any entity.
pub fn digest(view: &View<Entity>, now: Time) -> Result<Digest, ReadError> {
    let mut digest = Digest::default();
    for shard in view.shards() {
        for (key, entity) in view.iter_reading(shard)? {
            let entity = entity?;
            if !entity.is_expired(now) {
                digest.add(key, &entity);
            }
        }
    }
    Ok(digest)
}

impl Digest {
    fn add(&mut self, key: &[u8], entity: &Entity) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(entity.value());
        hasher.update(&entity.expires_ms().unwrap_or(0).to_le_bytes());
        let hash = hasher.finalize();
        let (lanes, _) = hash.as_bytes().as_chunks::<8>();
        for (sum, lane) in self.0.iter_mut().zip(lanes) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*lane));
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}
