//! The tool without its `main`: every command is a function of a disk, which writes to whatever it is given.
//!
//! A new command is a variant in `arguments`, a file here with a `run`, and a line in [`run`].

mod amount;
pub mod arguments;
mod backup;
pub mod counting;
mod digest;
mod directory;
mod finding;
mod inspect;
mod log;
mod looking;
mod opened;
mod repair;
mod rollback;
pub mod text;
mod verify;

use std::io::{self, Write};
use std::path::Path;

use arguments::Command;
use counting::Counting;
use directory::Directory;
use finding::Finding;
use indicatif::ProgressBar;
use looking::Looking;
use mainstay::DiskError;
use mainstay::storage::disk::Disk;
use mainstay::sync::Arc;
use text::clean;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was looked at is sound.
    Sound = 0,
    /// It could not be done: usage, input and output, somebody else has the lock.
    Failed = 2,
    /// There is damage.
    Damage = 3,
}

/// Why a command has nothing to show.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be printed.
    Output(io::Error),
    /// This is wrong.
    Found(Finding),
    /// A reason, in words.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(error) => write!(f, "cannot print: {}", clean(&error.to_string())),
            Self::Found(finding) => finding.fmt(f),
            // There are names of files in it.
            Self::Refused(reason) => f.write_str(&clean(reason)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::Found(Finding::from(&error))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

/// Does what was asked for.
///
/// # Errors
/// It could not be done.
pub fn run(command: &Command, disk: Arc<dyn Disk>, bar: &ProgressBar, out: &mut dyn Write) -> Result<Exit, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(Counting::new(disk, bar.clone()));
    let look = |dir: &Path| Directory::new(Looking::new(Arc::clone(&disk), bar.clone()), dir);
    let exit = match command {
        Command::Inspect(asked) => inspect::run(&look(&asked.dir)?, asked, out),
        Command::Verify(asked) => verify::run(&look(&asked.dir)?, asked, out),
        Command::Log(asked) => log::run(&look(&asked.dir)?, asked, out),
        Command::Digest(asked) => digest::run(&look(&asked.dir)?, asked, out),
        Command::Rollback(asked) => rollback::run(&look(&asked.dir)?, &disk, asked, out),
        Command::Backup(asked) => backup::run(&look(&asked.dir)?, &disk, asked, out),
        Command::Repair(asked) => repair::run(&look(&asked.dir)?, &disk, asked, out),
    };
    let exit = match exit {
        Err(Failure::Found(finding)) if finding.is_damage() => {
            writeln!(out, "{finding}")?;
            Exit::Damage
        }
        exit => exit?,
    };
    out.flush()?;
    Ok(exit)
}

/// How to end with these findings.
fn exit(findings: &[Finding]) -> Exit {
    match findings {
        [] => Exit::Sound,
        some if some.iter().any(Finding::is_damage) => Exit::Damage,
        _ => Exit::Failed,
    }
}

/// Prints a report as JSON.
fn print_json(report: &impl serde::Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)?;
    Ok(())
}
