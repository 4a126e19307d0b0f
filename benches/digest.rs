//! What does a digest of the state cost, by entry changed and by entry scanned, and where does it go?
//!
//! `cargo bench --bench digest`: keys of 16 bytes, values of 100, on one core. Medians of five, in nanoseconds. Puts
//! with the digest following are beside the same puts without; what an entry takes is beside its parts.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use blake3::Hasher;
use bytes::Bytes;
use mainstay::StateMachine;
use mainstay::codec;
use mainstay::model::Routing;
use mainstay::state::map::{Entry, Key, Map};
use mainstay::state::{KeyHasher, Scratch, StateDigest, Txn};
use support::{Puts, put};

const TIMES: u32 = 200_000;
const KEY: [u8; 16] = [3; 16];

fn main() {
    entries();
    parts();
    for keys in [100_000, 1_000_000] {
        state(keys);
    }
}

/// Nanoseconds of one call.
fn time(mut one: impl FnMut(u32)) -> f64 {
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            let started = Instant::now();
            (0..TIMES).for_each(&mut one);
            started.elapsed().as_nanos() as f64 / f64::from(TIMES)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

/// A value that is never the one before.
fn value(n: u32) -> [u8; 100] {
    let mut value = [7; 100];
    value[..4].copy_from_slice(&n.to_le_bytes());
    value
}

fn entries() {
    let mut digest = StateDigest::new();
    println!("| operation | ns |\n|---|---|");
    println!("| add | {:.0} |", time(|n| digest.add(black_box(&KEY), &value(n))));
    println!("| remove | {:.0} |", time(|n| digest.remove(black_box(&KEY), &value(n))));
    println!("| replace | {:.0} |", time(|n| digest.replace(black_box(&KEY), &value(n), &value(n + 1))));
    println!("| replace by the same | {:.0} |", time(|n| digest.replace(black_box(&KEY), &value(n), &value(n))));
    println!("| hash, the short form | {:.0} |", time(|_| _ = black_box(digest.hash())));
    println!();
}

/// What an entry's lanes take, one step after the other. Output block by block is what it takes without the
/// instructions that make many blocks at once.
fn parts() {
    let hasher = |n: u32| {
        let mut hasher = Hasher::new_keyed(&[5; 32]);
        hasher.update(&16_u64.to_le_bytes()).update(black_box(&KEY)).update(&value(n));
        hasher
    };
    let (mut bytes, mut sum, one) = ([0; StateDigest::BYTES], StateDigest::new(), StateDigest::new());
    let input = time(|n| _ = black_box(hasher(n).finalize_xof()));
    let reader = hasher(1).finalize_xof();
    let output = time(|_| {
        reader.clone().fill(&mut bytes);
        black_box(&bytes);
    });
    let blocks = time(|_| {
        let mut reader = reader.clone();
        bytes.chunks_mut(64).for_each(|block| reader.fill(block));
        black_box(&bytes);
    });
    let lanes = time(|_| sum.merge(black_box(&one)));
    println!("| part of an entry | ns |\n|---|---|");
    println!("| input: hasher, key, value | {input:.0} |");
    println!("| output: {} bytes at once | {output:.0} |", StateDigest::BYTES);
    println!("| the same output block by block | {blocks:.0} |");
    println!("| adding up the lanes | {lanes:.0} |");
    println!();
}

/// A map of so many keys: scanned, and written with the digest following.
fn state(keys: u64) {
    let hasher = KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1);
    let mut map = Map::new();
    for key in 0..keys {
        let key = u128::from(key).to_le_bytes();
        let entry = Entry::new(hasher.hash(&key), Key::from_slice(&key), Bytes::from(vec![8; 100]), 132);
        map.insert(Arc::new(entry));
    }
    let plain = puts(&mut map, &hasher, keys, None);
    let started = Instant::now();
    let mut digest = StateDigest::of_map(&map, codec::encode).unwrap();
    let scan = started.elapsed().as_nanos() as f64 / keys as f64;
    let followed = puts(&mut map, &hasher, keys, Some(&mut digest));
    assert_eq!(digest, StateDigest::of_map(&map, codec::encode).unwrap(), "following is scanning");
    println!("| {keys} keys | ns |\n|---|---|");
    println!("| full scan, an entry ({:.2} M/s) | {scan:.0} |", 1e3 / scan);
    println!("| put | {plain:.0} |");
    println!("| put, followed | {followed:.0} |");
    println!();
}

fn puts(map: &mut Map<Bytes>, hasher: &KeyHasher, keys: u64, mut digest: Option<&mut StateDigest>) -> f64 {
    let (mut scratch, mut random, mut n) = (Scratch::default(), 7, 0_u64);
    let measure = |entity: &Bytes| Puts.heap_bytes(entity);
    time(|_| {
        let (key, _) = put(&mut random, keys);
        n += 1;
        let mut value = vec![7; 100];
        value[..8].copy_from_slice(&(n << 1 | u64::from(digest.is_some())).to_le_bytes());
        let mut txn = Txn::new(map, hasher, &mut scratch, &measure);
        txn.put(&key.to_le_bytes(), value.into());
        if let Some(digest) = &mut digest {
            digest.follow(&txn, codec::encode).unwrap();
        }
        txn.land();
    })
}
