//! The limit on memory: what it is divided into, what happens when it is reached, and whether it is one.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "support/filling.rs"]
mod filling;
#[path = "support/gate.rs"]
mod gate;
#[path = "memory_limit/kept.rs"]
mod kept;
mod support;

use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use filling::{Filled, key};
use mainstay::kv::{Command, Kv, Reply};
use mainstay::{Memory, NotExecuted, OpenError, Options, Runtime, SubmitError, SyncPolicy};
use support::directory;

const CHILD: &str = "MAINSTAY_TEST_MEMORY";
const LIMIT: u64 = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// As accounted: a key of 16 bytes, a value of 100, an entity of 32, and what an entry takes beside them.
const ENTRY_BYTES: u64 = 16 + 100 + 32 + 96;

/// A runtime for short commands under a small limit.
fn options(dir: &Path, shards: u32, memory: Memory) -> Options {
    Options {
        shards: Some(shards),
        sync: SyncPolicy::Never,
        segment_bytes: 1 << 20,
        command_bytes_max: 4096,
        memory,
        spill: false,
        ..Options::new(dir)
    }
}

async fn open(dir: &Path, shards: u32, memory: Memory) -> Result<Runtime<Kv>, OpenError> {
    Runtime::open(Kv, options(dir, shards, memory)).await
}

fn set(number: u64) -> Command {
    Command::set(key(number), vec![b'v'; 100])
}

/// Is it refused for lack of memory, with the figures of the shard?
fn assert_full(runtime: &Runtime<Kv>, error: &SubmitError) {
    let SubmitError::NotExecuted(NotExecuted::OutOfMemory { share_bytes, memory_bytes, keys_bytes, growth_bytes }) =
        *error
    else {
        panic!("{error}")
    };
    let stats = runtime.stats();
    assert_eq!(Some(share_bytes), stats.memory.state_bytes);
    assert!(memory_bytes + growth_bytes > share_bytes, "{error}");
    let shards = &stats.shards;
    assert!(shards.iter().any(|shard| shard.memory_bytes == memory_bytes && shard.keys_bytes == keys_bytes), "{error}");
}

/// Is it refused for want of memory, where a spill would not help?
fn assert_only_keys(error: &SubmitError) {
    let SubmitError::NotExecuted(NotExecuted::OutOfMemory { share_bytes, keys_bytes, growth_bytes, .. }) = *error
    else {
        panic!("{error}")
    };
    assert!(keys_bytes + growth_bytes > share_bytes, "{error}");
}

/// Puts one after the other until one is refused. Returns how many were taken.
async fn fill_up(runtime: &Runtime<Kv>) -> u64 {
    let mut taken = 0;
    loop {
        let answers = runtime.submit_many((taken..taken + 500).map(set).collect()).await;
        let refused = answers.iter().position(Result::is_err);
        taken += refused.unwrap_or(answers.len()) as u64;
        if let Some(at) = refused {
            assert_full(runtime, answers[at].as_ref().unwrap_err());
            return taken;
        }
    }
}

/// Guards against a limit that counts each shard's overheads instead of the keys.
#[tokio::test]
async fn as_many_keys_fit_whatever_the_shards() {
    let mut all = Vec::new();
    for shards in [1, 2, 4, 8] {
        let dir = directory();
        let runtime = open(dir.path(), shards, Memory::Bytes(LIMIT)).await.unwrap();
        let taken = fill_up(&runtime).await;
        let stats = runtime.stats();
        let share = stats.memory.state_bytes.unwrap();
        assert!(stats.shards.iter().all(|shard| shard.memory_bytes <= share), "{share}: {:?}", stats.shards);
        println!("{shards} shards: {taken} keys");
        all.push(taken);
    }
    let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
    assert!(most - least <= most / 20, "{all:?}");
    assert_eq!(all[0], LIMIT * 11 / 16 / ENTRY_BYTES);
}

/// Guards F53: the same where values are spilled, and keys alone fill the memory.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_keys_fit_whatever_the_shards_where_values_are_spilled() {
    const LIMIT: u64 = 12 << 20;
    let mut all = Vec::new();
    for shards in [1, 2, 4, 8] {
        let dir = directory();
        // Who waits for a spill does so however slow the disk is.
        let (submit_deadline, sync_deadline) = (PATIENCE, PATIENCE);
        let options = options(dir.path(), shards, Memory::Bytes(LIMIT));
        let options = Options { spill: true, submit_deadline, sync_deadline, ..options };
        let runtime = Runtime::open(Kv, options).await.unwrap();
        let (mut first, mut number) = (None, 0);
        while first.is_none() {
            let answers = runtime.submit_many((number..number + 500).map(set).collect()).await;
            let refused = answers.iter().position(Result::is_err);
            for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
                assert_only_keys(error);
            }
            first = refused.map(|at| number + at as u64);
            number += 500;
        }
        let stats = runtime.stats();
        println!(
            "{shards} shards: {first:?} keys, {} in all",
            stats.shards.iter().map(|shard| shard.entries).sum::<u64>()
        );
        all.push(first.unwrap());
    }
    let (least, most) = (*all.iter().min().unwrap(), *all.iter().max().unwrap());
    assert!(most - least <= most / 20, "{all:?}");
    // A key and a place, and a little that is not spilled.
    assert!(all[0] > LIMIT * 11 / 16 / (16 + 32 + 96) * 9 / 10, "{all:?}");
}

/// Guards against a full shard that can only be left: it is read, what it has is replaced and deleted, and then it
/// takes more; also when it is opened again, and with a limit that it is beyond already.
#[tokio::test]
async fn a_full_shard_is_read_and_emptied_and_filled_again() {
    let dir = directory();
    let runtime = open(dir.path(), 1, Memory::Bytes(1 << 20)).await.unwrap();
    let taken = fill_up(&runtime).await;
    for round in 0..3 {
        assert_full(&runtime, &runtime.submit(set(taken)).await.unwrap_err());
        assert_full(&runtime, &runtime.submit(Command::set(key(0), vec![b'w'; 500])).await.unwrap_err());
        runtime.submit(Command::set(key(1), vec![b'0' + round; 100])).await.unwrap();
        let view = runtime.view().await;
        assert_eq!(view.get(&key(1)).unwrap().unwrap().value(), [b'0' + round; 100]);
        assert_eq!(view.get(&key(taken - 1)).unwrap().unwrap().value(), [b'v'; 100]);
        let keys = (2..12).map(key).collect();
        assert_eq!(runtime.submit(Command::Delete { keys }).await.unwrap().reply, Reply::Removed { count: 10 });
        for number in 2..12 {
            runtime.submit(set(number)).await.unwrap();
        }
    }
    runtime.shutdown().await.unwrap();
    // With half of it everything is there all the same, and nothing more is taken.
    let runtime = open(dir.path(), 1, Memory::Bytes(1 << 19)).await.unwrap();
    let stats = runtime.stats();
    assert_eq!(stats.shards[0].entries, taken);
    assert!(stats.shards[0].memory_bytes > stats.memory.state_bytes.unwrap());
    assert_full(&runtime, &runtime.submit(set(taken)).await.unwrap_err());
    runtime.submit(set(5)).await.unwrap();
    for first in (0..taken / 2 + 500).step_by(100) {
        runtime.submit(Command::Delete { keys: (first..first + 100).map(key).collect() }).await.unwrap();
    }
    runtime.submit(set(taken)).await.unwrap();
}

/// Guards against a limit under which no command would ever go through, and against traces of an opening that was
/// refused.
#[tokio::test]
async fn too_small_a_limit_says_what_is_needed() {
    let parent = directory();
    let dir = parent.path().join("new");
    let error = open(&dir, 4, Memory::Bytes(100_000)).await.unwrap_err();
    assert!(matches!(error, OpenError::Memory { limit: 100_000, needed: 131_072 }), "{error:?}");
    assert_eq!(error.to_string(), "a memory limit of 100000 bytes is too small: at least 131072 are needed");
    assert!(!dir.exists());
    let runtime = open(&dir, 4, Memory::Bytes(131_072)).await.unwrap();
    // The longest command has room in its lane.
    let answer = runtime.submit(Command::set("a", vec![b'v'; 4000])).await;
    answer.unwrap();
    runtime.shutdown().await.unwrap();
    // The number of shards is the directory's.
    let options = Options { memory: Memory::Bytes(131_071), command_bytes_max: 4096, ..Options::new(&dir) };
    let error = Runtime::open(Kv, options).await.unwrap_err();
    assert!(matches!(error, OpenError::Memory { limit: 131_071, needed: 131_072 }), "{error:?}");
}

#[tokio::test]
async fn the_parts_can_be_read() {
    let dir = directory();
    let runtime = open(dir.path(), 2, Memory::Unlimited).await.unwrap();
    let memory = runtime.stats().memory;
    assert_eq!((memory.limit, memory.state_bytes, memory.overlap_bytes), (None, None, None));
    assert_eq!((memory.lane_bytes, memory.log_bytes), (64 << 20, 1 << 20));
    runtime.shutdown().await.unwrap();
    let runtime = open(dir.path(), 2, Memory::default()).await.unwrap();
    let memory = runtime.stats().memory;
    let (limit, state) = (memory.limit.unwrap(), memory.state_bytes.unwrap());
    assert!(2 * state >= limit / 4 * 3 - 4 && 2 * state < limit, "{memory:?}");
    assert_eq!(memory.overlap_bytes, Some(limit / 16 / 2));
}

/// Guards F57: under a policy that never syncs, what is kept until a sync is bounded all the same.
#[tokio::test]
async fn what_the_log_keeps_is_bounded() {
    let dir = directory();
    let runtime = open(dir.path(), 1, Memory::Bytes(1 << 20)).await.unwrap();
    let log_bytes = runtime.stats().memory.log_bytes;
    assert_eq!(log_bytes, 1 << 16);
    let (mut most, frame_bytes_max) = (0, 1 << 16);
    for first in (0..2_000).step_by(100) {
        for answer in runtime.submit_many((first..first + 100).map(set).collect()).await {
            answer.unwrap();
        }
        most = most.max(runtime.stats().shards[0].log_kept_bytes);
    }
    assert!((1..log_bytes + frame_bytes_max).contains(&most), "{most}");
    // Less than a segment was written, which is when there would be a sync otherwise.
    let shard = &runtime.stats().shards[0];
    assert!(shard.syncs > 3 && shard.wal_bytes < 1 << 20, "{shard:?}");
}

/// Guards against an accounting that has nothing to do with the memory of the process.
#[test]
fn the_accounting_follows_the_resident_memory() {
    let program = std::env::current_exe().unwrap();
    let output = Process::new(program).args(["--exact", "child", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let filled = Filled::parse(&said);
    println!("{filled:?}, {:+.1} %", filled.error() * 100.0);
    assert!(filled.error().abs() < 0.15, "{filled:?}");
}

/// What the test above runs in a process of its own.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        filling::fill(directory().path(), 1, 300_000).print();
    }
}
