//! The command line, and what it chooses.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::case::{self, Case, Scale, WORKLOADS};
use crate::engines::{self, Entry};

/// Measures mainstay beside other engines. Prints Markdown.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Only these workloads, with commas: durable, gets, buffered, mix, beside, adds, memory, recovery
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub workload: Vec<String>,
    /// Only these engines, with commas; what is no name is the beginning of some, such as `ceiling`
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub engine: Vec<String>,
    /// Only cases whose title has this in it, such as "256 clients"
    #[arg(long, value_name = "TEXT")]
    pub case: Option<String>,
    /// How many keys
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// Seconds a cell
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Rounds; a figure is the median over them
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Where `peers.json`, `peers.md` and the plots go; they are written again after every round
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where the engines' files go, on a real disk [default: CARGO_TARGET_DIR/tmp]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Only says what would run
    #[arg(long)]
    pub list: bool,
    #[command(subcommand)]
    pub part: Option<Part>,
}

#[derive(Debug, Subcommand)]
pub enum Part {
    /// Draws the plots of a `peers.json` once more
    Plot {
        /// The report
        report: PathBuf,
        /// Where the plots go
        out: PathBuf,
    },
    #[command(hide = true)]
    Cell { encoded: String },
    #[command(hide = true)]
    Fill { encoded: String },
}

impl Args {
    pub fn scale(&self) -> Scale {
        Scale { keys: self.keys, seconds: self.seconds }
    }

    /// The chosen cases, or what is wrong with the choice.
    pub fn cases(&self) -> Result<Vec<Case>, String> {
        if let Some(unknown) = self.workload.iter().find(|name| !WORKLOADS.contains(&name.as_str())) {
            return Err(format!("no workload `{unknown}`; there are {}", WORKLOADS.join(", ")));
        }
        if self.keys == 0 || self.rounds == 0 || self.seconds.is_nan() || self.seconds <= 0.0 {
            return Err("keys, rounds and seconds must be more than zero".to_owned());
        }
        let chosen = |case: &Case| self.workload.is_empty() || self.workload.iter().any(|name| name == case.workload());
        let titled = |case: &Case| self.case.as_ref().is_none_or(|text| case.to_string().contains(text.as_str()));
        Ok(case::all().into_iter().filter(|case| chosen(case) && titled(case)).collect())
    }

    /// The chosen engines, or what is wrong with the choice.
    pub fn engines(&self) -> Result<Vec<Entry>, String> {
        let all = engines::all();
        if let Some(unknown) = self.engine.iter().find(|name| !all.iter().any(|entry| entry.name.starts_with(*name))) {
            let names: Vec<_> = all.iter().map(|entry| entry.name).collect();
            return Err(format!("no engine `{unknown}` in this build; there are {}", names.join(", ")));
        }
        let is_name = |name: &str| engines::named(name).is_some();
        let fits = |name: &str, entry: &Entry| entry.name == name || !is_name(name) && entry.name.starts_with(name);
        let chosen = |entry: &Entry| self.engine.iter().any(|name| fits(name, entry));
        Ok(all.into_iter().filter(|entry| self.engine.is_empty() || chosen(entry)).collect())
    }
}
