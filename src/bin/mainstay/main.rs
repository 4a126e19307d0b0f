//! `mainstay`: looks at a data directory, verifies it, and repairs what is provably safe to repair.

#![allow(missing_docs, reason = "a program: its help and the heads of its files say what it does")]

mod tool;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use mainstay::storage::disk::StandardDisk;
use mainstay::sync::Arc;
use tool::arguments::{Arguments, Command};
use tool::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let exit = match tool::run(&arguments.command, Arc::new(StandardDisk), &bar(&arguments.command), &mut out) {
        Ok(exit) => exit,
        // Whoever reads has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Sound,
        Err(failure) => {
            let _ = io::Write::flush(&mut out);
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("mainstay: {failure}\n"));
            Exit::Failed
        }
    };
    ExitCode::from(exit as u8)
}

/// What is read is shown only to somebody who looks on, and not between lines that are printed meanwhile.
fn bar(command: &Command) -> ProgressBar {
    let prints = matches!(command, Command::Log(_)) && io::stdout().is_terminal();
    if prints || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bytes} of {total_bytes} read [{bar:40}] {bytes_per_sec}");
    let bar = ProgressBar::no_length();
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
