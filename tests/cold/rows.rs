//! Rows of commands that each read what is cold: nobody waits until they have come to their end, and what was read for
//! those that are done does not stay.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay::kv::{Command, Kv};
use mainstay::sim::{Operation, SimDisk};
use mainstay::{Abort, At, Memory, Options, ReadError, Runtime, StateMachine, Txn};
use serde::{Deserialize, Serialize};

use crate::disk::{is_cold as is_cold_file, small};
use crate::state::{PATIENCE, key, until, value};

const KEYS: u32 = 4_000;

/// Guards F57, F62: nothing but commands that lack something, more than are read for at a time, and a cut comes in
/// between.
#[tokio::test]
async fn a_version_is_made_while_every_command_lacks_something() {
    let disk = SimDisk::new(11);
    let options = Options {
        memory: Memory::Bytes(1 << 20),
        // All of them find room in the lane.
        lane_commands: 4 << 20,
        submit_deadline: PATIENCE,
        sync_deadline: PATIENCE,
        ..small()
    };
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    for numbers in (0..KEYS).collect::<Vec<_>>().chunks(100) {
        let puts = numbers.iter().map(|number| Command::set(key(*number), value(*number, 1)));
        for answer in runtime.submit_many(puts.collect()).await {
            answer.unwrap();
        }
    }
    let view = runtime.view().await;
    let is_cold = |number: &u32| matches!(view.get(key(*number).as_bytes()), Err(ReadError::Cold(_)));
    let cold: Vec<_> = (0..KEYS).filter(is_cold).collect();
    assert!(cold.len() > KEYS as usize / 2, "{} are cold", cold.len());
    let stall = disk.stall(|call| call.operation == Operation::Read && is_cold_file(&call.path));
    let row = cold.iter().map(|number| Command::delete(key(*number))).collect();
    let row = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.submit_many(row).await }
    });
    until(&runtime, "in a row", |stats| stats.shards[0].waiting > cold.len() / 2 && stall.waiting() > 0).await;
    let mark = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.mark().await }
    });
    // It asks the shard, which does not answer yet.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    stall.release();
    let version = mark.await.unwrap().unwrap();
    let answers = row.await.unwrap();
    let last = answers.into_iter().map(|answer| answer.unwrap().position).max().unwrap();
    let end = version.ends[0];
    assert!(end <= last, "it was made when all had come to their end: {end} of {last}");
}

/// How many decoded values there are, and how many there were at most.
static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Alive(());

impl Default for Alive {
    fn default() -> Self {
        let alive = ALIVE.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(alive, Ordering::SeqCst);
        Self(())
    }
}

impl Clone for Alive {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes what it was given, and counts what is in memory of that.
struct Counting;

#[derive(Clone, Serialize, Deserialize)]
struct Value {
    bytes: Vec<u8>,
    #[serde(skip)]
    _alive: Alive,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Do {
    Put([u8; 8], u32),
    Take([u8; 8]),
}

impl StateMachine for Counting {
    type Command = Do;
    type Entity = Value;
    type Reply = usize;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Do) -> Cow<'a, [u8]> {
        match command {
            Do::Put(key, _) | Do::Take(key) => Cow::Borrowed(key),
        }
    }

    fn apply(&self, _at: At, state: &mut Txn<'_, Value>, command: Do) -> Result<usize, Abort> {
        Ok(match command {
            Do::Put(key, bytes) => {
                state.put(&key, Value { bytes: vec![1; bytes as usize], _alive: Alive::default() });
                0
            }
            Do::Take(key) => {
                let bytes = state.get(&key)?.map_or(0, |value| value.bytes.len());
                state.remove(&key);
                bytes
            }
        })
    }

    fn heap_bytes(&self, value: &Value) -> usize {
        value.bytes.len()
    }
}

/// Puts so many values of so many bytes and takes them, all at once. By so many more are in memory meanwhile, at most.
async fn more_alive(memory: u64, keys: u64, bytes: u32) -> usize {
    let options = Options {
        memory: Memory::Bytes(memory),
        segment_bytes: 1 << 20,
        command_bytes_max: 4 << 10,
        lane_bytes: 4 << 20,
        submit_deadline: PATIENCE,
        sync_deadline: PATIENCE,
        ..small()
    };
    let runtime = Runtime::open_on(SimDisk::new(12), Counting, options).await.unwrap();
    let names: Vec<_> = (0..keys).map(u64::to_le_bytes).collect();
    for names in names.chunks(20) {
        for answer in runtime.submit_many(names.iter().map(|key| Do::Put(*key, bytes)).collect()).await {
            answer.unwrap();
        }
    }
    let cold = runtime.stats().shards[0].cold_entries;
    assert!(cold > keys / 2, "{cold} of {keys} are cold");
    let before = ALIVE.load(Ordering::SeqCst);
    MOST.store(before, Ordering::SeqCst);
    for answer in runtime.submit_many(names.iter().map(|key| Do::Take(*key)).collect()).await {
        assert_eq!(answer.unwrap().reply, bytes as usize);
    }
    assert_eq!(cold_left(&runtime), 0);
    MOST.load(Ordering::SeqCst) - before
}

fn cold_left(runtime: &Runtime<Counting>) -> u64 {
    runtime.stats().shards[0].cold_entries
}

/// Guards F56, F57: what was read for a command goes with it, though others wait that lack something, too.
#[tokio::test]
async fn what_was_read_for_commands_that_are_done_does_not_stay() {
    // Those of a batch and the one in front of it, and what the last run had.
    let short = more_alive(1 << 20, 4_000, 500).await;
    assert!(short <= 2 * 65, "{short} values were in memory for commands");
    // A megabyte of these, and the one that the command itself lacks.
    let long = more_alive(8 << 20, 300, 64 << 10).await;
    assert!((1..=17).contains(&long), "{long} long values were in memory for commands");
}
