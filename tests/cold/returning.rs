//! What is asked for again and again comes back to memory, within the limit.

use std::time::Instant;

use mainstay::kv::{Command, Kv, When};
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Options, ReadError, Runtime};

use crate::disk::{is_cold, small};
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

/// A state of which a part is cold, on a disk that takes no more cold files from now on.
async fn settled(seed: u64) -> (Runtime<Kv>, Model) {
    let (disk, mut model) = (SimDisk::new(seed), Model::default());
    let options = Options { submit_deadline: PATIENCE, sync_deadline: PATIENCE, ..small() };
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    model.put(&runtime, 0..400).await;
    let mark = mark(&runtime);
    until(&runtime, "at rest", |stats| cold_entries(stats) > 100 && stats.shards[0].memory_bytes <= mark).await;
    disk.fail_when(|call| {
        let is_new = call.operation == Operation::Create && is_cold(&call.path);
        is_new.then_some(FaultKind::ErrorOnce)
    });
    (runtime, model)
}

/// From so many bytes on a shard spills.
fn mark(runtime: &Runtime<Kv>) -> u64 {
    let share = runtime.stats().memory.state_bytes.unwrap();
    share - share / 8
}

/// Guards F56: where nothing can leave the memory nothing comes back beyond the mark, however often it is read.
#[tokio::test]
async fn what_comes_back_has_room() {
    let (runtime, model) = settled(21).await;
    for _ in 0..20 {
        model.check(&runtime, 400).await;
        let shard = &runtime.stats().shards[0];
        assert!(shard.memory_bytes <= mark(&runtime), "{shard:?}");
    }
    assert!(cold_entries(&runtime.stats()) > 0);
}

/// What a command has read once is no reason to have it in memory; what commands read again is.
#[tokio::test]
async fn what_commands_read_again_comes_back() {
    let (runtime, mut model) = settled(22).await;
    // Room for what may come back.
    model.remove(&runtime, 0..200).await;
    let view = runtime.view().await;
    let cold: Vec<_> = (200..400).map(key).filter(|key| view.get(key.as_bytes()).is_err()).collect();
    assert!(cold.len() > 20, "{}", cold.len());
    let before = runtime.stats().shards[0].returns;
    for is_again in [false, true] {
        for key in &cold {
            // It is there, so nothing is written.
            runtime.submit(Command::set(key.clone(), "other").only(When::IfAbsent)).await.unwrap();
        }
        let returns = runtime.stats().shards[0].returns - before;
        assert_eq!(returns > 0, is_again, "{returns} of {}", cold.len());
    }
    model.check(&runtime, 400).await;
}
