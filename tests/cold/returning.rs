//! What is asked for again and again comes back to memory, within the limit.

use std::time::Instant;

use mainstay::kv::Kv;
use mainstay::{ReadError, Runtime};

use crate::state::{Model, PATIENCE, cold_entries, key, options, sum, until, value};
use crate::support::directory;

const LIMIT: u64 = 6 << 20;
const KEYS: u32 = 16_000;
const OFTEN: u32 = 100;

/// Reads them with a view of its own, and says how many are in memory.
async fn read_often(runtime: &Runtime<Kv>, model: &Model) -> usize {
    let view = runtime.view().await;
    let keys: Vec<_> = (0..OFTEN).map(key).collect();
    let here = view.get_many(&keys).into_iter().filter(|found| !matches!(found, Err(ReadError::Cold(_)))).count();
    for (number, found) in (0..OFTEN).zip(view.read_many(&keys).await) {
        let wanted = model.0.get(&number).map(|version| value(number, *version));
        assert_eq!(found.unwrap().map(|entity| entity.value().to_vec()), wanted);
    }
    here
}

/// Guards F51: it is the value that was written last, and what was removed stays that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_again_comes_back_to_memory_and_stays_there() {
    let dir = directory();
    let mut model = Model::default();
    let runtime = Runtime::open(Kv, options(dir.path(), 2, LIMIT)).await.unwrap();
    model.put(&runtime, 0..KEYS).await;
    until(&runtime, "spilled", |stats| cold_entries(stats) > u64::from(KEYS / 2)).await;
    let started = Instant::now();
    while read_often(&runtime, &model).await < OFTEN as usize {
        assert!(started.elapsed() < PATIENCE, "they never come back: {:?}", runtime.stats());
    }
    let stats = runtime.stats();
    println!("{} have come back, {} are cold", sum(&stats, |shard| shard.returns), cold_entries(&stats));
    let share = stats.memory.state_bytes.unwrap();
    assert!(stats.shards.iter().all(|shard| shard.returns > 0 && shard.memory_bytes <= share), "{stats:?}");
    assert_eq!(sum(&stats, |shard| shard.cold_live), cold_entries(&stats), "what came back is not live in its file");

    // All others are written once more: they go, the ones that are read do not.
    model.remove(&runtime, 0..3).await;
    for first in (OFTEN..KEYS).step_by(250) {
        model.put(&runtime, first..(first + 250).min(KEYS)).await;
        read_often(&runtime, &model).await;
    }
    let here = read_often(&runtime, &model).await;
    assert!(here * 10 >= OFTEN as usize * 9, "{here} of {OFTEN} have stayed");
    model.check(&runtime, KEYS).await;
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open(Kv, options(dir.path(), 2, LIMIT)).await.unwrap();
    model.check(&runtime, KEYS).await;
}
