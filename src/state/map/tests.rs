//! The map against a `BTreeMap`, with clones kept alive, few hashes and many.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::clock::Age;
use super::{
    Cursor, ENTRY_BYTES, EntityRef, Entry, Found, Key, Map,
    cluster::{CAPACITY, Cluster},
    node::{GATHERED, Node},
};
use crate::model::{ColdSeq, Location};

pub(super) type Model = BTreeMap<(u64, Vec<u8>), u32>;

/// Of entries whose keys are their hashes.
pub(super) fn model_of(entries: &[(u64, u32)]) -> Model {
    entries.iter().map(|(hash, value)| ((*hash, hash.to_be_bytes().to_vec()), *value)).collect()
}

/// Hash functions of a key number: from one bucket for all, over paths that part late, to well
/// spread.
const HASHES: [fn(u16) -> u64; 5] = [
    |_| 0,
    |number| u64::from(number & 0x3) << 62,
    |number| u64::MAX - u64::from(number & 0x1f),
    |number| u64::from(number & 0x7) << 60 | u64::from(number & 0x3),
    |number| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15),
];

#[derive(Clone, Debug)]
enum Op {
    Insert(u16, u32),
    Remove(u16),
    Get(u16),
    Keep,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let number = 0_u16..200;
    vec(
        prop_oneof![
            4 => (number.clone(), any::<u32>()).prop_map(|(key, value)| Op::Insert(key, value)),
            3 => number.clone().prop_map(Op::Remove),
            1 => number.prop_map(Op::Get),
            1 => Just(Op::Keep),
        ],
        0..400,
    )
}

/// Short and long keys, so that both forms of `Key` occur.
fn key(number: u16) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.resize(2 + usize::from(number % 3) * 14, 7);
    key
}

fn entity(entry: Option<Arc<Entry<u32>>>) -> Option<u32> {
    entry.and_then(|entry| entry.entity().copied())
}

fn here(found: Option<Found<'_, u32>>) -> Option<u32> {
    match found? {
        Found::Here(entity) => Some(*entity),
        Found::Cold { .. } => None,
    }
}

fn put(map: &mut Map<u32>, hash: u64, key: &[u8], value: u32) -> Option<u32> {
    let entry = Entry::new(hash, Key::from_slice(key), value, value as usize % 1000);
    entity(map.insert(Arc::new(entry)))
}

fn contents(map: &Map<u32>) -> Vec<((u64, Vec<u8>), u32)> {
    map.iter().filter_map(|entry| Some(((entry.hash(), entry.key().to_vec()), *entry.entity()?))).collect()
}

/// A map is what its model says, in the model's order, with sums that add up and a sound shape.
pub(super) fn check(map: &Map<u32>, model: &Model) {
    assert!(contents(map).into_iter().eq(model.clone()));
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
    let bytes = |((_, key), value): (&(u64, Vec<u8>), &u32)| ENTRY_BYTES + key.len() + *value as usize % 1000;
    assert_eq!(map.bytes(), model.iter().map(bytes).sum::<usize>());
    assert_eq!(map.bytes(), map.iter().map(|entry| entry.bytes()).sum::<usize>());
    assert_eq!(map.keys_bytes(), map.iter().map(|entry| entry.bytes_when_cold()).sum::<usize>());
    assert_eq!(shape(map.root(), 0, 0), map.len());
}

/// Asserts what every trie keeps, and counts its entries.
fn shape(node: &Node<u32>, prefix: u64, depth: u32) -> usize {
    let entries = node.sorted();
    for entry in &entries {
        assert_eq!(entry.hash().checked_shr(64 - 4 * depth).unwrap_or(0), prefix, "an entry lies on its hash's path");
    }
    match node {
        Node::Empty => 0,
        Node::Cluster(cluster) => {
            let used = cluster.slots().iter().take_while(|slot| slot.is_some()).count();
            assert!((1..=CAPACITY).contains(&used) && used == cluster.len());
            assert!(cluster.slots().iter().skip(used).all(Option::is_none));
            assert!(entries.iter().all(|entry| cluster.get(entry.hash(), entry.key()).is_some()), "tags are right");
            used
        }
        Node::Bucket(_) => {
            assert_eq!(depth, 16);
            assert!(entries.len() > GATHERED && entries.iter().all(|entry| entry.hash() == prefix));
            entries.len()
        }
        Node::Branch(branch) => {
            let below = branch.children().iter().zip(0..);
            let below = below.map(|(child, nibble)| shape(child, prefix << 4 | nibble, depth + 1)).sum::<usize>();
            assert!(depth < 16 && below > GATHERED && below == branch.len());
            below
        }
    }
}

/// A cluster takes no more room than it needs, but for one slot.
fn slots_of(len: usize) -> usize {
    let mut map = Map::new();
    (0..len as u16).for_each(|number| _ = put(&mut map, u64::from(number), &key(number), 0));
    match map.root() {
        Node::Cluster(cluster) => Cluster::slots(cluster).len(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn behaves_like_an_ordered_map_and_clones_never_change(ops in ops(), hash in 0..HASHES.len()) {
        let hash = HASHES[hash];
        let (mut map, mut model, mut kept) = (Map::new(), Model::new(), Vec::new());
        for op in ops {
            match op {
                Op::Insert(number, value) => {
                    let (hash, key) = (hash(number), key(number));
                    let before = put(&mut map, hash, &key, value);
                    prop_assert_eq!(before, model.insert((hash, key), value));
                }
                Op::Remove(number) => {
                    let (hash, key) = (hash(number), key(number));
                    let removed = entity(map.remove(hash, &key));
                    prop_assert_eq!(removed, model.remove(&(hash, key)));
                }
                Op::Get(number) => {
                    let (hash, key) = (hash(number), key(number));
                    map.warm_up(&[hash, 0, hash, u64::MAX]);
                    let found = here(map.get(hash, &key));
                    prop_assert_eq!(found, model.get(&(hash, key)).copied());
                }
                Op::Keep => kept.push((map.clone(), model.clone())),
            }
        }
        check(&map, &model);
        for (map, model) in &kept {
            check(map, model);
        }
        for (hash, key) in model.keys() {
            map.remove(*hash, key);
        }
        check(&map, &Model::new());
    }

    #[test]
    fn a_scan_across_roots_returns_every_lasting_key_once(
        ops in ops(), hash in 0..HASHES.len(), limit in 0_usize..20, changes in 1_usize..8,
    ) {
        let hash = HASHES[hash];
        let lasting: Vec<u16> = (0..200).step_by(2).collect();
        let mut map = Map::new();
        for number in &lasting {
            put(&mut map, hash(*number), &key(*number), 0);
        }
        let mut ops = ops.into_iter();
        let mut seen = Vec::new();
        let mut from = Some(Cursor::START);
        while let Some(cursor) = from {
            let batch = map.scan(cursor, limit);
            from = batch.next;
            let full = batch.entries.len() >= limit.max(1);
            prop_assert!(from.is_none_or(|next| next > cursor && full));
            seen.extend(batch.entries.iter().map(|entry| (entry.hash(), entry.key().to_vec())));
            for op in ops.by_ref().take(changes) {
                match op {
                    Op::Insert(number, value) => {
                        put(&mut map, hash(number), &key(number), value);
                    }
                    Op::Remove(number) => _ = map.remove(hash(number | 1), &key(number | 1)),
                    Op::Get(_) | Op::Keep => {}
                }
            }
        }
        prop_assert!(seen.is_sorted_by(|a, b| a < b), "ascending, so nothing is returned twice");
        for number in lasting {
            prop_assert!(seen.binary_search(&(hash(number), key(number))).is_ok());
        }
    }

    #[test]
    fn iterates_from_any_hash(
        ops in ops(), hash in 0..HASHES.len(), number in any::<u16>(), shift in 0_u32..64,
    ) {
        let hash = HASHES[hash];
        let (mut map, mut model) = (Map::new(), Model::new());
        for op in ops {
            if let Op::Insert(number, value) = op {
                put(&mut map, hash(number), &key(number), value);
                model.insert((hash(number), key(number)), value);
            }
        }
        for from in [hash(number), hash(number).wrapping_add(1), hash(number) >> shift, u64::MAX] {
            let found: Vec<_> = map.iter_from(Cursor::at(from)).map(|entry| entry.hash()).collect();
            let expected = model.range((from, Vec::new())..).map(|((hash, _), _)| *hash);
            let expected: Vec<_> = expected.collect();
            prop_assert_eq!(found, expected);
        }
    }
}

#[test]
fn holds_many_entries_and_forgets_them() {
    let hash = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut map = Map::new();
    for number in 0..100_000 {
        assert_eq!(put(&mut map, hash(number), &number.to_be_bytes(), number), None);
    }
    let full = map.clone();
    for number in 0..100_000 {
        assert_eq!(here(map.get(hash(number), &number.to_be_bytes())), Some(number));
        assert_eq!(put(&mut map, hash(number), &number.to_be_bytes(), !number), Some(number));
    }
    for number in 0..100_000 {
        assert_eq!(entity(map.remove(hash(number), &number.to_be_bytes())), Some(!number));
    }
    assert_eq!((map.len(), map.bytes(), map.iter().count()), (0, 0, 0));
    assert_eq!((full.len(), full.iter().count()), (100_000, 100_000));
    assert!(full.iter().all(|entry| entry.key() == entry.entity().unwrap().to_be_bytes()));
}

#[test]
fn what_was_read_stays_what_it_was() {
    let mut map = Map::new();
    put(&mut map, 1, b"key", 1);
    let reference = |entry: &Arc<Entry<u32>>| EntityRef::of(entry).unwrap();
    let first = reference(map.entry(1, b"key").unwrap());
    let old = map.clone();
    put(&mut map, 1, b"key", 2);
    let second = reference(&map.remove(1, b"key").unwrap());
    drop(map);
    assert_eq!((*first, *second, here(old.get(1, b"key"))), (1, 2, Some(1)));
    assert_eq!((first.clone(), second), (EntityRef::from(1), EntityRef::from(2)));
    assert_eq!(format!("{first:?}"), "1");
}

#[test]
fn only_writes_and_gets_use_an_entry() {
    let mut map = Map::new();
    let age = |map: &Map<u32>| map.entry(1, b"key").unwrap().age(map.now());
    put(&mut map, 1, b"key", 1);
    assert_eq!(age(&map), Age::MIN, "a write");
    map.tick();
    assert_eq!(map.iter().chain(map.scan(Cursor::START, 1).entries).count(), 2);
    assert!(age(&map) > Age::MIN, "walking past does not");
    map.clone().get(1, b"key");
    assert_eq!(age(&map), Age::MIN, "a read through another root does");

    let here = Arc::clone(map.entry(1, b"key").unwrap());
    assert!(map.replace(&here, cold(1, 0)));
    map.get(1, b"key");
    assert_eq!(age(&map), Age::MAX, "who finds it has not read it");
    let entry = map.entry(1, b"key").unwrap();
    assert!(!entry.used(map.now()) && entry.used(map.now()), "twice within a while");
}

#[test]
fn what_is_very_old_stays_that_when_the_clock_comes_round() {
    let mut map = Map::new();
    put(&mut map, 1, b"key", 1);
    for _ in 0..600 {
        map.tick();
        // Somebody looks now and then.
        map.entry(1, b"key").unwrap().age(map.now());
    }
    assert_eq!(map.entry(1, b"key").unwrap().age(map.now()), Age::MAX);
}

fn location(slot: u16) -> Location {
    Location { file: ColdSeq(1), sector: 1, sectors: 8, slot }
}

fn cold(hash: u64, slot: u16) -> Arc<Entry<u32>> {
    Arc::new(Entry::cold(hash, Key::from_slice(b"key"), location(slot)))
}

/// Guards F44, F51: whoever has written the key meanwhile is not overwritten.
#[test]
fn an_entry_is_replaced_only_if_it_is_the_very_same() {
    let mut map = Map::new();
    put(&mut map, 1, b"key", 7);
    let spilled = Arc::clone(map.entry(1, b"key").unwrap());
    put(&mut map, 1, b"key", 7);
    assert!(!map.replace(&spilled, cold(1, 0)), "the same value, written again");
    assert_eq!((here(map.get(1, b"key")), map.cold()), (Some(7), 0));

    let spilled = Arc::clone(map.entry(1, b"key").unwrap());
    let before = map.clone();
    assert!(map.replace(&spilled, cold(1, 0)));
    assert!(matches!(map.get(1, b"key"), Some(Found::Cold { at, .. }) if at == location(0)));
    assert_eq!(map.cold_at(1).count(), 1);
    assert_eq!((map.len(), map.cold(), before.cold(), here(before.get(1, b"key"))), (1, 1, 0, Some(7)));
    assert_eq!(map.bytes(), ENTRY_BYTES + 3 + size_of::<Location>());

    let moved = Arc::clone(map.entry(1, b"key").unwrap());
    assert!(map.replace(&moved, cold(1, 1)) && !map.replace(&moved, cold(1, 2)));
    assert_eq!(map.entry(1, b"key").unwrap().location(), Some(location(1)));

    assert!(map.remove(1, b"key").is_some());
    assert!(!map.replace(&moved, cold(1, 3)), "a removed key does not come back");
    assert_eq!((map.len(), map.cold(), map.bytes(), map.keys_bytes()), (0, 0, 0, 0));
}

#[test]
fn what_no_spill_frees_is_known_before_anything_is_spilled() {
    let mut map = Map::new();
    let key = |number: u8| Key::from_slice(&[number; 5]);
    let each = ENTRY_BYTES + 5 + size_of::<Location>();
    map.insert(Arc::new(Entry::new(1, key(1), 7, 1_000)));
    map.insert(Arc::new(Entry::new(2, key(2), 7, size_of::<u32>())));
    let small = ENTRY_BYTES + 5 + size_of::<u32>();
    assert_eq!((map.bytes(), map.keys_bytes()), (ENTRY_BYTES + 1_005 + small, each + small), "a small one stays");
    let spilled = Arc::clone(map.entry(1, &key(1)).unwrap());
    assert!(map.replace(&spilled, Arc::new(Entry::cold(1, key(1), location(0)))));
    assert_eq!((map.bytes(), map.keys_bytes()), (each + small, each + small));
}

#[test]
fn a_value_too_large_to_account_is_given_back_as_it_was_taken() {
    let mut map = Map::new();
    let entry = |heap_bytes| Arc::new(Entry::new(1, Key::from_slice(b"key"), (), heap_bytes));
    map.insert(entry(usize::MAX));
    assert_eq!(map.bytes(), u32::MAX as usize);
    map.insert(entry(1));
    assert_eq!(map.bytes(), ENTRY_BYTES + 4);
}

#[test]
fn nodes_are_small() {
    assert_eq!(size_of::<Node<u32>>(), 16);
    assert_eq!([1, 3, 4, 7, 8, 15, 16, 23, 24, 31, 32].map(slots_of), [3, 3, 7, 7, 15, 15, 23, 23, 31, 31, 0]);
}

#[test]
fn a_map_that_shrinks_is_gathered_again() {
    let hash = |number: u16| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut map = Map::new();
    (0..1_000).for_each(|number| _ = put(&mut map, hash(number), &key(number), 0));
    for number in (2..1_000).rev() {
        map.remove(hash(number), &key(number));
        assert_eq!(shape(map.root(), 0, 0), map.len());
    }
    assert!(matches!(map.root(), Node::Cluster(cluster) if cluster.slots().len() == 3));
}
