//! What does applying a command cost a shard, by how often its root is published?
//!
//! `cargo bench --bench apply`: puts of 100 bytes over 100,000 and 1,000,000 keys straight into a shard's map, in place
//! and with a root cloned (and the one before dropped) after every batch; gets one by one and 64 at a time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::sync::Arc;
use std::time::Instant;

use mainstay::model::{Epoch, Lsn, Position, Routing, ShardId, Time};
use mainstay::state::map::{Entry, Key, Map, WARMED_UP};
use mainstay::state::{KeyHasher, Scratch, Txn};
use mainstay::{At, StateMachine};
use support::{Puts, put};

const COMMANDS: u64 = 1_000_000;

fn main() {
    println!("| keys | in place, ns | publishing each 1024 | each 64 | get, ns | of 64 |");
    println!("|---|---|---|---|---|---|");
    for keys in [100_000, 1_000_000] {
        let mut map = Map::new();
        fill(&mut map, keys);
        let in_place = median(|| apply(&mut map, keys, u64::MAX));
        let rarely = median(|| apply(&mut map, keys, 1024));
        let often = median(|| apply(&mut map, keys, 64));
        let get = median(|| gets(&map, keys, 1));
        let many = median(|| gets(&map, keys, WARMED_UP));
        println!("| {keys} | {in_place:.0} | {rarely:.0} | {often:.0} | {get:.0} | {many:.0} |");
    }
}

fn median(mut one: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<_> = (0..3).map(|_| one()).collect();
    times.sort_by(f64::total_cmp);
    times[1]
}

fn hasher() -> KeyHasher {
    KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1)
}

fn fill(map: &mut Map<bytes::Bytes>, keys: u64) {
    let hasher = hasher();
    for key in 0..keys {
        let key = u128::from(key).to_le_bytes();
        let value = bytes::Bytes::from(vec![7; 100]);
        map.insert(Arc::new(Entry::new(hasher.hash(&key), Key::from_slice(&key), value, 132)));
    }
}

fn apply(map: &mut Map<bytes::Bytes>, keys: u64, batch: u64) -> f64 {
    let (hasher, mut scratch, mut random) = (hasher(), Scratch::default(), 7);
    let measure = |entity: &bytes::Bytes| Puts.heap_bytes(entity);
    let position = Position { epoch: Epoch(1), lsn: Lsn(1) };
    let at = At { shard: ShardId(0), position, time: Time(1), schema: 1 };
    let mut root = map.clone();
    if batch == u64::MAX {
        root = Map::new();
    }
    let started = Instant::now();
    for n in 0..COMMANDS {
        let mut txn = Txn::new(map, &hasher, &mut scratch, &measure);
        Puts.apply(at, &mut txn, put(&mut random, keys)).unwrap();
        txn.land();
        if n % batch == batch - 1 {
            root = map.clone();
        }
    }
    drop(root);
    started.elapsed().as_nanos() as f64 / COMMANDS as f64
}

fn gets(map: &Map<bytes::Bytes>, keys: u64, at_a_time: usize) -> f64 {
    let (hasher, mut random, mut found) = (hasher(), 9, 0u64);
    let started = Instant::now();
    let (mut wanted, mut hashes) = (Vec::new(), Vec::new());
    for _ in 0..COMMANDS / at_a_time as u64 {
        wanted.clear();
        hashes.clear();
        for _ in 0..at_a_time {
            random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
            let key = u128::from((random >> 20) % keys).to_le_bytes();
            wanted.push(key);
            hashes.push(hasher.hash(&key));
        }
        if at_a_time > 1 {
            map.warm_up(&hashes);
        }
        found += hashes.iter().zip(&wanted).filter(|(hash, key)| map.get(**hash, *key).is_some()).count() as u64;
    }
    assert!(found > 0);
    started.elapsed().as_nanos() as f64 / COMMANDS as f64
}
