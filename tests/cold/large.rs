//! A value that is large beside the memory: room is made for it.

use mainstay::kv::{Command, Entity, Kv};
use mainstay::sim::SimDisk;
use mainstay::state::map::ENTRY_BYTES;
use mainstay::{Memory, NotExecuted, Options, Runtime, SubmitError};

use crate::book::Book;
use crate::disk::DIR;
use crate::state::{is_out_of_memory, key, value};

const LONGEST: u32 = 48 << 10;
const LIMIT: u64 = LONGEST as u64 * 8;

fn options() -> Options {
    Options {
        shards: Some(1),
        segment_bytes: 1 << 20,
        command_bytes_max: LONGEST,
        memory: Memory::Bytes(LIMIT),
        ..Options::new(DIR)
    }
}

/// Below the mark nothing is spilled, and what is left up to the share is less than the longest command: the command
/// itself is what presses.
#[tokio::test]
async fn room_is_made_for_a_command_that_does_not_fit_beside_what_is_just_below_the_mark() {
    let (disk, mut book) = (SimDisk::new(5), Book::default());
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    let mark = runtime.stats().memory.state_bytes.unwrap() / 8 * 7;
    let mut number = 0;
    while runtime.stats().shards[0].memory_bytes + 2_000 < mark {
        book.send(&runtime, vec![(key(number), Some(value(number, 1)))]).await;
        number += 1;
    }
    for large in 0..20 {
        book.send(&runtime, vec![(format!("large {large}"), Some(vec![large; LONGEST as usize - 100]))]).await;
        assert_eq!(book.refused, [], "{large}: {:?}", runtime.stats());
    }
    assert_eq!(book.check(&runtime).await, [""; 0]);
}

/// More keys than there is memory for: no spill helps, and who asks is refused soon.
#[tokio::test]
async fn keys_alone_are_too_much() {
    let (disk, mut book) = (SimDisk::new(5), Book::default());
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    for number in 0.. {
        let put = |number: u32| (format!("{number:0200}"), Some(b"x".to_vec()));
        book.send(&runtime, (number * 50..number * 50 + 50).map(put).collect()).await;
        if !book.refused.is_empty() {
            break;
        }
    }
    book.send(&runtime, vec![("large".to_owned(), Some(vec![1; LONGEST as usize - 100]))]).await;
    assert!(book.refused.iter().all(is_out_of_memory), "{:?}", book.refused);
    assert!(book.acknowledged > 500);
    assert_eq!(book.check(&runtime).await, [""; 0]);
    for options in
        [options(), Options { command_bytes_max: LONGEST / 2, memory: Memory::Bytes(LIMIT / 2), ..options() }]
    {
        let runtime = Runtime::open_on(disk.after_kill(), Kv, options).await.unwrap();
        assert_keys_alone_are_too_much(&runtime, &mut book.clone()).await;
    }
}

/// What is refused has figures that say why, and everything else goes on.
async fn assert_keys_alone_are_too_much(runtime: &Runtime<Kv>, book: &mut Book) {
    assert_eq!(book.check(runtime).await, [""; 0]);
    let stats = runtime.stats();
    let (share, shard) = (stats.memory.state_bytes.unwrap(), &stats.shards[0]);
    let each = (ENTRY_BYTES + 200 + size_of::<Entity>()) as u64;
    assert_eq!(shard.keys_bytes, shard.entries * each);
    let error = runtime.submit(Command::set(format!("new {:0200}", 0), vec![1; 8_000])).await.unwrap_err();
    let SubmitError::NotExecuted(NotExecuted::OutOfMemory { share_bytes, memory_bytes, keys_bytes, growth_bytes }) =
        error
    else {
        panic!("{error}")
    };
    assert_eq!((share_bytes, memory_bytes, keys_bytes), (share, shard.memory_bytes, shard.keys_bytes));
    // To free what can be spilled would not help.
    assert!(keys_bytes + growth_bytes > share_bytes && growth_bytes > 8_200, "{error}");
    assert!(error.to_string().contains(&format!("{keys_bytes} of them by keys and places")), "{error}");
    // What takes no more goes on, and when there is room for a key it comes.
    let (mut count, mut deleted) = (book.acknowledged, 0);
    while shard_bytes(runtime) + 2 * each > share {
        book.send(runtime, vec![(format!("{deleted:0200}"), None)]).await;
        (count, deleted) = (count + 1, deleted + 1);
    }
    book.send(runtime, vec![(format!("{:0200}", deleted + 1), None), (format!("{:0200}", 0), Some(b"x".to_vec()))])
        .await;
    assert_eq!(book.acknowledged, count + 2, "{:?}", book.refused.last());
    assert_eq!(book.check(runtime).await, [""; 0]);
}

fn shard_bytes(runtime: &Runtime<Kv>) -> u64 {
    runtime.stats().shards[0].memory_bytes
}

/// Guards against a recovery that stops spilling for good when nothing but keys is left: what it reads behind that is
/// too much as well.
#[tokio::test]
async fn a_recovery_goes_on_spilling_when_keys_alone_are_too_much() {
    let (disk, mut book) = (SimDisk::new(5), Book::default());
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    for first in (0..800).step_by(50) {
        let put = |number: u32| (format!("{number:0100}"), Some(value(number, 1)));
        book.send(&runtime, (first..first + 50).map(put).collect()).await;
    }
    assert_eq!(book.refused, []);
    runtime.shutdown().await.unwrap();
    // No snapshot: all of it is in the log.
    let small = Options { command_bytes_max: 8 << 10, memory: Memory::Bytes(LIMIT / 5 * 3), ..options() };
    let runtime = Runtime::open_on(disk.after_kill(), Kv, small).await.unwrap();
    let (stats, share) = (runtime.stats(), runtime.stats().memory.state_bytes.unwrap());
    let shard = &stats.shards[0];
    assert!(shard.keys_bytes > share / 8 * 7, "{shard:?}");
    assert!(shard.memory_bytes < shard.keys_bytes + share / 8, "{shard:?}");
    assert_eq!(book.check(&runtime).await, [""; 0]);
}
