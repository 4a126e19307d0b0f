//! A runtime with a small limit, and what is in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Kv};
use mainstay::{Memory, NotExecuted, Options, Runtime, ShardStats, Stats, SubmitError, SyncPolicy};

/// More than any of this takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keys with their values, by number and how often they were written.
#[derive(Default)]
pub struct Model(pub BTreeMap<u32, u32>);

pub fn options(dir: &Path, shards: u32, limit: u64) -> Options {
    Options {
        shards: Some(shards),
        sync: SyncPolicy::Never,
        segment_bytes: 1 << 20,
        command_bytes_max: 16 << 10,
        memory: Memory::Bytes(limit),
        // However slow the machine is: a spill that takes long is waited for.
        submit_deadline: PATIENCE,
        sync_deadline: PATIENCE,
        ..Options::new(dir)
    }
}

pub fn key(number: u32) -> String {
    format!("key-{number:08}")
}

pub fn value(number: u32, version: u32) -> Vec<u8> {
    let length = 200 + (number.wrapping_mul(2_654_435_761) >> 22) as usize;
    format!("{number}:{version}:").into_bytes().into_iter().cycle().take(length).collect()
}

impl Model {
    pub async fn put(&mut self, runtime: &Runtime<Kv>, numbers: impl Iterator<Item = u32>) {
        let numbers: Vec<_> = numbers.collect();
        for numbers in numbers.chunks(500) {
            let commands = numbers.iter().map(|number| {
                let version = self.0.entry(*number).or_default();
                *version += 1;
                Command::set(key(*number), value(*number, *version))
            });
            for answer in runtime.submit_many(commands.collect()).await {
                answer.unwrap();
            }
        }
    }

    pub async fn remove(&mut self, runtime: &Runtime<Kv>, numbers: impl Iterator<Item = u32>) {
        for number in numbers {
            self.0.remove(&number);
            runtime.submit(Command::delete(key(number))).await.unwrap();
        }
    }

    /// Everything up to `end` is what was written last, or not there.
    pub async fn check(&self, runtime: &Runtime<Kv>, end: u32) {
        let view = runtime.view().await;
        let keys: Vec<_> = (0..end).map(key).collect();
        for (numbers, keys) in (0..end).collect::<Vec<_>>().chunks(1000).zip(keys.chunks(1000)) {
            for (number, found) in numbers.iter().zip(view.read_many(keys).await) {
                let wanted = self.0.get(number).map(|version| value(*number, *version));
                let found = found.unwrap().map(|entity| entity.value().to_vec());
                assert!(found == wanted, "{}: {:?}", key(*number), found.map(|value| value.len()));
            }
        }
    }
}

pub fn is_out_of_memory(error: &SubmitError) -> bool {
    matches!(error, SubmitError::NotExecuted(NotExecuted::OutOfMemory { .. }))
}

/// Of the root that is published, which may be a while ago.
pub fn cold(runtime: &Runtime<Kv>) -> usize {
    let view = runtime.latest();
    view.shards().map(|shard| view.cold_len(shard).unwrap()).sum()
}

pub fn sum(stats: &Stats, number: fn(&ShardStats) -> u64) -> u64 {
    stats.shards.iter().map(number).sum()
}

pub fn cold_entries(stats: &Stats) -> u64 {
    sum(stats, |shard| shard.cold_entries)
}

/// Waits until it is so.
pub async fn until(runtime: &Runtime<Kv>, what: &str, is_so: impl Fn(&Stats) -> bool) -> Stats {
    let started = Instant::now();
    loop {
        let stats = runtime.stats();
        if is_so(&stats) {
            return stats;
        }
        assert!(started.elapsed() < PATIENCE, "never {what}: {stats:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
