//! How much memory a state really takes: fills one through the runtime and compares what is accounted with what the
//! process grew by. To be called in a fresh process, because an allocator keeps what it once had.
#![allow(dead_code, clippy::print_stdout, reason = "each user takes its part, and tells its parent")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mainstay::kv::{Command, Kv};
use mainstay::{Memory, Options, Runtime, SnapshotOptions, SyncPolicy};

const VALUE_BYTES: usize = 100;
/// So many are on their way at a time.
const CHUNK: u64 = 512;

/// Bytes of one filled state.
#[derive(Clone, Copy, Debug)]
pub struct Filled {
    /// What the state is accounted with.
    pub state: u64,
    /// What the logs' writers may keep, which the allocator keeps for them in between.
    pub logs: u64,
    /// What the process grew by.
    pub resident: u64,
}

impl Filled {
    /// How much more is resident than is accounted, as a part of that.
    pub fn error(&self) -> f64 {
        self.resident as f64 / (self.state + self.logs) as f64 - 1.0
    }

    /// From what the process that has called [`fill`] has printed.
    pub fn parse(printed: &str) -> Self {
        let line = printed.lines().find_map(|line| line.split_once("filled: ")).unwrap().1;
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Self { state: next(), logs: next(), resident: next() }
    }

    pub fn print(&self) {
        println!("filled: {} {} {}", self.state, self.logs, self.resident);
    }
}

/// What this process has in memory.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The key of a number: 16 bytes, in no order.
pub fn key(number: u64) -> Bytes {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Bytes::copy_from_slice(format!("{mixed:016x}").as_bytes())
}

/// Fills a new directory with so many entries, keys of 16 bytes and values of 100.
pub fn fill(dir: &Path, shards: u32, entries: u64) -> Filled {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let options = Options {
            shards: Some(shards),
            sync: SyncPolicy::Never,
            // Twice of what it will be.
            memory: Memory::Bytes(entries * 500),
            snapshots: SnapshotOptions { log_bytes: 0, ..SnapshotOptions::default() },
            ..Options::new(dir)
        };
        let runtime = Runtime::open(Kv, options).await.unwrap();
        let before = resident_bytes();
        for first in (0..entries).step_by(CHUNK as usize) {
            let numbers = first..(first + CHUNK).min(entries);
            let commands = numbers.map(|number| Command::set(key(number), vec![b'v'; VALUE_BYTES]));
            for answer in runtime.submit_many(commands.collect()).await {
                answer.unwrap();
            }
        }
        quieten(&runtime).await;
        let resident = resident_bytes().saturating_sub(before);
        let stats = runtime.stats();
        let (state, logs) = (stats.shards.iter().map(|shard| shard.memory_bytes).sum(), stats.memory.log_bytes);
        assert_eq!(stats.shards.iter().map(|shard| shard.entries).sum::<u64>(), entries);
        runtime.shutdown().await.unwrap();
        Filled { state, logs: logs * u64::from(shards), resident }
    })
}

/// Has the writers let go of what they keep, the published roots be those of now, and the reaper be done.
async fn quieten(runtime: &Runtime<Kv>) {
    for shard in runtime.stats().shards {
        let last = mainstay::Lsn(shard.answered.lsn.0.saturating_sub(1));
        let last = mainstay::Position { lsn: last, ..shard.answered };
        if last.lsn.0 > 0 {
            runtime.durable(shard.shard, last).await.unwrap();
        }
    }
    drop(runtime.view().await);
    tokio::time::sleep(Duration::from_millis(500)).await;
}
