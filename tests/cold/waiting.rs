//! Who was taken up and has to wait is answered, whatever becomes of the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Kv};
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Memory, NotExecuted, Options, ReadError, Runtime, SubmitError};

use crate::disk::{is_cold as is_cold_file, small};
use crate::state::{key, until, value};

const KEYS: u32 = 400;
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options { sync_deadline: Duration::from_secs(1), submit_deadline: Duration::from_secs(3), ..small() }
}

/// Guards F2, F45: a command that reads what is cold runs twice, and in between the log's room comes to its end. No
/// lane's deadline counts for it any more, and no writer's yet.
#[tokio::test]
async fn who_lacks_a_value_and_then_room_in_the_log_is_answered() {
    let disk = SimDisk::new(3);
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    for number in 0..KEYS {
        runtime.submit(Command::set(key(number), value(number, 1))).await.unwrap();
    }
    let view = runtime.view().await;
    let is_cold = |number: &u32| matches!(view.get(key(*number).as_bytes()), Err(ReadError::Cold(_)));
    let cold: Vec<_> = (0..KEYS).filter(is_cold).collect();
    // The log gets no new file, and not for lack of space.
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    disk.fail_when(move |call| {
        let is_log = call.path.extension().is_some_and(|extension| extension == "seg");
        (is_log && call.operation == Operation::Create && broken.load(Ordering::SeqCst)).then_some(FaultKind::ErrorOnce)
    });
    let mut last = Vec::new();
    for number in cold {
        let append = Command::Append { key: key(number).into(), suffix: vec![b'x'].into() };
        let both = runtime.submit_many(vec![Command::set("long", vec![b'x'; 3_000]), append]);
        last = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
        if last.iter().any(Result::is_err) {
            break;
        }
    }
    let late = SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept);
    assert!(last[0].is_ok() && last[1].as_ref().is_err_and(|error| *error == late), "{last:?}");
    is_broken.store(false, Ordering::SeqCst);
    let started = Instant::now();
    while runtime.submit(Command::set("more", vec![b'x'; 3_000])).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it does not go on");
    }
    assert_eq!(runtime.stats().shards[0].restarts, 0);
}

/// Guards F2, F59: a rollback ends the life that is reading for a command, which is not executed, and its caller knows.
#[tokio::test]
async fn who_lacks_a_value_when_the_life_ends_knows_that_nothing_was_executed() {
    let disk = SimDisk::new(4);
    // Both states have room in it: a rollback reads one beside the other.
    let memory = Memory::Bytes(4 << 20);
    let options = Options { memory, submit_deadline: PATIENCE, sync_deadline: PATIENCE, ..small() };
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    for number in 0..1_100 {
        runtime.submit(Command::set(key(number), vec![b'v'; 3_000])).await.unwrap();
    }
    let version = runtime.mark().await.unwrap();
    let view = runtime.view().await;
    let is_cold = |number: &u32| matches!(view.get(key(*number).as_bytes()), Err(ReadError::Cold(_)));
    let cold = (0..1_100).find(is_cold).unwrap();
    let mut is_next = true;
    let stall = disk.stall(move |call| {
        let hangs = is_next && call.operation == Operation::Read && is_cold_file(&call.path);
        is_next &= !hangs;
        hangs
    });
    let append = Command::Append { key: key(cold).into(), suffix: vec![b'x'].into() };
    let answer = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.submit(append).await.map(drop) }
    });
    until(&runtime, "read", |_| stall.waiting() > 0).await;
    runtime.rollback(version.id).await.unwrap();
    let error = answer.await.unwrap().unwrap_err();
    assert!(matches!(error, SubmitError::NotExecuted(_)), "{error:?}");
    stall.release();
    let found = runtime.view().await.read(key(cold).as_bytes()).await.unwrap();
    assert_eq!(found.map(|entity| entity.value().to_vec()), Some(vec![b'v'; 3_000]));
}
