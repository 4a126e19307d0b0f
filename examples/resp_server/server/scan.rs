//! `SCAN` and `KEYS`: all keys, shard after shard, each in the order of its hashes.
//!
//! # Cursor
//! A decimal number: the number of the shard in the low 12 bits (there are at most 4,096), the top 50 bits of the
//! hash to go on from above them. It stays below 2^62, so clients that read it as a signed number are fine; 0 is both
//! the start and the end. Cutting the hash off means going on a little before the place that was reached, so a key
//! may come twice, as in Redis, and none is passed over: a key that is there the whole time is returned, whatever
//! happens to others and whoever restarts the server meanwhile. A page that would end where it began is made longer.

use mainstay::kv::{Clock, Entity};
use mainstay::{EntityRef, ReadError, ScanPage, ShardId, Time, View};

use super::action::Scan;
use super::glob;

const SHARD_BITS: u32 = 12;
/// Bits of the hash that a cursor leaves out.
const DROPPED_BITS: u32 = 14;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    shard: u32,
    prefix: u64,
}

impl Cursor {
    const START: Self = Self { shard: 0, prefix: 0 };

    fn decode(cursor: u64) -> Self {
        let shard = cursor & ((1 << SHARD_BITS) - 1);
        Self { shard: u32::try_from(shard).unwrap_or(0), prefix: cursor >> SHARD_BITS }
    }

    fn encode(self) -> u64 {
        self.prefix << SHARD_BITS | u64::from(self.shard)
    }

    /// At or before a hash.
    fn before(self, hash: u64) -> Self {
        Self { prefix: hash >> DROPPED_BITS, ..self }
    }

    /// Where the next shard starts.
    fn next_shard(self) -> Self {
        Self { shard: self.shard + 1, prefix: 0 }
    }

    fn hash(self) -> u64 {
        self.prefix << DROPPED_BITS
    }
}

/// One reply of `SCAN`.
pub struct Found {
    /// Where to go on; 0: that was all.
    pub cursor: u64,
    pub keys: Vec<Vec<u8>>,
}

/// Looks at about as many keys as the scan says.
pub async fn scan(view: &View<Entity>, scan: &Scan<'_>, now: Time) -> Result<Found, ReadError> {
    let shards = u32::try_from(view.shards().count()).unwrap_or(u32::MAX);
    let mut cursor = Cursor::decode(scan.cursor);
    let mut keys = Vec::new();
    let mut left = scan.count;
    while left > 0 && cursor.shard < shards {
        let shard = ShardId(cursor.shard);
        let (entries, next) = page(view, cursor, left).await?;
        cursor = next;
        left = left.saturating_sub(entries.len());
        let clock = Clock::of(view, shard, now)?;
        let is_wanted = |key: &[u8]| scan.pattern.is_none_or(|pattern| glob::matches(pattern, key));
        let is_shown = |entity: &Option<EntityRef<Entity>>| entity.as_ref().is_some_and(|entity| clock.shows(entity));
        let wanted = entries.into_iter().filter(|(key, entity)| scan.strings && is_shown(entity) && is_wanted(key));
        keys.extend(wanted.map(|(key, _)| key));
    }
    let cursor = if cursor.shard < shards { cursor } else { Cursor::START };
    Ok(Found { cursor: cursor.encode(), keys })
}

type Entries = Vec<(Vec<u8>, Option<EntityRef<Entity>>)>;

/// One page of one shard, at least so long that the cursor moves.
async fn page(view: &View<Entity>, from: Cursor, limit: usize) -> Result<(Entries, Cursor), ReadError> {
    let mut limit = limit;
    loop {
        let ScanPage { entries, next } = view.read_scan(ShardId(from.shard), from.hash(), limit).await?;
        let Some(hash) = next else {
            return Ok((entries, from.next_shard()));
        };
        let next = from.before(hash);
        if next != from {
            return Ok((entries, next));
        }
        limit = limit.saturating_mul(2);
    }
}

/// All keys that match a pattern, at once.
pub fn keys<'a>(view: &'a View<Entity>, pattern: &[u8], now: Time) -> Result<Vec<&'a [u8]>, ReadError> {
    let mut keys = Vec::new();
    for shard in view.shards() {
        let clock = Clock::of(view, shard, now)?;
        for (key, entity) in view.iter_reading(shard)? {
            if glob::matches(pattern, key) && clock.shows(&*entity?) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_never_passes_a_hash_over() {
        for hash in [0, 1, 1 << DROPPED_BITS, u64::MAX, 0x1234_5678_9abc_def0] {
            for shard in [0, 1, 4_095] {
                let cursor = Cursor { shard, prefix: 0 }.before(hash);
                assert!(cursor.hash() <= hash && hash - cursor.hash() < 1 << DROPPED_BITS);
                assert_eq!(Cursor::decode(cursor.encode()), cursor);
                assert!(i64::try_from(cursor.encode()).is_ok());
            }
        }
    }
}
