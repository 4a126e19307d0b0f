//! How long does opening take, by the number of commands in the log?
//!
//! `cargo bench --bench recovery [-- COMMANDS]`: a log of so many puts (default two million) over few keys and many,
//! opened three times; the page cache is dropped by the recovery itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::time::{Duration, Instant};

use mainstay::{Options, Runtime, SyncPolicy};
use support::{Puts, directory, put};

const FREED_AFTER: Duration = Duration::from_secs(1);
const CHUNK: u64 = 10_000;
const KEYS: [u64; 3] = [10_000, 100_000, 1_000_000];

fn main() {
    let commands = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let commands: u64 = commands.unwrap_or(2_000_000);
    println!("| shards | keys | commands | log MB | open ms | commands/s | MB/s |");
    println!("|---|---|---|---|---|---|---|");
    for (shards, keys) in [1, 2].into_iter().flat_map(|shards| KEYS.map(|keys| (shards, keys))) {
        let dir = directory();
        let options = Options { shards: Some(shards), sync: SyncPolicy::Never, ..Options::new(dir.path()) };
        let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let runtime = Runtime::open(Puts, options.clone()).await.unwrap();
            let mut random = 1;
            for _ in 0..commands / CHUNK {
                let chunk = (0..CHUNK).map(|_| put(&mut random, keys)).collect();
                let answers = runtime.submit_many(chunk).await;
                assert!(answers.iter().all(Result::is_ok));
            }
            runtime.shutdown().await.unwrap();
        });
        let mut times: Vec<_> = (0..3).map(|_| tokio.block_on(open_once(&options))).collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, bytes) = times[1];
        let megabytes = bytes as f64 / 1e6;
        println!(
            "| {shards} | {keys} | {commands} | {megabytes:.0} | {:.0} | {:.0} | {:.0} |",
            seconds * 1e3,
            commands as f64 / seconds,
            megabytes / seconds
        );
    }
}

async fn open_once(options: &Options) -> (f64, u64) {
    let started = Instant::now();
    let runtime = Runtime::open(Puts, options.clone()).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let bytes = runtime.recovery().shards.iter().map(|shard| shard.bytes).sum();
    drop(runtime);
    // The state is freed by a thread of its own, which the next opening should not meet in the allocator.
    tokio::time::sleep(FREED_AFTER).await;
    (seconds, bytes)
}
