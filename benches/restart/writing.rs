//! A snapshot, and what its parts take by themselves.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay::storage::snapshot::SYNC_BYTES;
use mainstay::{Runtime, ShardId, View};

use super::support::Puts;
use super::{Size, in_parallel, median, options, row};

const CHUNK: u64 = 10_000;
/// More keys than shards, so that each shard gets one of them.
const TOUCHED: u64 = 1_000;

/// Fills a new directory, measures and prints the rows. The last snapshot holds everything.
pub async fn table(dir: &Path, size: Size) {
    let runtime = Runtime::open(Puts, options(dir, size)).await.unwrap();
    let mut next = 0;
    while next < size.entries {
        let end = size.entries.min(next + CHUNK);
        put(&runtime, next..end, size.value_bytes).await;
        next = end;
    }
    let (mut walking, mut plain, mut written, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..size.rounds {
        // A snapshot needs something that is new.
        put(&runtime, 0..size.entries.min(TOUCHED), size.value_bytes).await;
        walking.push(walk(&runtime.view().await, size));
        let started = Instant::now();
        runtime.snapshot().await.unwrap();
        whole.push(started.elapsed());
        let stats: Vec<_> = runtime.stats().shards.into_iter().map(|shard| shard.last_snapshot.unwrap()).collect();
        assert_eq!(stats.iter().map(|snapshot| snapshot.entries).sum::<u64>(), size.entries);
        written.push(stats.iter().map(|snapshot| snapshot.duration).max().unwrap());
        bytes = stats.iter().map(|snapshot| snapshot.bytes).sum();
        plain.push(write(dir, size, bytes / u64::from(size.shards)));
    }
    let (walking, plain) = (median(walking), median(plain));
    let rows = [
        ("ceiling: walk over the entries", walking),
        ("ceiling: as many bytes to a plain file", plain),
        ("write the snapshot", median(written)),
        ("the whole call", median(whole)),
    ];
    for (name, time) in rows {
        let of = |ceiling: Duration| ceiling.as_secs_f64() / time.as_secs_f64() * 100.0;
        println!("{} {:.0} % | {:.0} % |", row(size, name, time, bytes), of(walking), of(plain));
    }
    runtime.shutdown().await.unwrap();
}

async fn put(runtime: &Runtime<Puts>, keys: std::ops::Range<u64>, value_bytes: usize) {
    let commands = keys.map(|key| (u128::from(key), Bytes::from(vec![7; value_bytes])));
    assert!(runtime.submit_many(commands.collect()).await.iter().all(Result::is_ok));
}

/// Looks at every entry.
fn walk(view: &View<Bytes>, size: Size) -> Duration {
    in_parallel(size.shards, |shard| {
        let entries = view.iter(ShardId(shard)).unwrap();
        let sum = entries.map(|(key, value)| usize::from(key[0]) + value.len()).sum::<usize>();
        black_box(sum);
    })
}

/// Writes files, one for each shard, and syncs them as often as a snapshot is.
fn write(dir: &Path, size: Size, bytes: u64) -> Duration {
    let piece = vec![7; SYNC_BYTES];
    let name = |shard: u32| dir.join(format!("plain-{shard}"));
    let time = in_parallel(size.shards, |shard| {
        let mut file = File::create(name(shard)).unwrap();
        let mut left = bytes;
        while left > 0 {
            let now = left.min(SYNC_BYTES as u64);
            file.write_all(&piece[..now as usize]).unwrap();
            file.sync_data().unwrap();
            left -= now;
        }
    });
    (0..size.shards).for_each(|shard| fs::remove_file(name(shard)).unwrap());
    time
}
