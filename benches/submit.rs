//! How fast are durable commands, beside the ceilings of this very machine and run?
//!
//! `cargo bench --bench submit [-- SECONDS]` prints a Markdown table: medians of three interleaved rounds. A ratio
//! within a row is worth something, an absolute figure on a shared machine is not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use mainstay::{Options, Runtime, SyncPolicy};
use support::{Puts, Run, ceiling_group_commit, ceiling_sync, closed_loop, directory, median, put};

const ROUNDS: usize = 3;
const TASKS: [usize; 4] = [1, 16, 64, 256];
const KEYS: u64 = 100_000;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(1.0));
    let policies = [
        ("always", SyncPolicy::Always),
        ("interval 100 ms", SyncPolicy::Interval(Duration::from_millis(100))),
        ("never", SyncPolicy::Never),
    ];
    // For a profiler: only this, with 256 tasks.
    if let Some(only) = std::env::args().skip(1).find(|argument| argument.starts_with("only-")) {
        let chosen = policies.iter().find(|(name, _)| only[5..].starts_with(&name[..5]));
        let run = chosen.map_or_else(|| submit_many(64, time), |(_, sync)| submit(*sync, 256, time));
        return row(&only, 256, run, None);
    }
    println!("| what | tasks | ops/s | p50 us | p99 us | p99.9 us | of the ceiling |");
    println!("|---|---|---|---|---|---|---|");
    let sync = rounds(|| ceiling_sync(directory().path(), time));
    row("write 4 KiB + sync, prewritten file", 1, sync, None);
    for tasks in TASKS {
        let mut runs = vec![Vec::new(); 1 + policies.len()];
        for _ in 0..ROUNDS {
            runs[0].push(ceiling_group_commit(directory().path(), tasks, time));
            for (at, (_, policy)) in policies.iter().enumerate() {
                runs[1 + at].push(submit(*policy, tasks, time));
            }
        }
        let mut medians = runs.into_iter().map(median);
        let ceiling = medians.next().unwrap();
        row("hand-written group commit, no state", tasks, ceiling, None);
        for ((name, _), run) in policies.iter().zip(medians) {
            let part = (*name == "always").then(|| run.per_second / ceiling.per_second);
            row(&format!("submit, {name}"), tasks, run, part);
        }
    }
    let many = rounds(|| submit_many(64, time));
    row("submit_many of 64, always (commands)", 4, many, None);
    let gets = rounds(|| view_get(time));
    row("view + get, no writer", 2, gets, None);
}

fn rounds(one: impl Fn() -> Run) -> Run {
    median((0..ROUNDS).map(|_| one()).collect())
}

fn row(what: &str, tasks: usize, run: Run, part: Option<f64>) {
    let part = part.map_or("-".to_owned(), |part| format!("{:.0} %", part * 100.0));
    let Run { per_second, p50_us, p99_us, p999_us, .. } = run;
    println!("| {what} | {tasks} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {p999_us:.0} | {part} |");
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn open(dir: &std::path::Path, sync: SyncPolicy) -> Runtime<Puts> {
    let options = Options { shards: Some(1), sync, ..Options::new(dir) };
    let runtime = Runtime::open(Puts, options).await.unwrap();
    // The first command makes the first segment.
    runtime.submit((0, Bytes::new())).await.unwrap();
    runtime
}

fn submit(sync: SyncPolicy, tasks: usize, time: Duration) -> Run {
    let dir = directory();
    tokio_runtime().block_on(async {
        let runtime = open(dir.path(), sync).await;
        let handle = runtime.clone();
        let run = closed_loop(tasks, time, move |n| {
            let runtime = handle.clone();
            let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            async move {
                runtime.submit(put(&mut random, KEYS)).await.unwrap();
            }
        })
        .await;
        runtime.shutdown().await.unwrap();
        run
    })
}

fn submit_many(depth: usize, time: Duration) -> Run {
    let dir = directory();
    tokio_runtime().block_on(async {
        let runtime = open(dir.path(), SyncPolicy::Always).await;
        let handle = runtime.clone();
        let run = closed_loop(4, time, move |n| {
            let runtime = handle.clone();
            let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            async move {
                let commands = (0..depth).map(|_| put(&mut random, KEYS)).collect();
                let answers = runtime.submit_many(commands).await;
                assert!(answers.iter().all(Result::is_ok));
            }
        })
        .await;
        runtime.shutdown().await.unwrap();
        Run { per_second: run.per_second * depth as f64, ..run }
    })
}

fn view_get(time: Duration) -> Run {
    let dir = directory();
    tokio_runtime().block_on(async {
        let runtime = open(dir.path(), SyncPolicy::Never).await;
        let mut random = 1;
        for _ in 0..100 {
            let commands = (0..1_000).map(|_| put(&mut random, KEYS)).collect();
            runtime.submit_many(commands).await;
        }
        let handle = runtime.clone();
        closed_loop(2, time, move |n| {
            let runtime = handle.clone();
            let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            async move {
                let key = put(&mut random, KEYS).0.to_le_bytes();
                drop(runtime.view().await.get(&key).unwrap());
                if n % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await
    })
}
