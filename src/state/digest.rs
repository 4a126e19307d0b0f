//! A digest of a state that follows its changes: 2 KiB that are the same however the same entries came to be there.
//!
//! It is LtHash with 1024 lanes of 16 bits: Bellare and Micciancio, "A New Paradigm for Collision-free Hashing"
//! (Eurocrypt 1997); Lewi, Kim, Maykov and Weis, "Securing Update Propagation with Homomorphic Hashing"
//! (<https://eprint.iacr.org/2019/227>). An entry's key and encoding are hashed to 1024 lanes, and those of all entries
//! are added up, lane by lane, modulo 2^16. So an entry is removed by subtraction, order does not matter, and the
//! digest of all shards is the sum of theirs.
//!
//! # Format
//! Lanes of an entry: the first 2048 bytes of BLAKE3's output, in its mode for deriving keys under
//! [`StateDigest::ELEMENT_CONTEXT`], for the length of the key (8 bytes, little-endian), the key, and the encoded
//! entity. The whole ends where the entity does, so no two entries hash the same bytes. The short form is BLAKE3 of the
//! 1024 sums under [`StateDigest::HASH_CONTEXT`]. All lanes are little-endian. Neither ever changes under version 1.
//!
//! # What it proves
//! A map has an entry once or not at all. So two maps with equal lanes give a sum of entries' lanes, each taken
//! -1, 0 or 1 times and not all 0 times, that is zero in all 1024 lanes. With BLAKE3 as a random function, finding one
//! is the short-integer-solution problem for dimension 1024 and modulus 2^16: over 2^200 steps for what is known, by
//! the paper's estimate, even for somebody who chooses keys and values. A collision of the short form costs 2^128. By
//! chance neither happens.
//!
//! # What it does not
//! - It counts, as a multiset does: an entry added 65,536 times is invisible, and one removed that was not there leaves
//!   the digest of no state. A map does neither, as long as what is removed is what was there: old values come from the
//!   transaction that replaces them, see [`Txn::changes`].
//! - It is of encodings. One value must always have the same one: it may not hold what iterates in an order of chance,
//!   and another schema is another digest.
//! - It has no key: it finds damage and differences, but whoever can rewrite both state and digest is not found out,
//!   and a state that can be guessed can be recognised.
//! - Position, time and the shard of a key are not in it.
//!
//! Not here: the codec, which callers bring; where digests are kept and when they are compared. `kv::digest` is another
//! one, for users, without expired keys; its four sums are too few to stand up to somebody who chooses keys.

use std::fmt;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt};

use super::map::Map;
use super::txn::{Change, Txn};
use crate::model::TakeDigest;

#[cfg(all(test, not(loom)))]
mod tests;

/// What BLAKE3 makes of [`StateDigest::ELEMENT_CONTEXT`], so that it is not made again for each entry.
const ELEMENT_KEY: ContextKey = [
    0x4f, 0x83, 0x27, 0xf3, 0x4a, 0x5e, 0xf7, 0x02, 0x2f, 0x1f, 0xc7, 0xd3, 0xec, 0x02, 0xe9, 0xf9, 0x81, 0x34, 0x9d,
    0xdb, 0xf8, 0x6c, 0x1e, 0x1d, 0xc1, 0x9e, 0xbb, 0x00, 0xe7, 0x1b, 0xf3, 0x88,
];

const LANES: usize = 1024;

type Lanes = [u16; LANES];

/// See the module. 2 KiB on the heap, allocated once.
#[derive(Clone, PartialEq, Eq)]
pub struct StateDigest(Box<Lanes>);

impl Default for StateDigest {
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl StateDigest {
    /// What entries are hashed under.
    pub const ELEMENT_CONTEXT: &str = "mainstay 2026 state digest v1";

    /// What the sums are hashed under, for the short form.
    pub const HASH_CONTEXT: &str = "mainstay 2026 state digest hash v1";

    /// How long [`StateDigest::to_bytes`] is.
    pub const BYTES: usize = 2 * LANES;

    /// The digest of the empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of a whole map, whose entities are all in memory. Takes most of a microsecond for each entry: not for
    /// an async task.
    ///
    /// # Errors
    /// The first of `encode`, which may also give one to end the scan early.
    pub fn of_map<E, B, X>(map: &Map<E>, mut encode: impl FnMut(&E) -> Result<B, X>) -> Result<Self, X>
    where
        B: AsRef<[u8]>,
    {
        debug_assert_eq!(map.cold(), 0, "all are in memory");
        let mut digest = Self::new();
        for (entry, entity) in map.iter().filter_map(|entry| Some((entry, entry.entity()?))) {
            digest.add(entry.key(), encode(entity)?.as_ref());
        }
        Ok(digest)
    }

    /// Takes in an entry that was not there.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        add(&mut self.0, &element(key, value));
    }

    /// Takes out an entry that was there. Whether it was is not known here.
    pub fn remove(&mut self, key: &[u8], value: &[u8]) {
        subtract(&mut self.0, &element(key, value));
    }

    /// Gives a key that was there another value. Costs next to nothing if it is the same.
    pub fn replace(&mut self, key: &[u8], old: &[u8], new: &[u8]) {
        change(&mut self.0, key, Some(old), Some(new));
    }

    /// Takes in all entries of another state, which has no key of this one: the digest of several shards.
    pub fn merge(&mut self, other: &Self) {
        combine(&mut self.0, &other.0);
    }

    /// From the digest of a transaction's map before to that after it: to be called before [`Txn::land`], and only if
    /// that follows. A cleared map costs nothing.
    ///
    /// # Errors
    /// The first of `encode`. Then, and if that panics, nothing has changed, here or in the map.
    pub fn follow<E, B, X>(&mut self, txn: &Txn<'_, E>, mut encode: impl FnMut(&E) -> Result<B, X>) -> Result<(), X>
    where
        B: AsRef<[u8]>,
    {
        let mut delta = [0; LANES];
        debug_assert!(txn.has_old(), "what is replaced is known");
        for Change { key, old, new, .. } in txn.changes() {
            let old = old.map(&mut encode).transpose()?;
            let new = new.map(&mut encode).transpose()?;
            change(&mut delta, key, old.as_ref().map(B::as_ref), new.as_ref().map(B::as_ref));
        }
        if txn.clears() {
            *self.0 = delta;
        } else {
            combine(&mut self.0, &delta);
        }
        Ok(())
    }

    /// The short form, which stands for the state wherever it is only compared.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *Hasher::new_derive_key(Self::HASH_CONTEXT).update(&self.to_bytes()).finalize().as_bytes()
    }

    /// The lanes, to go on from later.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (places, _) = bytes.as_chunks_mut();
        for (place, lane) in places.iter_mut().zip(self.0.iter()) {
            *place = lane.to_le_bytes();
        }
        bytes
    }

    /// What [`StateDigest::to_bytes`] gave. Any bytes are the lanes of some digest: whether they are the right ones is
    /// for a checksum to say.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut digest = Self::new();
        add(&mut digest.0, bytes);
        digest
    }
}

impl TakeDigest for StateDigest {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        self.add(key, value);
    }

    fn taken(&self) -> [u8; 32] {
        self.hash()
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateDigest({})", blake3::Hash::from_bytes(self.hash()))
    }
}

/// The lanes of an entry, as bytes.
fn element(key: &[u8], value: &[u8]) -> [u8; StateDigest::BYTES] {
    let mut hasher = Hasher::new_from_context_key(&ELEMENT_KEY);
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(value);
    let mut bytes = [0; StateDigest::BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn change(lanes: &mut Lanes, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
    if old == new {
        return;
    }
    if let Some(old) = old {
        subtract(lanes, &element(key, old));
    }
    if let Some(new) = new {
        add(lanes, &element(key, new));
    }
}

// Three plain loops over arrays of known length, which compile to a few instructions for every eight lanes or more.

fn add(lanes: &mut Lanes, element: &[u8; StateDigest::BYTES]) {
    let (others, _) = element.as_chunks();
    for (lane, other) in lanes.iter_mut().zip(others) {
        *lane = lane.wrapping_add(u16::from_le_bytes(*other));
    }
}

fn subtract(lanes: &mut Lanes, element: &[u8; StateDigest::BYTES]) {
    let (others, _) = element.as_chunks();
    for (lane, other) in lanes.iter_mut().zip(others) {
        *lane = lane.wrapping_sub(u16::from_le_bytes(*other));
    }
}

fn combine(lanes: &mut Lanes, others: &Lanes) {
    for (lane, other) in lanes.iter_mut().zip(others) {
        *lane = lane.wrapping_add(*other);
    }
}
