//! One case on one engine in one round, in a process of its own: no heap, no page cache of a file and no thread is
//! handed on.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::case::{Case, Scale};
use crate::engines;
use crate::measure::Sample;
use crate::place;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub case: Case,
    pub scale: Scale,
    pub engine: String,
    /// Where its files go: an empty directory.
    pub dir: PathBuf,
}

impl Cell {
    /// As an argument for [`Cell::run_here`] in a child.
    pub fn encoded(&self) -> String {
        serde_json::to_string(self).expect("a cell has a text")
    }

    /// Runs a cell in a child, in a directory that is gone afterwards.
    pub fn run(case: Case, scale: Scale, engine: &str, place: &std::path::Path) -> Result<Sample, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{engine}: {error}");
        let dir = tempfile::Builder::new().prefix("peers-").tempdir_in(place).map_err(|error| failed(&error))?;
        let cell = Self { case, scale, engine: engine.to_owned(), dir: dir.path().to_owned() };
        place::settle();
        let mut command = Command::new(std::env::current_exe().map_err(|error| failed(&error))?);
        command.args(["cell", &cell.encoded()]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| failed(&error))?;
        if !output.status.success() {
            return Err(failed(&output.status));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
    }

    /// The child's part: prints the sample.
    pub fn run_here(encoded: &str) {
        let cell: Self = serde_json::from_str(encoded).expect("a cell");
        let entry = engines::named(&cell.engine).expect("an engine");
        let mut sample = tokio_runtime().block_on((entry.run)(&cell.case, &cell.scale, &cell.dir));
        // A share of nothing, in a cell that was too short, is no figure.
        sample.retain(|_, figure| figure.is_finite());
        println!("{}", serde_json::to_string(&sample).expect("a sample has a text"));
    }

    /// The part of the child's child that leaves a directory behind.
    pub fn fill_here(encoded: &str) {
        let cell: Self = serde_json::from_str(encoded).expect("a cell");
        let entry = engines::named(&cell.engine).expect("an engine");
        tokio_runtime().block_on((entry.fill)(&cell.case, &cell.scale, &cell.dir));
    }
}

/// As an application makes it: one worker for each processor.
fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads")
}
