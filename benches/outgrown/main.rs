//! A state many times as large as its memory: how fast is it written, what is resident meanwhile, and is every key
//! there after `kill -9`?
//!
//! `cargo bench --bench outgrown [-- ENTRIES VALUE_BYTES MEMORY_MIB]`, by default 160,000 values of 4 KiB under 64 MiB,
//! ten times as much. Four shards, `Interval(1 s)`, snapshots as by default, jemalloc as the example server has it.
//!
//! A process of its own writes all entries, an eighth of them more than once, while readers check keys at random, and
//! is killed. Another one opens the directory and checks every key. Then it is written to again, killed at a random
//! moment, and checked once more; and written without a limit, if the machine has room for that. `OUTGROWN_SEED`
//! repeats the choices.
//!
//! What is resident must never be more than the limit, 15 % and 24 MiB: the program, and what an allocator wastes. A
//! table of it all is printed. A key that is missing or wrong, and what is resident beyond that, end the bench with 1.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench")]

mod check;
mod data;
#[path = "../../tests/support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;
mod watched;
mod write;

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use data::{Case, Ledger};
use random::Random;
use watched::{End, Told};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MIB: u64 = 1 << 20;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [part, dir, ledger, seed, case @ ..] = &arguments[..]
        && [watched::WRITE, watched::CHECK].contains(&part.as_str())
    {
        let (case, ledger) = (Case::parse(case), Ledger::read(ledger.as_ref()));
        return match part.as_str() {
            watched::WRITE => write::run(dir.as_ref(), case, &ledger, Random(seed.parse().unwrap())),
            _ => check::run(dir.as_ref(), case, &ledger),
        };
    }
    let number = |at: usize, default: u64| arguments.get(at).map_or(default, |argument| argument.parse().unwrap());
    let memory = number(2, 64) * MIB;
    let case = Case { entries: number(0, 160_000), value_bytes: number(1, 4096) as usize, memory: Some(memory) };
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("OUTGROWN_SEED").map_or(clock, |seed| seed.parse().unwrap());
    if measure(case, memory, seed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the table. Is everything as it has to be?
fn measure(case: Case, memory: u64, seed: u64) -> bool {
    let allowed = memory + memory * 15 / 100 + 24 * MIB;
    let (entries, value_bytes) = (case.entries, case.value_bytes);
    println!(
        "{entries} values of {value_bytes} bytes, a limit of {} MiB, allowed {:.0} MB; jemalloc with `{}`; \
         OUTGROWN_SEED={seed}\n",
        memory / MIB,
        allowed as f64 / 1e6,
        option_env!("JEMALLOC_SYS_WITH_MALLOC_CONF").unwrap_or("its defaults"),
    );
    println!(
        "| process | opened in s | s | writes/s | refused | reads/s | pages read/s | highest MB | at the end MB | \
         cold keys | cold files | disk MB | keys checked |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut random = Random(seed);
    let (dir, mut ledger, mut is_well) = (support::directory(), Ledger::new(case.entries), true);
    for (what, end) in [("written, killed at the end", End::Written), ("written to, killed at random", End::AtRandom)] {
        let written = watched::run(watched::WRITE, dir.path(), case, &mut ledger, end, &mut random);
        is_well &= row(what, &written, dir.path(), Some(allowed));
        let checked = watched::run(watched::CHECK, dir.path(), case, &mut ledger, End::OfItself, &mut random);
        is_well &= row("opened again, checked", &checked, dir.path(), Some(allowed));
    }
    drop(dir);
    let case = Case { memory: None, ..case };
    if case.fits() {
        let (dir, mut ledger) = (support::directory(), Ledger::new(case.entries));
        let written = watched::run(watched::WRITE, dir.path(), case, &mut ledger, End::Written, &mut random);
        is_well &= row("written without a limit", &written, dir.path(), None);
    } else {
        println!("| written without a limit: too large for this machine | | | | | | | | | | | | |");
    }
    is_well
}

fn row(what: &str, told: &Told, dir: &Path, allowed: Option<u64>) -> bool {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (seconds, is_above) = (told.seconds, allowed.is_some_and(|allowed| told.highest > allowed));
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    println!(
        "| {what} | {:.2} | {seconds:.1} | {:.0} | {} | {:.0} | {:.0} | {:.0}{} | {:.0} | {} | {} | {:.0} | {} |",
        told.opened,
        per_second(told.writes),
        told.refused,
        per_second(told.reads),
        per_second(told.pages),
        megabytes(told.highest),
        if is_above { " ABOVE" } else { "" },
        megabytes(told.last),
        told.cold_keys,
        told.cold_files,
        megabytes(data::disk_bytes(dir)),
        told.checked,
    );
    for wrong in &told.wrong {
        println!("WRONG: {wrong}");
    }
    told.wrong.is_empty() && !is_above
}
