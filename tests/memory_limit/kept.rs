//! What the published root keeps of a state that has changed since: counted against the shard's share like the rest.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use mainstay::{Abort, At, Memory, Options, Runtime, StateMachine, Txn};
use serde::{Deserialize, Serialize};

use crate::gate::until_within;
use crate::support::directory;

const VALUE: usize = 100;
/// After 30 s a root is published whatever the old one keeps.
const PATIENCE: Duration = Duration::from_secs(15);
const ENTRY: u64 = (8 + size_of::<Value>() + VALUE + 96) as u64;

/// Sees how many of its entities are alive, wherever they are.
struct Watching(Arc<()>);

#[derive(Clone, Serialize, Deserialize)]
struct Value {
    bytes: Vec<u8>,
    /// Alive as long as this is.
    #[serde(skip)]
    _counted: Arc<()>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Command {
    Put([u8; 8]),
    Clear,
}

impl StateMachine for Watching {
    type Command = Command;
    type Entity = Value;
    type Reply = ();
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        match command {
            Command::Put(key) => Cow::Borrowed(key),
            Command::Clear => Cow::Borrowed(&[]),
        }
    }

    fn apply(&self, _at: At, state: &mut Txn<'_, Value>, command: Command) -> Result<(), Abort> {
        match command {
            Command::Put(key) => state.put(&key, Value { bytes: vec![1; VALUE], _counted: Arc::clone(&self.0) }),
            Command::Clear => state.clear(),
        }
        Ok(())
    }

    fn heap_bytes(&self, value: &Value) -> usize {
        value.bytes.len()
    }
}

async fn put_all(runtime: &Runtime<Watching>, keys: u64) {
    let keys: Vec<_> = (0..keys).collect();
    for keys in keys.chunks(500) {
        for answer in runtime.submit_many(keys.iter().map(|key| Command::Put(key.to_le_bytes())).collect()).await {
            answer.unwrap();
        }
    }
}

/// Guards F56: somebody has read, everything is replaced, and what was is kept for a reader that never comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_is_not_kept_beyond_the_limit() {
    let (dir, watch) = (directory(), Arc::new(()));
    let options = Options { shards: Some(1), memory: Memory::Bytes(8 << 20), spill: false, ..Options::new(dir.path()) };
    let runtime = Runtime::open(Watching(Arc::clone(&watch)), options).await.unwrap();
    let share = runtime.stats().memory.state_bytes.unwrap();
    let keys = share / 4 * 3 / ENTRY;
    let bound = (share / 16 * 17 + (64 << 10)) / ENTRY;
    let alive = || Arc::strong_count(&watch) as u64 - 2;
    put_all(&runtime, keys).await;
    drop(runtime.view().await);
    for _ in 0..3 {
        put_all(&runtime, keys).await;
        assert_eq!(runtime.stats().shards[0].memory_bytes, keys * ENTRY);
        // Where it is freed is on its own time.
        until_within(PATIENCE, "what was replaced is freed", || alive() <= bound).await;
    }
    runtime.submit_to(mainstay::ShardId(0), Command::Clear).await.unwrap();
    put_all(&runtime, keys).await;
    until_within(PATIENCE, "what was cleared is freed", || alive() <= bound).await;
}
