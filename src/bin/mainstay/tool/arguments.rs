//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Looks at a data directory of mainstay, verifies it, and repairs what is provably safe to repair.
///
/// `inspect`, `verify`, `log` and `digest` take no lock and write nothing: they may be used while another process has
/// the directory open. Exit codes: 0 sound, 2 usage or input and output, 3 damage.
#[derive(Debug, Parser)]
#[command(name = "mainstay")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what the directory is made of, as far as it can be read.
    Inspect(Inspect),
    /// Reads every file that the manifest names to its end and verifies every checksum.
    Verify(Verify),
    /// Shows the commands of a shard's log, one a line.
    Log(Log),
    /// Compares recorded digests of states with those of what the snapshots hold.
    Digest(Digest),
    /// Goes back to a version. The directory must not be open.
    Rollback(Rollback),
    /// Makes another directory that holds a version and opens as a runtime.
    Backup(Backup),
    /// Moves left-overs of crashes out of the way.
    Repair(Repair),
}

/// `mainstay inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// The data directory.
    pub dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `mainstay verify`.
#[derive(Args, Debug)]
pub struct Verify {
    /// The data directory.
    pub dir: PathBuf,
    /// Also read what every retained version needs, from its snapshot to its end, and compare the digest of what each
    /// snapshot holds with those that were recorded.
    #[arg(long)]
    pub deep: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `mainstay log`.
#[derive(Args, Debug)]
pub struct Log {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose log, from 0.
    #[arg(long)]
    pub shard: u32,
    /// The first lsn to show.
    #[arg(long, default_value_t = 1)]
    pub from: u64,
    /// So many commands at most.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    pub limit: u64,
    /// All bytes of each command, in hexadecimal.
    #[arg(long)]
    pub hex: bool,
}

/// `mainstay digest`.
#[derive(Args, Debug)]
pub struct Digest {
    /// The data directory.
    pub dir: PathBuf,
    /// Only this version, and the snapshots that lie where it does.
    #[arg(long)]
    pub version: Option<u64>,
}

/// `mainstay rollback`.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The data directory.
    pub dir: PathBuf,
    /// The version to go back to; `mainstay inspect` lists them.
    #[arg(long)]
    pub version: u64,
}

/// `mainstay backup`.
#[derive(Args, Debug)]
pub struct Backup {
    /// The data directory. It may be open.
    pub dir: PathBuf,
    /// The new directory: it must not exist, or be empty.
    pub dest: PathBuf,
    /// The version to back up; the newest one, unless given. A running program makes one with `mark`.
    #[arg(long)]
    pub version: Option<u64>,
}

/// `mainstay repair`.
#[derive(Args, Debug)]
pub struct Repair {
    /// The data directory.
    pub dir: PathBuf,
    /// Say what would be done and write nothing.
    #[arg(long, required_unless_present = "apply", conflicts_with = "apply")]
    pub dry_run: bool,
    /// Do it. What is removed goes to `DIR/repair-<unix time>`.
    #[arg(long)]
    pub apply: bool,
}
