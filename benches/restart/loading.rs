//! A directory opened from snapshots, and what the parts of that take by themselves.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay::codec;
use mainstay::model::{Manifest, SnapshotRecord, SnapshotSeq};
use mainstay::state::KeyHasher;
use mainstay::state::map::{Entry, Key, Map};
use mainstay::storage::disk::StandardDisk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::storage::snapshot::{self, Expected};
use mainstay::{Runtime, ShardId};

use super::support::Puts;
use super::{Size, in_parallel, median, options, row, run};

/// Measures a directory with snapshots and prints the rows.
pub fn table(dir: &Path, size: Size) {
    let manifest = manifest_log::read(&StandardDisk, &Layout::new(dir)).unwrap();
    let bytes = (0..size.shards).map(|shard| newest(&manifest, ShardId(shard)).1.bytes).sum();
    let [mut verified, mut inserted, mut loaded, mut opened, mut started] = [const { Vec::new() }; 5];
    for _ in 0..size.rounds {
        verified.extend(times(&run("verify", dir, size).0));
        inserted.extend(times(&run("insert", dir, size).0));
        let (printed, whole) = run("open", dir, size);
        let [recovery, call] = times(&printed)[..] else { panic!("two times, not {printed}") };
        loaded.push(recovery);
        opened.push(call);
        started.push(whole);
    }
    let (verified, inserted) = (median(verified), median(inserted));
    let both = verified + inserted;
    let rows = [
        ("ceiling: read and verify the files", verified),
        ("ceiling: make the map", inserted),
        ("ceiling: both", both),
        ("load, as the recovery's report says", median(loaded)),
        ("Runtime::open and a get", median(opened)),
        ("a process, from its start to its end", median(started)),
    ];
    for (name, time) in rows {
        let of = both.as_secs_f64() / time.as_secs_f64() * 100.0;
        println!("{} {of:.0} % |", row(size, name, time, bytes));
    }
}

/// The durations that a process has printed, in nanoseconds.
fn times(printed: &str) -> Vec<Duration> {
    printed.split_whitespace().map(|time| Duration::from_nanos(time.parse().unwrap())).collect()
}

fn newest(manifest: &Manifest, shard: ShardId) -> (SnapshotSeq, SnapshotRecord) {
    let (number, record) = manifest.shard(shard).unwrap().snapshots_oldest_first().pop().unwrap();
    (number, record.clone())
}

/// Reads the newest snapshot of a shard.
fn read(dir: &Path, shard: ShardId, mut visit: impl FnMut(&Manifest, &[u8], &[u8])) {
    let layout = Layout::new(dir);
    let manifest = manifest_log::read(&StandardDisk, &layout).unwrap();
    let (number, record) = newest(&manifest, shard);
    let expected = Expected::recorded(manifest.directory, shard, number, &record);
    let path = layout.snapshot(shard, number);
    let read = snapshot::read(&StandardDisk, &path, &expected, &mut |_, key, value| {
        let snapshot::Value::Here(value) = value else { unreachable!("all of it is in memory") };
        visit(&manifest, key, value);
        Ok(())
    });
    read.unwrap();
}

/// Ceiling: the files, read and verified.
pub fn verify(dir: &Path, size: Size) {
    let time = in_parallel(size.shards, |shard| read(dir, ShardId(shard), |_, _, _| ()));
    println!("{}", time.as_nanos());
}

/// What is known of an entry before it is made: hash, key, and where its value lies.
type Known = (u64, [u8; 16], usize);

/// Ceiling: the maps, of entries whose hashes, keys and values are in memory and in order. Allocates what is part of
/// the state, and hashes nothing.
pub fn insert(dir: &Path, size: Size) {
    let prepared: Vec<_> = (0..size.shards).map(|shard| prepare(dir, ShardId(shard), size)).collect();
    let time = in_parallel(size.shards, |shard| {
        let (known, values) = &prepared[shard as usize];
        let mut map = Map::new();
        for (hash, key, at) in known {
            let value = Bytes::copy_from_slice(&values[*at..at + size.value_bytes]);
            map.insert(Arc::new(Entry::new(*hash, Key::from_slice(key), value, size.value_bytes)));
        }
        assert_eq!(map.len(), known.len());
        // As an application does at its end.
        std::mem::forget(map);
    });
    println!("{}", time.as_nanos());
}

fn prepare(dir: &Path, shard: ShardId, size: Size) -> (Vec<Known>, Vec<u8>) {
    let (mut known, mut values) = (Vec::new(), Vec::new());
    read(dir, shard, |manifest, key, value| {
        let hasher = KeyHasher::new(&manifest.routing, size.shards);
        let value: Bytes = codec::decode(value).unwrap();
        known.push((hasher.hash(key), key.try_into().unwrap(), values.len()));
        values.extend_from_slice(&value);
    });
    (known, values)
}

/// Opens the directory as an application does, and ends without freeing anything.
pub async fn open(dir: &Path, size: Size) {
    let started = Instant::now();
    let runtime = Runtime::open(Puts, options(dir, size)).await.unwrap();
    assert!(runtime.view().await.get(&0_u128.to_le_bytes()).unwrap().is_some());
    let whole = started.elapsed();
    let found = &runtime.recovery().shards;
    assert_eq!(found.iter().map(|shard| shard.entries).sum::<u64>(), size.entries, "loaded");
    assert_eq!(found.iter().map(|shard| shard.commands).sum::<u64>(), 0, "not replayed");
    let loaded = found.iter().map(|shard| shard.duration).max().unwrap();
    println!("{} {}", loaded.as_nanos(), whole.as_nanos());
    std::process::exit(0);
}
