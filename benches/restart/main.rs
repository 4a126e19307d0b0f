//! How fast is a snapshot written, and how fast does a directory open from one, beside what a plain file and the map
//! alone allow?
//!
//! `cargo bench --bench restart [-- MILLIONS [VALUE_BYTES [ROUNDS]]]` prints two Markdown tables, of one shard and of
//! two; by default 10 million entries, keys of 16 bytes and values of 48, medians of three rounds. MB are those of the
//! snapshot files, which have 9 bytes for each entry besides.
//!
//! Written: from a state that commands have filled in no order, so that the map's order is not that of the memory. The
//! ceilings are walking over the entries, and writing as many bytes to a plain file, synced as often.
//!
//! Loaded: each figure is of a process of its own, whose memory is fresh, and the files come from the disk. The
//! ceilings are reading and verifying the files, and making the map of entries that are in memory; `both` is one after
//! the other on the same thread. Shards are read by as many threads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod loading;
#[path = "../support/mod.rs"]
mod support;
mod writing;

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mainstay::{Options, SnapshotOptions, SyncPolicy};
use support::directory;

/// In front of the arguments of a process that the bench has started.
const CHILD: &str = "child";

/// What is measured.
#[derive(Clone, Copy)]
struct Size {
    shards: u32,
    entries: u64,
    value_bytes: usize,
    rounds: usize,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |argument| argument.parse().unwrap());
    if arguments.first().is_some_and(|first| first == CHILD) {
        let size = Size {
            shards: number(3, 1) as u32,
            entries: number(4, 0),
            value_bytes: number(5, 0) as usize,
            rounds: number(6, 0) as usize,
        };
        return child(&arguments[1], Path::new(&arguments[2]), size);
    }
    let millions = arguments.first().map_or(10.0, |argument| argument.parse::<f64>().unwrap());
    let entries = (millions * 1e6) as u64;
    let (value_bytes, rounds) = (number(1, 48) as usize, number(2, 3) as usize);
    let sizes = [1, 2].map(|shards| Size { shards, entries, value_bytes, rounds });
    let directories = sizes.map(|_| directory());
    println!("| shards | writing a snapshot | ms | entries/s | MB/s | of walking | of the plain file |");
    println!("|---|---|---|---|---|---|---|");
    for (size, dir) in sizes.into_iter().zip(&directories) {
        print!("{}", run("write", dir.path(), size).0);
    }
    println!("\n| shards | loading it | ms | entries/s | MB/s | of both ceilings |\n|---|---|---|---|---|---|");
    for (size, dir) in sizes.into_iter().zip(&directories) {
        loading::table(dir.path(), size);
    }
}

fn child(what: &str, dir: &Path, size: Size) {
    match what {
        "write" => block_on(writing::table(dir, size)),
        "verify" => loading::verify(dir, size),
        "insert" => loading::insert(dir, size),
        "open" => block_on(loading::open(dir, size)),
        other => panic!("{other} is not known"),
    }
}

/// What a process of its own has printed, and how long it took.
fn run(what: &str, dir: &Path, size: Size) -> (String, Duration) {
    let Size { shards, entries, value_bytes, rounds } = size;
    let numbers = [shards.into(), entries, value_bytes as u64, rounds as u64].map(|number| number.to_string());
    let started = Instant::now();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([CHILD, what]).arg(dir).args(numbers).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{what} ended with {}", output.status);
    (String::from_utf8(output.stdout).unwrap(), started.elapsed())
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}

fn options(dir: &Path, size: Size) -> Options {
    // None but those that are asked for.
    let snapshots = SnapshotOptions { log_bytes: 0, ..SnapshotOptions::default() };
    Options { shards: Some(size.shards), sync: SyncPolicy::Never, snapshots, ..Options::new(dir) }
}

/// How long it takes to do this for all shards at once.
fn in_parallel(shards: u32, work: impl Fn(u32) + Sync) -> Duration {
    let started = Instant::now();
    thread::scope(|scope| {
        for shard in 0..shards {
            let work = &work;
            scope.spawn(move || work(shard));
        }
    });
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The columns that all rows have.
fn row(size: Size, name: &str, time: Duration, bytes: u64) -> String {
    let seconds = time.as_secs_f64();
    let (shards, millions, megabytes) = (size.shards, size.entries as f64 / 1e6, bytes as f64 / 1e6);
    format!("| {shards} | {name} | {:.0} | {:.2} M | {:.0} |", seconds * 1e3, millions / seconds, megabytes / seconds)
}
