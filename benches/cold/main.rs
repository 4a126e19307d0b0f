//! How fast do values go to cold files, and how fast do they come back, beside what plain files allow?
//!
//! `cargo bench --bench cold [-- MEMORY_MIB [TIMES [VALUE_BYTES [READS]]]]` prints two Markdown tables; by default a
//! state of 4 times 64 MiB, values of 1,000 bytes, two shards, and 4,000 reads for each line.
//!
//! Spilled: while commands fill the state, without a sync of the log. The bytes are those of the cold files, `of the
//! spill threads` counts the time from making a file to closing it. The ceilings are [`ColdWriter`] alone, with the
//! same values, and a plain file of as many bytes, synced as often.
//!
//! Read: keys that are not in memory, at random, through `View::read`, one after the other and by 64 tasks, and 64 at a
//! time through `read_many`, whose times are those of a key. Beside it a positional read of 4 KiB from a plain file of
//! as many bytes, one after the other and by 64 threads. Once when the kernel has all of it in its cache, and once when
//! it was told to forget the files before each line; it learns them again as they are read. What the runtime's own
//! cache had is counted.
//!
//! [`ColdWriter`]: mainstay::storage::cold::ColdWriter

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod reading;
mod spilling;
#[path = "../support/mod.rs"]
mod support;
mod timed;

use mainstay::kv::Kv;
use mainstay::{Memory, Options, Runtime, SnapshotOptions, SyncPolicy};
use support::directory;
use timed::Timed;

/// What is measured.
#[derive(Clone, Copy)]
struct Size {
    entries: u64,
    value_bytes: usize,
    reads: usize,
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, default: u64| arguments.get(at).copied().unwrap_or(default);
    let (memory, value_bytes, reads) = (number(0, 64) << 20, number(2, 1_000) as usize, number(3, 4_000) as usize);
    let entries = memory * number(1, 4) / value_bytes as u64;
    let (size, dir, disk) = (Size { entries, value_bytes, reads }, directory(), Timed::default());
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let options = Options {
            shards: Some(2),
            sync: SyncPolicy::Never,
            memory: Memory::Bytes(memory),
            snapshots: SnapshotOptions { log_bytes: 0, ..SnapshotOptions::default() },
            ..Options::new(dir.path())
        };
        let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
        let bytes = spilling::table(&runtime, &disk, dir.path(), size).await;
        println!();
        reading::table(&runtime, &disk, dir.path(), bytes, size).await;
        runtime.shutdown().await.unwrap();
    });
}
