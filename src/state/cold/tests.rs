//! Transactions over entities that are not in memory, against a shelf of them.

use std::collections::BTreeMap;

use super::*;
use crate::model::Routing;
use crate::state::map::{Key, Map};
use crate::state::{KeyHasher, Scratch, StateDigest, Txn};

/// Entities by the slot that they lie in.
#[derive(Default)]
struct Shelf(BTreeMap<u16, u32>);

impl ReadCold<u32> for Shelf {
    fn read(&self, cold: &Arc<Entry<u32>>) -> Result<Arc<Entry<u32>>, Unreadable> {
        let at = cold.location().unwrap();
        let entity = self.0.get(&at.slot).ok_or(Unreadable::new(ShardId(0), at, ColdFault::Damaged))?;
        Ok(Arc::new(Entry::new(cold.hash(), Key::from_slice(cold.key()), *entity, 4)))
    }

    fn cached(&self, _cold: &Entry<u32>) -> Option<Arc<Entry<u32>>> {
        None
    }

    fn hand(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

struct Shard {
    map: Map<u32>,
    hasher: KeyHasher,
    scratch: Scratch<u32>,
    shelf: Shelf,
}

fn at(slot: u16) -> Location {
    Location { file: ColdSeq(u64::from(slot) % 2), sector: 1, sectors: 8, slot }
}

impl Shard {
    /// With these cold keys.
    fn with(cold: &[(&[u8], u32)]) -> Self {
        let hasher = KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1);
        let mut shard = Self { map: Map::new(), hasher, scratch: Scratch::default(), shelf: Shelf::default() };
        for ((key, entity), slot) in cold.iter().zip(0..) {
            let entry = Entry::cold(shard.hasher.hash(key), Key::from_slice(key), at(slot));
            shard.map.insert(Arc::new(entry));
            shard.shelf.0.insert(slot, *entity);
        }
        shard
    }

    /// Runs a command until it has what it reads; says in how many runs, or what cannot be read.
    fn run<R>(&mut self, mut apply: impl FnMut(&mut Txn<'_, u32>) -> R) -> Result<(R, usize), Unreadable> {
        for runs in 1.. {
            let mut txn = Txn::new(&mut self.map, &self.hasher, &mut self.scratch, &|_| 4);
            let reply = apply(&mut txn);
            if txn.is_complete() {
                txn.land();
                self.scratch.thawed.clear();
                return Ok((reply, runs));
            }
            for entry in std::mem::take(self.scratch.wanted()) {
                let here = read_cold(Some(&self.shelf as &dyn ReadCold<u32>), ShardId(0), &entry)?;
                self.scratch.thawed.insert(entry, here);
            }
        }
        unreachable!("it ends");
    }
}

#[test]
fn a_run_that_lacks_an_entity_is_repeated_with_it() {
    let mut shard = Shard::with(&[(b"a", 1), (b"b", 2), (b"c", 3)]);
    let add = |txn: &mut Txn<'_, u32>| {
        let sum = *txn.get(b"a").ok()?? + *txn.get(b"b").ok()??;
        txn.put(b"a", sum);
        txn.remove(b"c");
        Some(sum)
    };
    assert_eq!(shard.run(add), Ok((Some(3), 3)));
    assert_eq!(shard.scratch.freed(), [at(0), at(2)], "the places of what was replaced and removed");
    assert_eq!((shard.map.len(), shard.map.cold()), (2, 1));
    // What was only read stays where it is.
    assert_eq!(shard.run(add), Ok((Some(5), 2)));
    assert_eq!(shard.scratch.freed(), []);
}

#[test]
fn many_are_lacked_at_a_time() {
    let mut shard = Shard::with(&[(b"a", 1), (b"b", 2), (b"c", 3)]);
    let sum = |txn: &mut Txn<'_, u32>| {
        let found = txn.get_many(&[&b"a"[..], b"b", b"nothing", b"c"]).ok()?;
        Some(found.iter().flatten().map(|entity| **entity).sum::<u32>())
    };
    assert_eq!(shard.run(sum), Ok((Some(6), 2)));
}

/// What it returns, or does with the abort, is of no account.
#[test]
fn a_run_that_passes_over_the_abort_is_repeated_all_the_same() {
    let mut shard = Shard::with(&[(b"a", 1)]);
    let careless = |txn: &mut Txn<'_, u32>| txn.get(b"a").map_or(0, |entity| entity.map_or(0, |entity| *entity));
    assert_eq!(shard.run(careless), Ok((1, 2)));
}

#[test]
fn writing_blindly_reads_nothing() {
    let mut shard = Shard::with(&[(b"a", 1), (b"b", 2)]);
    shard.shelf.0.clear();
    let write = |txn: &mut Txn<'_, u32>| {
        txn.put(b"a", 7);
        txn.remove(b"b");
    };
    assert_eq!(shard.run(write), Ok(((), 1)));
    assert_eq!((shard.map.len(), shard.map.cold()), (1, 0));
}

/// Guards F46.
#[test]
fn what_cannot_be_read_costs_its_own_key() {
    let mut shard = Shard::with(&[(b"a", 1), (b"b", 2)]);
    shard.shelf.0.remove(&0);
    let read = |key: &'static [u8]| move |txn: &mut Txn<'_, u32>| txn.get(key).ok().flatten().map(|entity| *entity);
    assert_eq!(shard.run(read(b"a")), Err(Unreadable::new(ShardId(0), at(0), ColdFault::Damaged)));
    assert_eq!(shard.run(read(b"b")), Ok((Some(2), 2)));
}

#[test]
fn a_digest_follows_what_is_not_in_memory() {
    let mut shard = Shard::with(&[(b"a", 1), (b"b", 2)]);
    let encode = |entity: &u32| Ok::<_, ()>(entity.to_le_bytes());
    let mut digest = StateDigest::new();
    [(b"a", 1_u32), (b"b", 2)].iter().for_each(|(key, entity)| digest.add(*key, &entity.to_le_bytes()));
    for runs in 0..2 {
        let mut txn = Txn::new(&mut shard.map, &shard.hasher, &mut shard.scratch, &|_| 4);
        txn.put(b"a", 7);
        txn.remove(b"b");
        if runs == 0 {
            assert!(!txn.has_old() && !txn.is_complete());
            for entry in std::mem::take(shard.scratch.wanted()) {
                let here = shard.shelf.read(&entry).unwrap();
                shard.scratch.thawed.insert(entry, here);
            }
        } else {
            assert!(txn.has_old());
            digest.follow(&txn, encode).unwrap();
            txn.land();
        }
    }
    assert_eq!(digest, StateDigest::of_map(&shard.map, encode).unwrap());
}

#[test]
fn uses_are_counted_by_file() {
    let mut uses = ColdUse::default();
    (0..5).for_each(|slot| uses.add(at(slot)));
    assert_eq!(uses.files().collect::<Vec<_>>(), [(ColdSeq(0), 3), (ColdSeq(1), 2)]);
    uses.remove(at(1));
    assert_eq!(uses.of(ColdSeq(1)), 1);
    uses.remove(at(3));
    assert_eq!(uses.of(ColdSeq(1)), 0);
    assert_eq!((uses.values(), uses.of(ColdSeq(0))), (3, 3));
}
