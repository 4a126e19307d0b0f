//! Ten times as much as there is memory for.

use mainstay::Runtime;
use mainstay::kv::Kv;

use crate::state::{Model, cold, options};
use crate::support::directory;

const LIMIT: u64 = 6 << 20;
const KEYS: u32 = 20_000;

/// Guards F45, F46, F48, F50: nothing is ever evicted that cannot be read.
#[tokio::test]
async fn every_key_is_readable_while_writing_and_after_another_opening() {
    let dir = directory();
    let mut model = Model::default();
    for shards in [1] {
        let runtime = Runtime::open(Kv, options(dir.path(), shards, LIMIT)).await.unwrap();
        for part in 0..10 {
            model.put(&runtime, part * KEYS / 10..(part + 1) * KEYS / 10).await;
            model.check(&runtime, (part + 1) * KEYS / 10).await;
        }
        println!("{} of {KEYS} are cold; {:?}", cold(&runtime), runtime.stats().shards[0]);
        assert!(cold(&runtime) > KEYS as usize / 2);
        model.put(&runtime, (0..KEYS).step_by(7)).await;
        model.remove(&runtime, (0..KEYS).step_by(11)).await;
        model.check(&runtime, KEYS).await;
        runtime.shutdown().await.unwrap();
    }
    // The log has all values: a recovery spills as it replays.
    let runtime = Runtime::open(Kv, options(dir.path(), 1, LIMIT)).await.unwrap();
    let stats = runtime.stats();
    assert!(stats.shards[0].memory_bytes <= stats.memory.state_bytes.unwrap(), "{:?}", stats.shards[0]);
    assert!(cold(&runtime) > KEYS as usize / 2);
    model.check(&runtime, KEYS).await;
    runtime.snapshot().await.unwrap();
    model.put(&runtime, (0..KEYS).step_by(5)).await;
    model.check(&runtime, KEYS).await;
    drop(runtime);
    let runtime = Runtime::open(Kv, options(dir.path(), 1, LIMIT)).await.unwrap();
    println!("{} of {} are cold when opened from a snapshot", cold(&runtime), model.0.len());
    assert!(cold(&runtime) > 0);
    model.check(&runtime, KEYS).await;
}
