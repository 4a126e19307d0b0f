//! One keyed hash of a key, used twice: its low half finds the shard, all of it the place in the shard's map, which
//! goes by the nibbles from the top and tells neighbours apart by the last byte.
//!
//! SipHash-1-3 under the directory's random key, so that nobody who chooses keys can choose collisions. The hash is
//! fixed by [`Routing::id`](crate::model::Routing) 1 and never changes for a directory.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::model::{Routing, ShardId};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    key: [u8; 16],
    shards: u32,
}

impl KeyHasher {
    /// The only [`Routing::id`] so far.
    pub const ROUTING_ID: u32 = 1;

    /// The hasher of a directory.
    #[must_use]
    pub fn new(routing: &Routing, shards: u32) -> Self {
        Self { key: routing.key, shards }
    }

    /// The key's hash.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(key);
        hasher.finish()
    }

    /// The shard of a hash.
    #[must_use]
    pub fn shard(&self, hash: u64) -> ShardId {
        let low = hash & u64::from(u32::MAX);
        ShardId(((low * u64::from(self.shards)) >> 32) as u32)
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.shards
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn routing_id_1_never_changes() {
        let hasher = KeyHasher::new(&Routing { id: 1, key: [1; 16] }, 5);
        let found: Vec<_> = [b"".as_slice(), b"a", b"mainstay"]
            .iter()
            .map(|key| (hasher.hash(key), hasher.shard(hasher.hash(key)).0))
            .collect();
        assert_eq!(
            found,
            [(17_189_469_320_643_799_063, 4), (8_183_564_139_396_734_362, 4), (3_648_433_752_831_678_185, 0)]
        );
    }

    #[test]
    fn shards_are_filled_evenly() {
        let hasher = KeyHasher::new(&Routing { id: 1, key: [7; 16] }, 3);
        let mut counts = [0; 3];
        for key in 0..30_000u32 {
            counts[hasher.shard(hasher.hash(&key.to_le_bytes())).0 as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
