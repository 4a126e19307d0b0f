//! Values computed elsewhere, the rules of the sum, and transactions followed against full scans.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::{ELEMENT_KEY, LANES, StateDigest};
use crate::codec::{self, CodecError};
use crate::model::Routing;
use crate::state::map::Map;
use crate::state::{Change, KeyHasher, Scratch, Txn};

fn of(entries: &[(&[u8], &[u8])]) -> StateDigest {
    let mut digest = StateDigest::new();
    entries.iter().for_each(|(key, value)| digest.add(key, value));
    digest
}

/// The first two lanes and the last two.
fn first_and_last(digest: &StateDigest) -> Vec<u16> {
    let lanes = digest.0.iter().copied();
    lanes.clone().take(2).chain(lanes.skip(LANES - 2)).collect()
}

/// Made by Python's blake3 1.0.11 from the text of the module's head alone. The lanes of an entry, and the short form:
///
/// ```text
/// data = struct.pack("<Q", len(key)) + key + value
/// lanes = struct.unpack("<1024H", blake3(data, derive_key_context=ELEMENT_CONTEXT).digest(length=2048))
/// blake3(struct.pack("<1024H", *sums), derive_key_context=HASH_CONTEXT).hexdigest()
/// ```
#[test]
fn version_1_never_changes() {
    let long: Vec<_> = (0..5000_u32).map(|at| (at % 251) as u8).collect();
    let entries: [(&[u8], &[u8]); 3] = [(b"key", b"value"), (b"", b""), (b"long", &long)];
    let golden = [
        (of(&[]), [0; 4], "96dd864bb54a6b8a0faf3b35ff646a7a98a28eb06fd6363bd3d0b41109dd12fc"),
        (
            of(&entries[..1]),
            [11_286, 28_248, 23_909, 4_485],
            "c763940b40f50a1868a5d528dd4f6449bca5fc9f8f9b55ee80a8ca7b936aae68",
        ),
        (
            of(&entries[1..2]),
            [31_901, 7_041, 32_815, 59_666],
            "c6e68be6ff2ded958e0e3df81e5b1f45186a332b78db973958699b133e71a2db",
        ),
        (
            of(&entries),
            [48_905, 17_524, 42_553, 7_458],
            "d94fb3c47794758e4cd70d413656235faa90d822d325acc22e2a2845944b2060",
        ),
    ];
    for (digest, lanes, hash) in golden {
        assert_eq!(first_and_last(&digest), lanes);
        assert_eq!(blake3::Hash::from(digest.hash()).to_string(), hash);
        assert_eq!(format!("{digest:?}"), format!("StateDigest({hash})"));
    }
}

#[test]
fn the_key_is_that_of_the_context() {
    assert_eq!(blake3::hazmat::hash_derive_key_context(StateDigest::ELEMENT_CONTEXT), ELEMENT_KEY);
}

#[test]
fn lanes_are_little_endian() {
    let mut bytes = [0; StateDigest::BYTES];
    bytes[1] = 2;
    bytes[StateDigest::BYTES - 2] = 3;
    let digest = StateDigest::from_bytes(&bytes);
    assert_eq!(first_and_last(&digest), [0x200, 0, 0, 3]);
    assert_eq!(digest.to_bytes(), bytes);
}

#[test]
fn every_byte_and_its_place_count() {
    let entries: [(&[u8], &[u8]); 8] = [
        (b"", b"ab"),
        (b"a", b"b"),
        (b"ab", b""),
        (b"b", b"a"),
        (b"a", b"b\0"),
        (b"a\0", b"b"),
        (b"\0a", b"b"),
        (b"a", b"\0b"),
    ];
    for (at, one) in entries.iter().enumerate() {
        assert!(entries[..at].iter().all(|other| of(&[*other]) != of(&[*one])), "{one:?}");
    }
    assert_ne!(of(&[(b"a", b"1"), (b"b", b"2")]), of(&[(b"a", b"2"), (b"b", b"1")]), "values that changed places");
}

#[test]
fn it_counts_modulo_2_to_the_16() {
    let mut digest = StateDigest::new();
    let one = of(&[(b"key", b"value")]);
    for _ in 0..u16::MAX {
        digest.merge(&one);
    }
    digest.add(b"key", b"value");
    assert_eq!(digest, StateDigest::new(), "the limit that the head names");
    digest.remove(b"key", b"value");
    digest.replace(b"key", b"value", b"value");
    digest.merge(&one);
    assert_eq!(digest, StateDigest::new());
}

type Entity = Vec<u8>;

/// What this entity is when it is encoded: nothing.
const REFUSED: u8 = 255;

fn encode(entity: &Entity) -> Result<impl AsRef<[u8]> + use<>, CodecError> {
    if entity.first() == Some(&REFUSED) { Err(CodecError::new("refused")) } else { codec::encode(entity) }
}

fn scanned(map: &Map<Entity>) -> Option<StateDigest> {
    StateDigest::of_map(map, encode).ok()
}

fn contents(map: &Map<Entity>) -> BTreeMap<Vec<u8>, Entity> {
    map.iter().filter_map(|entry| Some((entry.key().to_vec(), entry.entity()?.clone()))).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, Entity),
    /// What is there already.
    PutAgain(u8),
    Remove(u8),
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = 0_u8..40;
    let entity = vec(0_u8..4, 0..3);
    let op = prop_oneof![
        60 => (key.clone(), entity).prop_map(|(key, entity)| Op::Put(key, entity)),
        20 => key.clone().prop_map(Op::PutAgain),
        40 => key.clone().prop_map(Op::Remove),
        1 => key.prop_map(|key| Op::Put(key, vec![REFUSED])),
        2 => Just(Op::Clear),
    ];
    prop_oneof![vec(op.clone(), 0..5), vec(op, 0..60)]
}

fn run(txn: &mut Txn<'_, Entity>, op: Op) {
    match op {
        Op::Put(key, entity) => txn.put(&[key], entity),
        Op::PutAgain(key) => {
            if let Ok(Some(entity)) = txn.get(&[key]) {
                txn.put(&[key], entity.to_vec());
            }
        }
        Op::Remove(key) => txn.remove(&[key]),
        Op::Clear => txn.clear(),
    }
}

fn hasher() -> KeyHasher {
    KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1)
}

/// Asserts that the changes say what there was, and makes them.
fn replay(txn: &Txn<'_, Entity>, model: &mut BTreeMap<Vec<u8>, Entity>) {
    if txn.clears() {
        model.clear();
    }
    for Change { key, old, new, .. } in txn.changes() {
        assert_eq!(model.get(key), old, "what was there before");
        match new {
            Some(new) => drop(model.insert(key.to_vec(), new.clone())),
            None => drop(model.remove(key)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Guards F67.
    #[test]
    fn following_each_transaction_is_scanning_the_map_after_it(txns in vec((ops(), any::<bool>()), 1..12)) {
        let (hasher, measure) = (hasher(), |_: &Entity| 0);
        let (mut map, mut scratch) = (Map::new(), Scratch::default());
        let (mut digest, mut model) = (StateDigest::new(), BTreeMap::new());
        for (ops, lands) in txns {
            let before = digest.clone();
            let mut txn = Txn::new(&mut map, &hasher, &mut scratch, &measure);
            ops.into_iter().for_each(|op| run(&mut txn, op));
            if !lands {
                // An abort, a panic, no memory: the transaction is dropped.
            } else if digest.follow(&txn, encode).is_ok() {
                replay(&txn, &mut model);
                txn.land();
            } else {
                prop_assert!(txn.changes().any(|change| change.new.is_some_and(|new| new == &[REFUSED])));
                prop_assert_eq!(&digest, &before, "a failure changes nothing");
            }
            prop_assert!(scanned(&map).as_ref() == Some(&digest));
            prop_assert_eq!(&contents(&map), &model);
        }
        let resumed = StateDigest::from_bytes(&digest.to_bytes());
        prop_assert_eq!(Some(resumed.hash()), scanned(&map).map(|digest| digest.hash()));
        prop_assert_eq!(digest == StateDigest::new(), map.is_empty());
    }

    #[test]
    fn neither_order_nor_division_matters(
        entries in btree_map(vec(any::<u8>(), 0..4), vec(any::<u8>(), 0..200), 1..20), split in 0_usize..20,
    ) {
        let whole = StateDigest::new();
        let (mut forth, mut back, mut parts) = (whole.clone(), whole.clone(), [whole.clone(), whole]);
        let entries: Vec<_> = entries.into_iter().collect();
        for (at, (key, value)) in entries.iter().enumerate() {
            forth.add(key, value);
            parts[usize::from(at < split)].add(key, value);
        }
        entries.iter().rev().for_each(|(key, value)| back.add(key, value));
        let [mut union, other] = parts;
        union.merge(&other);
        prop_assert_eq!(&forth, &back);
        prop_assert_eq!(&forth, &union);
        for (key, value) in &entries {
            let mut replaced = forth.clone();
            replaced.replace(key, value, b"another");
            forth.remove(key, value);
            prop_assert_ne!(&replaced, &forth);
            replaced.remove(key, b"another");
            prop_assert_eq!(&replaced, &forth);
        }
        prop_assert_eq!(forth, StateDigest::new());
    }
}

#[test]
fn a_panic_while_encoding_changes_nothing() {
    let (hasher, measure) = (hasher(), |_: &Entity| 0);
    let (mut map, mut scratch) = (Map::new(), Scratch::default());
    let mut digest = of(&[(b"other shard", b"")]);
    let before = digest.clone();
    let mut txn = Txn::new(&mut map, &hasher, &mut scratch, &measure);
    txn.put(b"1", vec![1]);
    txn.put(b"2", vec![2]);
    let encode = |entity: &Entity| match entity[0] {
        2 => panic!("the application's"),
        _ => Ok::<_, Infallible>(entity.clone()),
    };
    assert!(catch_unwind(AssertUnwindSafe(|| digest.follow(&txn, encode))).is_err());
    assert_eq!((digest, map.len()), (before, 0));
}

#[test]
fn a_scan_ends_with_the_first_error() {
    let (hasher, measure) = (hasher(), |_: &Entity| 0);
    let (mut map, mut scratch, mut asked) = (Map::new(), Scratch::default(), 0);
    let mut txn = Txn::new(&mut map, &hasher, &mut scratch, &measure);
    (0..9).for_each(|key| txn.put(&[key], vec![key]));
    txn.land();
    let result = StateDigest::of_map(&map, |entity| {
        asked += 1;
        if asked < 3 { Ok(entity.clone()) } else { Err("enough") }
    });
    assert_eq!((result, asked), (Err("enough"), 3));
}
