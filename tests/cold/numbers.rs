//! What the numbers say of a state that has outgrown its memory.

use std::path::Path;
use std::time::Duration;

use mainstay::kv::{Command, Expiry, Kv, Sweeper, SweeperOptions};
use mainstay::{Options, Runtime};

use crate::state::{Model, cold_entries, key, options, sum, until};
use crate::support::directory;

const LIMIT: u64 = 6 << 20;
const KEYS: u32 = 16_000;

/// Count and bytes of the cold files that are there.
fn files(dir: &Path, shards: u32) -> (u64, u64) {
    let dirs = (0..shards).map(|shard| dir.join(format!("shard-{shard}")));
    let files = dirs.flat_map(|dir| dir.read_dir().unwrap().map(|file| file.unwrap()));
    let cold = files.filter(|file| file.file_name().to_string_lossy().starts_with("cold-"));
    cold.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.metadata().unwrap().len()))
}

/// Guards against numbers that are always zero, or of another thing.
#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_are_those_of_what_is_there() {
    let dir = directory();
    let mut model = Model::default();
    let runtime = Runtime::open(Kv, options(dir.path(), 2, LIMIT)).await.unwrap();
    let stats = runtime.stats();
    let new = sum(&stats, |shard| shard.cold_entries + shard.cold_files + shard.cold_bytes + shard.cold_values);
    assert_eq!(new + sum(&stats, |shard| shard.cold_live + shard.spills + shard.compactions), 0);
    assert_eq!((stats.cold_reads, stats.cache_hits, stats.cache_bytes), (0, 0, 0));
    model.put(&runtime, 0..KEYS).await;
    // Nothing more is spilled once there is room again.
    let stats = until(&runtime, "at rest", |stats| {
        let before = cold_entries(stats);
        let view = runtime.latest();
        let cold: usize = view.shards().map(|shard| view.cold_len(shard).unwrap()).sum();
        let (count, bytes) = files(dir.path(), 2);
        let is_counted = (count, bytes) == (sum(stats, |shard| shard.cold_files), sum(stats, |shard| shard.cold_bytes));
        // A file is adopted before its values are handed over.
        let are_handed = stats.shards.iter().all(|shard| shard.spills + shard.compactions >= shard.cold_files);
        before > 0 && before == cold as u64 && is_counted && are_handed
    })
    .await;
    for shard in &stats.shards {
        assert!(shard.cold_entries > 0 && shard.cold_entries < shard.entries, "{shard:?}");
        assert_eq!(shard.cold_live, shard.cold_entries, "{shard:?}");
        assert!(shard.cold_values >= shard.cold_live, "{shard:?}");
        assert!(shard.spills + shard.compactions >= shard.cold_files, "{shard:?}");
        assert_eq!(shard.spill_failures, 0, "{shard:?}");
        assert!(shard.memory_bytes <= stats.memory.state_bytes.unwrap(), "{shard:?}");
    }
    let before = runtime.stats();
    model.check(&runtime, KEYS).await;
    let read = runtime.stats();
    assert!(read.cold_reads > before.cold_reads && read.cache_hits > before.cache_hits);
    let looked = read.cold_reads + read.cache_hits - before.cold_reads - before.cache_hits;
    assert!(looked >= cold_entries(&before) / 2, "{looked}");
    assert!((1..=read.memory.cache_bytes).contains(&read.cache_bytes), "{}", read.cache_bytes);
    runtime.shutdown().await.unwrap();
}

/// What is removed is dead in its file, and a file of which little is live is compacted or given up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_is_not_live_and_its_files_go() {
    let dir = directory();
    let mut model = Model::default();
    let runtime = Runtime::open(Kv, options(dir.path(), 1, LIMIT)).await.unwrap();
    model.put(&runtime, 0..KEYS).await;
    let full = until(&runtime, "spilled", |stats| cold_entries(stats) > 0).await;
    model.remove(&runtime, (0..KEYS).filter(|number| number % 4 != 0)).await;
    let stats = until(&runtime, "compacted", |stats| {
        let [shard] = &stats.shards[..] else { panic!("one shard") };
        shard.compactions > 0 && shard.cold_live * 2 >= shard.cold_values
    })
    .await;
    let bytes = (sum(&full, |shard| shard.cold_bytes), sum(&stats, |shard| shard.cold_bytes));
    println!("{} bytes, and {} in the end", bytes.0, bytes.1);
    assert!(bytes.1 < bytes.0, "{stats:?}");
    model.check(&runtime, KEYS).await;
    model.remove(&runtime, (0..KEYS).step_by(4)).await;
    let empty = until(&runtime, "empty", |stats| sum(stats, |shard| shard.cold_files) == 0).await;
    let left = sum(&empty, |shard| shard.cold_live + shard.cold_entries + shard.cold_bytes + shard.cold_values);
    assert_eq!(left, 0, "{empty:?}");
}

/// Guards F51: what has expired is swept wherever it is, and a sweep brings nothing back to memory.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_in_a_cold_file_is_swept() {
    const STAY: u32 = 4_000;
    let dir = directory();
    let options = Options { segment_bytes: 4 << 20, ..options(dir.path(), 1, LIMIT) };
    let runtime = Runtime::open(Kv, options).await.unwrap();
    let value = "x".repeat(600);
    for (first, expiry) in [(0, Expiry::After(5_000)), (STAY, Expiry::Never)] {
        for from in (first..first + STAY).step_by(500) {
            let keys = (from..from + 500).map(key);
            let commands = keys.map(|key| Command::set(key, value.clone()).expiring(expiry)).collect();
            assert!(runtime.submit_many(commands).await.iter().all(Result::is_ok));
        }
    }
    let stats = until(&runtime, "spilled", |stats| cold_entries(stats) > 1_000).await;
    println!("{} are cold", cold_entries(&stats));
    let mut sweeping = SweeperOptions::default();
    (sweeping.interval, sweeping.idle_interval) = (Duration::from_millis(1), Duration::from_millis(1));
    let sweeper = Sweeper::start(runtime.clone(), sweeping);
    until(&runtime, "swept", |stats| sum(stats, |shard| shard.entries) == u64::from(STAY)).await;
    sweeper.stop().await;
    assert!(cold_entries(&runtime.stats()) > 0);
}

/// A compaction takes the time that it was given, and no spill waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_has_time_until_memory_is_needed() {
    let dir = directory();
    let mut model = Model::default();
    let options = Options { compaction_bytes_per_second: 1, ..options(dir.path(), 1, LIMIT) };
    let runtime = Runtime::open(Kv, options).await.unwrap();
    model.put(&runtime, 0..KEYS).await;
    model.remove(&runtime, (0..KEYS).filter(|number| number % 4 != 0)).await;
    // It is begun: there is a file that the manifest does not name.
    until(&runtime, "begun", |stats| files(dir.path(), 1).0 > sum(stats, |shard| shard.cold_files)).await;
    let before = runtime.stats();
    // At a byte a second it would take hours; without a rate, milliseconds. Time is what this is about.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(sum(&runtime.stats(), |shard| shard.compactions), sum(&before, |shard| shard.compactions));
    model.put(&runtime, KEYS..2 * KEYS).await;
    until(&runtime, "at an end", |stats| {
        sum(stats, |shard| shard.compactions) > sum(&before, |shard| shard.compactions)
            && sum(stats, |shard| shard.spills) > sum(&before, |shard| shard.spills)
    })
    .await;
    model.check(&runtime, 2 * KEYS).await;
}
