//! Directories to be looked at, and the tool run on them.

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use indicatif::ProgressBar;
use mainstay::model::Manifest;
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Options, Runtime, SyncPolicy};

use crate::log::{history, put};
use crate::scene::DIR;
use crate::support::{Counters, add, small};
use crate::tool::arguments::Arguments;
use crate::tool::counting::Counting;
use crate::tool::{self, Exit};

/// Runs the tool; arguments are words. Its output is UTF-8 whatever it was given.
pub fn run(disk: Arc<dyn Disk>, arguments: &str) -> (Exit, String) {
    run_words(disk, &arguments.split_whitespace().collect::<Vec<_>>())
}

/// Runs the tool with words that may have spaces in them.
pub fn run_words(disk: Arc<dyn Disk>, words: &[&str]) -> (Exit, String) {
    let words = ["mainstay"].iter().chain(words);
    let arguments = Arguments::try_parse_from(words).unwrap();
    let mut out = Vec::new();
    let exit = tool::run(&arguments.command, disk, &ProgressBar::hidden(), &mut out);
    let mut text = String::from_utf8(out).unwrap();
    let exit = exit.unwrap_or_else(|failure| {
        text.push_str(&failure.to_string());
        Exit::Failed
    });
    (exit, text)
}

/// Runs the tool on a simulated disk, and tells how many bytes it read and how many it expected to.
pub fn amounts(sim: &SimDisk, arguments: &str) -> (u64, Option<u64>) {
    let words = ["mainstay"].into_iter().chain(arguments.split_whitespace());
    let parsed = Arguments::try_parse_from(words).unwrap();
    let (read, bar) = (ProgressBar::hidden(), ProgressBar::hidden());
    let disk = Arc::new(Counting::new(Arc::new(sim.clone()), read.clone()));
    tool::run(&parsed.command, disk, &bar, &mut Vec::new()).unwrap();
    assert!(bar.is_finished(), "{arguments}: what follows is printed");
    (read.position(), bar.length())
}

/// Runs the tool on a simulated disk.
pub fn on(sim: &SimDisk, arguments: &str) -> (Exit, String) {
    run(Arc::new(sim.clone()), arguments)
}

/// Changes the manifest of a directory that nobody has open.
pub fn change(sim: &SimDisk, change: impl FnOnce(&mut Manifest)) {
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut opened = manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap();
    change(&mut opened.manifest);
    opened.log.change_generation(&opened.manifest).unwrap();
}

pub fn options() -> Options {
    let mut options = Options { shards: Some(2), segment_bytes: 4096, digest: true, ..small(Path::new(DIR)) };
    options.command_bytes_max = Options::command_bytes_for(4096);
    options.versions.keep = 3;
    options
}

/// Two shards with rolls, snapshots of which one is not needed any more, versions, a rollback, and an end in good
/// order or not.
pub async fn rich(closed: bool) -> SimDisk {
    let sim = SimDisk::new(71);
    let runtime = Runtime::open_on(sim.clone(), Counters, options()).await.unwrap();
    for round in 0..4_i64 {
        for n in 0..12 {
            runtime.submit(put(n, 300)).await.unwrap();
            runtime.submit(add(&format!("k{n}\x07"), round)).await.unwrap();
        }
        match round {
            0 | 2 => drop(runtime.mark().await.unwrap()),
            1 => drop(runtime.rewrite().await.unwrap()),
            _ => runtime.snapshot().await.map(drop).unwrap(),
        }
    }
    let third = runtime.versions()[2].id;
    runtime.rollback(third).await.unwrap();
    for n in 0..12 {
        runtime.submit(add(&format!("k{n}\x07"), 100)).await.unwrap();
    }
    if closed {
        runtime.shutdown().await.unwrap();
    }
    let after = sim.after_kill();
    drop(runtime);
    after
}

/// All kinds of directories, whole.
pub async fn all() -> Vec<(&'static str, SimDisk, Options)> {
    let one = crate::log::small_segments(SyncPolicy::Always);
    vec![
        ("rich, killed", rich(false).await, options()),
        ("rich, closed", rich(true).await, options()),
        ("moved, killed", history(false, |_, _| {}).await.sim, one.clone()),
        ("moved, closed", history(true, |_, _| {}).await.sim, one),
    ]
}
