//! How many instructions does one operation take?
//!
//! Times on a shared machine say little; instruction counts repeat. `benches/instructions.py` runs this program under
//! callgrind, once with so many operations and once with none, and divides the difference by their number. What both
//! runs have in common does not count, so all that is needed is made beforehand, whatever the number:
//! `instructions CASE COUNT DIR`, with a directory that is empty, or for `open` made by `log-1` or `log-64`.
//!
//! One tokio thread, one shard, `SyncPolicy::Never`, and so little data that the log never rolls and no root is
//! refreshed. Commands set 100 bytes under keys like those of redis-benchmark, all of which are there already. There is
//! a limit on memory that is not reached, with values spilled beyond it, as by default; a case whose name ends with
//! `-unlimited` is the same without.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay::kv::{Command, Entity, Kv};
use mainstay::model::{Batch, Epoch, Lsn, Position, Routing, ShardId, Time};
use mainstay::state::map::Map;
use mainstay::state::{KeyHasher, Scratch, Txn};
use mainstay::storage::frame::Frame;
use mainstay::{At, Memory, Options, Runtime, StateMachine, SyncPolicy, codec};

const KEYS: usize = 10_000;
/// So many commands are made, however few are used.
const MADE: usize = 20_480;
const BATCH: usize = 64;
/// After so long, the next spare is there too.
const SETTLED: Duration = Duration::from_millis(500);
/// A shard refreshes its root after 30 s, and the updates that follow copy what it holds.
const PATIENCE: Duration = Duration::from_secs(28);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [case, count, dir] = &arguments[..] else {
        return println!("this one is for benches/instructions.py");
    };
    let (count, dir) = (count.parse().unwrap(), Path::new(dir));
    let (case, memory) = match case.strip_suffix("-unlimited") {
        Some(case) => (case, Memory::Unlimited),
        None => (case.as_str(), Memory::Auto),
    };
    match case {
        "frame-1" => frames(count, 1),
        "frame-64" => frames(count, BATCH),
        "apply" => apply(count),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(running(
            case,
            count,
            &Options { shards: Some(1), sync: SyncPolicy::Never, memory, ..Options::new(dir) },
        )),
    }
}

fn key(n: usize) -> Bytes {
    // Prime to the number of keys, so that neighbours do not follow each other.
    format!("key:{:012}", n * 7_919 % KEYS).into()
}

fn commands(count: usize) -> Vec<Command> {
    (0..count).map(|n| Command::set(key(n), vec![b'x'; 100])).collect()
}

/// Cases that need a runtime.
async fn running(case: &str, count: usize, options: &Options) {
    let started = Instant::now();
    let runtime = Runtime::open(Kv, options.clone()).await.unwrap();
    match case {
        "fill" => submit_many(&runtime, commands(KEYS)).await,
        "view" | "get" => read(&runtime, case == "view", count).await,
        "open" => {
            let replayed = runtime.recovery().shards[0].commands;
            assert_eq!(replayed, (2 * KEYS + count) as u64, "not the log that was asked for");
        }
        _ => write(&runtime, case, count).await,
    }
    if ["fill", "log-1", "log-64"].contains(&case) {
        return runtime.shutdown().await.unwrap();
    }
    assert!(started.elapsed() < PATIENCE, "so slow that a root was refreshed soon: run it again on a calmer machine");
    // How much of the state the reaper frees before the process ends is a matter of chance.
    std::process::exit(0);
}

async fn write(runtime: &Runtime<Kv>, case: &str, count: usize) {
    // What the first commands do beside is done, no entry is shared with the root that opening has published, and every
    // actor waits.
    submit_many(runtime, commands(KEYS)).await;
    tokio::time::sleep(SETTLED).await;
    let mut commands = commands(MADE);
    let rest = commands.split_off(count);
    match case {
        "submit" | "log-1" => {
            for command in commands {
                runtime.submit(command).await.unwrap();
            }
        }
        "submit-many" | "log-64" => submit_many(runtime, commands).await,
        "submit-tasks" => submit_tasks(runtime, commands).await,
        _ => unreachable!("{case}"),
    }
    forget(rest);
}

/// In batches, each after the other's answers.
async fn submit_many(runtime: &Runtime<Kv>, commands: Vec<Command>) {
    let mut commands = commands.into_iter();
    while !commands.as_slice().is_empty() {
        let answers = runtime.submit_many(commands.by_ref().take(BATCH).collect()).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}

/// By as many tasks as a batch has commands, each of which submits one after the other.
async fn submit_tasks(runtime: &Runtime<Kv>, commands: Vec<Command>) {
    let mut shares: Vec<_> = (0..BATCH).map(|_| Vec::new()).collect();
    for (n, command) in commands.into_iter().enumerate() {
        shares[n % BATCH].push(command);
    }
    let tasks = shares.into_iter().map(|share| {
        let runtime = runtime.clone();
        tokio::spawn(async move {
            for command in share {
                runtime.submit(command).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// With a view for each key, or one for all.
async fn read(runtime: &Runtime<Kv>, is_view: bool, count: usize) {
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let mut view = runtime.view().await;
    for key in keys.iter().cycle().take(count) {
        if is_view {
            view = runtime.view().await;
        }
        assert!(black_box(view.get(key).unwrap()).is_some());
    }
}

/// Encodes and seals frames of one batch.
fn frames(count: usize, commands_each: usize) {
    let encoded = codec::encode(&commands(1)[0]).unwrap();
    let batch = Batch {
        time: Time(1),
        schema: Kv::SCHEMA,
        first: Lsn::FIRST,
        lengths: vec![encoded.len() as u32; commands_each],
        bytes: encoded.repeat(commands_each).into(),
    };
    let mut hash = [1; 32];
    for _ in 0..count {
        let mut frame = Frame::encode(Epoch(1), batch.first, black_box(&[&batch]));
        hash = frame.seal(&[7; 32], Lsn::FIRST, &hash);
        black_box(frame.bytes());
    }
}

/// Applies commands to a map that nobody else has a root of, and lands what they write.
fn apply(count: usize) {
    let hasher = KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, 1);
    let measure = |entity: &Entity| size_of::<Entity>() + Kv.heap_bytes(entity);
    let position = Position { epoch: Epoch(1), lsn: Lsn::FIRST };
    let at = At { shard: ShardId(0), position, time: Time(1), schema: Kv::SCHEMA };
    let (mut map, mut scratch) = (Map::new(), Scratch::default());
    let mut one = |command| {
        let mut txn = Txn::new(&mut map, &hasher, &mut scratch, &measure);
        black_box(Kv.apply(at, &mut txn, command).unwrap());
        txn.land();
    };
    commands(KEYS).into_iter().for_each(&mut one);
    let mut commands = commands(MADE);
    let rest = commands.split_off(count);
    commands.into_iter().for_each(one);
    forget(rest);
}

/// What was made and is not used must not cost a drop that it would not cost if it were.
fn forget(rest: Vec<Command>) {
    std::mem::forget(rest);
}
