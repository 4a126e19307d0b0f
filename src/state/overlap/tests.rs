//! What an overlap counts is what it alone keeps alive, whatever happens to state and stream.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::model::{ColdSeq, Location, Routing};
use crate::state::map::{Key, Value};
use crate::state::{KeyHasher, Scratch};
use crate::sync::Weak;

/// A state, and the root of it that is streamed.
struct Scene {
    map: Map<u32>,
    hasher: KeyHasher,
    scratch: Scratch<u32>,
    overlap: Overlap<u32>,
    /// The entries of the root, and those that have taken the place of others.
    own: Vec<Weak<Entry<u32>>>,
    /// All keys, in the order of the stream.
    order: Vec<Vec<u8>>,
    streamed: Vec<Arc<Entry<u32>>>,
}

fn key(number: u16) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn number(key: &[u8]) -> Option<u16> {
    std::str::from_utf8(key).ok()?.strip_prefix("key ")?.parse().ok()
}

fn at(number: u16) -> Location {
    Location { file: ColdSeq(1), sector: 1, sectors: 8, slot: number }
}

fn write(
    map: &mut Map<u32>,
    hasher: &KeyHasher,
    overlap: Option<&Overlap<u32>>,
    scratch: &mut Scratch<u32>,
    apply: impl FnOnce(&mut Txn<'_, u32>),
) {
    let measure = |entity: &u32| *entity as usize;
    let mut txn = Txn::new(map, hasher, scratch, &measure);
    apply(&mut txn);
    overlap.into_iter().for_each(|overlap| overlap.note(&txn));
    drop(txn.land());
}

impl Scene {
    fn new(keys: u16) -> Self {
        let hasher = KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1);
        let (mut map, mut scratch) = (Map::new(), Scratch::default());
        for number in 0..keys {
            let put = |txn: &mut Txn<'_, u32>| txn.put(&key(number), 100 + u32::from(number % 50));
            write(&mut map, &hasher, None, &mut scratch, put);
        }
        let own = map.iter().map(Arc::downgrade).collect();
        let order = map.iter().map(|entry| entry.key().to_vec()).collect();
        let overlap = Overlap::new(&map);
        Self { map, hasher, scratch, overlap, own, order, streamed: Vec::new() }
    }

    fn write(&mut self, apply: impl FnOnce(&mut Txn<'_, u32>)) {
        write(&mut self.map, &self.hasher, Some(&self.overlap), &mut self.scratch, apply);
    }

    fn put(&mut self, number: u16) {
        self.write(|txn| txn.put(&key(number), 7));
    }

    /// The key's entity goes to a cold file.
    fn spill(&mut self, number: u16) {
        let hash = self.hasher.hash(&key(number));
        let Some(was) = self.map.entry(hash, &key(number)).cloned() else { return };
        let by = Arc::new(Entry::cold(hash, Key::from_vec(key(number)), at(number)));
        assert!(self.map.replace(&was, Arc::clone(&by)));
        self.overlap.note_replaced(&was, &by);
        self.own.push(Arc::downgrade(&by));
    }

    /// Streams so many parts.
    fn stream(&mut self, parts: usize) {
        for part in self.overlap.stream().take(parts) {
            // As a file would have them: copies.
            self.streamed.extend(part.iter().map(|entry| match entry.value() {
                Value::Here(entity) => Arc::new(Entry::new(entry.hash(), Key::from_slice(entry.key()), *entity, 0)),
                Value::Cold(at) => Arc::new(Entry::cold(entry.hash(), Key::from_slice(entry.key()), *at)),
            }));
        }
    }

    /// Bytes of the root's own entries that are alive and that the state has no more.
    fn alive(&self) -> u64 {
        let alive = self.own.iter().filter_map(Weak::upgrade);
        let is_lost = |entry: &Arc<Entry<u32>>| {
            let own = self.map.entry(entry.hash(), entry.key());
            !own.is_some_and(|own| Arc::ptr_eq(own, entry))
        };
        alive.filter(is_lost).map(|entry| entry.bytes() as u64).sum()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Put(Vec<u16>),
    Remove(u16),
    Spill(u16),
    Stream(usize),
}

fn ops(keys: u16) -> impl Strategy<Value = Vec<Op>> {
    // Some that were never there.
    let number = 0..keys + 20;
    let op = prop_oneof![
        4 => vec(number.clone(), 1..5).prop_map(Op::Put),
        2 => number.clone().prop_map(Op::Remove),
        4 => number.prop_map(Op::Spill),
        1 => (1..10_usize).prop_map(Op::Stream),
    ];
    vec(op, 0..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_counts_is_what_is_kept_alive(keys in prop_oneof![0..20_u16, 100..400_u16], ops in ops(400)) {
        let mut scene = Scene::new(keys);
        for op in ops {
            match op {
                Op::Put(numbers) => scene.write(|txn| numbers.iter().for_each(|number| txn.put(&key(*number), 7))),
                Op::Remove(number) => scene.write(|txn| txn.remove(&key(number))),
                Op::Spill(number) => scene.spill(number),
                Op::Stream(parts) => scene.stream(parts),
            }
            prop_assert_eq!(scene.overlap.kept(), scene.alive());
        }
        scene.stream(usize::MAX);
        prop_assert_eq!((scene.overlap.kept(), scene.alive()), (0, 0));
        // All of the root, in order: with the value that it had, or where that lies.
        let streamed: Vec<_> = scene.streamed.iter().map(|entry| entry.key().to_vec()).collect();
        prop_assert_eq!(streamed, scene.order);
        for entry in &scene.streamed {
            let number = number(entry.key()).unwrap();
            match entry.value() {
                Value::Here(entity) => prop_assert_eq!(*entity, 100 + u32::from(number % 50)),
                Value::Cold(location) => prop_assert_eq!(*location, at(number)),
            }
        }
    }
}

/// Each once, however often it is written; and it goes down with the stream.
#[test]
fn what_was_streamed_does_not_count_any_more() {
    let mut scene = Scene::new(1000);
    let bytes = scene.map.bytes() as u64;
    for _ in 0..2 {
        (0..1000).for_each(|number| scene.put(number));
        assert_eq!(scene.overlap.kept(), bytes);
    }
    let mut before = bytes;
    while before > 0 {
        scene.stream(1);
        let kept = scene.overlap.kept();
        assert!(kept < before && kept == scene.alive());
        before = kept;
    }
    assert_eq!(scene.streamed.len(), 1000);
}

#[test]
fn what_is_overwritten_behind_the_stream_does_not_count() {
    let mut scene = Scene::new(1000);
    scene.stream(200);
    let streamed = scene.streamed.len();
    assert!(streamed > 500);
    let numbers: Vec<_> = scene.streamed.iter().map(|entry| number(entry.key()).unwrap()).collect();
    numbers.iter().for_each(|number| scene.put(*number));
    assert_eq!((scene.overlap.kept(), scene.alive()), (0, 0));
}

/// All that is left is kept by nobody else then, about evenly.
#[test]
fn a_clear_counts_what_is_left() {
    let mut scene = Scene::new(1000);
    let bytes = scene.map.bytes() as u64;
    (0..100).for_each(|number| scene.put(number));
    scene.stream(64);
    let left = bytes - scene.streamed.iter().map(|entry| u64::from(*entry.entity().unwrap()) + 100).sum::<u64>();
    scene.write(|txn| {
        txn.clear();
        txn.put(b"key 1", 1);
    });
    let kept = scene.overlap.kept();
    assert!(kept > left * 8 / 10 && kept < left * 12 / 10, "{kept} of {left}");
    scene.stream(usize::MAX);
    assert_eq!((scene.overlap.kept(), scene.alive()), (0, 0));
}

/// A look that comes upon the stream waits for nothing, and there is nothing to count.
#[test]
fn a_part_that_is_just_being_streamed_is_not_looked_at() {
    let mut scene = Scene::new(1000);
    let overlap = std::mem::replace(&mut scene.overlap, Overlap::new(&Map::new()));
    let part = overlap.stream().next().unwrap();
    let [one, other] = [0, 1].map(|at| part.iter().nth(at).cloned().unwrap());
    let remove = |txn: &mut Txn<'_, u32>| txn.remove(one.key());
    write(&mut scene.map, &scene.hasher, Some(&overlap), &mut scene.scratch, remove);
    assert_eq!((scene.map.len(), overlap.kept()), (999, 0));
    overlap.note_replaced(&other, &Arc::new(Entry::cold(other.hash(), Key::from_slice(other.key()), at(1))));
    assert!(part.iter().all(|entry| entry.entity().is_some()));
}
