//! The disk is full when values are to be spilled: writers are refused, nothing is lost, and it goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mainstay::kv::Kv;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Memory, NotExecuted, Options, Runtime, SubmitError};

use crate::book::Book;
use crate::disk::{DIR, at_rest, is_cold, orphans};
use crate::state::{PATIENCE, cold_entries, is_out_of_memory, key, until, value};

fn options() -> Options {
    Options {
        shards: Some(1),
        // The log has room for all of it.
        segment_bytes: 1 << 20,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(256 << 10),
        ..Options::new(DIR)
    }
}

/// Puts keys one after the other until one is refused.
async fn put_until_refused(runtime: &Runtime<Kv>, book: &mut Book, numbers: std::ops::Range<u32>) -> Option<u32> {
    for number in numbers {
        let refused = book.refused.len();
        book.send(runtime, vec![(key(number), Some(value(number, 1)))]).await;
        if book.refused.len() > refused {
            return Some(number);
        }
    }
    None
}

/// Guards F45, F46.
#[tokio::test]
async fn writes_are_refused_while_nothing_can_be_spilled_and_then_go_on() {
    let (disk, mut book) = (SimDisk::new(3), Book::default());
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    assert_eq!(put_until_refused(&runtime, &mut book, 0..200).await, None);
    until(&runtime, "spilled", |stats| cold_entries(stats) > 0).await;
    // The next write to a cold file finds no space, and nobody finds any until it is freed.
    let mut armed = true;
    disk.fail_when(move |call| {
        let hit = armed && call.operation == Operation::Write && is_cold(&call.path);
        armed &= !hit;
        hit.then_some(FaultKind::NoSpace)
    });
    let stopped = put_until_refused(&runtime, &mut book, 200..1_000).await.unwrap();
    let [error] = &book.refused[..] else { panic!("{:?}", book.refused) };
    // It is not the keys: they take a part of what is there.
    let SubmitError::NotExecuted(NotExecuted::OutOfMemory { memory_bytes, keys_bytes, .. }) = *error else {
        panic!("{error}")
    };
    assert!(keys_bytes < memory_bytes / 2, "{error}");
    let stats = runtime.stats().shards[0].clone();
    let share = runtime.stats().memory.state_bytes.unwrap();
    assert!(stats.memory_bytes <= share && stats.memory_bytes > share / 8 * 7, "{stats:?}");
    assert_eq!((stats.refusal, stats.restarts), (None, 0));
    assert_eq!(book.check(&runtime).await, [""; 0]);
    // It takes no memory to overwrite with less, or to remove.
    let count = book.acknowledged;
    book.send(&runtime, vec![(key(stopped - 1), Some(b"less".to_vec())), (key(stopped - 2), None)]).await;
    assert_eq!(book.acknowledged, count + 2);
    assert_eq!(orphans(&disk).iter().filter(|path| is_cold(path)).count(), 0, "each try leaves a file behind");
    disk.free_space();
    let started = Instant::now();
    for number in stopped..stopped + 100 {
        while put_until_refused(&runtime, &mut book, number..number + 1).await.is_some() {
            assert!(started.elapsed() < PATIENCE, "it never goes on");
            tokio::task::yield_now().await;
        }
    }
    assert!(book.refused.iter().all(is_out_of_memory), "{:?}", book.refused);
    assert_eq!(book.check(&runtime).await, [""; 0]);
    runtime.shutdown().await.unwrap();
    let (disk, before) = (disk.after_kill(), orphans(&disk));
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    assert_eq!(book.check(&runtime).await, [""; 0]);
    runtime.shutdown().await.unwrap();
    let before = before.into_iter().filter(|path| !is_cold(path)).collect();
    assert_eq!(at_rest(&disk, &before), [""; 0]);
}

/// Guards F52: a file that is whole and cannot be opened is nobody's, and does not stay.
#[tokio::test]
async fn a_file_that_cannot_be_opened_again_is_removed() {
    let (disk, mut book) = (SimDisk::new(4), Book::default());
    let failed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failed);
    disk.fail_when(move |call| {
        let fails = call.operation == Operation::Open && is_cold(&call.path) && count.load(Ordering::SeqCst) < 2;
        fails.then(|| count.fetch_add(1, Ordering::SeqCst)).map(|_| FaultKind::ErrorOnce)
    });
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    let started = Instant::now();
    for number in 0.. {
        put_until_refused(&runtime, &mut book, number..number + 1).await;
        if runtime.stats().shards[0].spills > 0 {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "nothing is spilled");
    }
    assert_eq!((failed.load(Ordering::SeqCst), runtime.stats().shards[0].spill_failures), (2, 2));
    let left = || orphans(&disk).into_iter().filter(|path| is_cold(path)).count();
    until(&runtime, "without orphans", |_| left() == 0).await;
}
