//! Does the accounting follow the memory that a state really takes?
//!
//! `cargo bench --bench memory [-- MILLIONS...]` prints a Markdown table; by default 1 and 5 million entries, keys of
//! 16 bytes and values of 100, in one shard and in four. Each line is of a process of its own: what the state is
//! accounted with, the logs' part of the limit (`MemoryLimits::log_bytes`), and what the resident memory has grown by
//! since the directory was opened, when its log is synced and its published roots are those of the end. Beside it how
//! much more that is than the first, and than the first two together.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

#[path = "../tests/support/filling.rs"]
mod filling;

use std::process::{Command, Stdio};

use filling::Filled;

/// In front of the arguments of a process that the bench has started.
const CHILD: &str = "child";

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == CHILD) {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        return filling::fill(dir.path(), arguments[1].parse().unwrap(), arguments[2].parse().unwrap()).print();
    }
    let millions: Vec<f64> = arguments.iter().map(|argument| argument.parse().unwrap()).collect();
    let millions = if millions.is_empty() { vec![1.0, 5.0] } else { millions };
    println!("| entries | shards | state MB | logs MB | resident MB | an entry, B | than the state | than both |");
    println!("|---|---|---|---|---|---|---|---|");
    for entries in millions.into_iter().map(|millions| (millions * 1e6) as u64) {
        for shards in [1, 4] {
            let filled = run(shards, entries);
            let [state, logs, resident] = [filled.state, filled.logs, filled.resident].map(|bytes| bytes as f64 / 1e6);
            let each = filled.resident as f64 / entries as f64;
            let (than_state, than_both) = ((resident / state - 1.0) * 100.0, filled.error() * 100.0);
            println!(
                "| {entries} | {shards} | {state:.0} | {logs:.0} | {resident:.0} | {each:.0} | {than_state:+.1} % | \
                 {than_both:+.1} % |"
            );
        }
    }
}

fn run(shards: u32, entries: u64) -> Filled {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([CHILD, &shards.to_string(), &entries.to_string()]).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "it ended with {}", output.status);
    Filled::parse(&String::from_utf8(output.stdout).unwrap())
}
