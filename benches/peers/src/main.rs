//! mainstay beside its peers: the same workloads, in turn, in one run.
//!
//! `cargo run --release --features rocksdb -- --help`, in this directory. `README.md` says what is measured and how.

mod args;
mod case;
mod cell;
mod data;
mod drive;
mod engine;
mod engines;
mod machine;
mod measure;
mod place;
mod plot;
mod report;
mod rounds;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Part};
use crate::cell::Cell;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.part {
        None => rounds::run(&args),
        Some(Part::Plot { report, out }) => plot::run(report, out),
        Some(Part::Cell { encoded }) => {
            Cell::run_here(encoded);
            Ok(())
        }
        Some(Part::Fill { encoded }) => {
            Cell::fill_here(encoded);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
