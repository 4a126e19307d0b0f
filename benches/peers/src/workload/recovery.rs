//! How long opening takes, by what the process before has left behind.
//!
//! That process is a child of the cell. It puts as many values as the scale has keys, has them synced, and is killed or
//! closes. The page cache is as it left it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::close;
use crate::case::{Case, Scale};
use crate::cell::Cell;
use crate::data::{Random, key};
use crate::engine::{Client, Engine, Policy};
use crate::measure::{Sample, resident_bytes};
use crate::place;

const BATCH: u64 = 1_000;
/// Engines that sync every second have done so.
const SYNCED: Duration = Duration::from_millis(1_500);
const FILLED: &str = "filled";

/// The child's part.
pub async fn fill<E: Engine>(case: &Case, scale: &Scale, dir: &Path) {
    let engine = E::open(dir, Policy::Buffered).await;
    let mut client = engine.client();
    let mut random = Random::new(0);
    let keys = over_keys(case, scale);
    for first in (0..scale.keys).step_by(BATCH as usize) {
        let indices = first..(first + BATCH).min(scale.keys);
        let pairs: Vec<_> = indices.map(|index| (key(index % keys), random.value())).collect();
        client.put(&pairs).await;
    }
    engine.sync();
    tokio::time::sleep(SYNCED).await;
    drop(client);
    if is_killed(case) {
        println!("{FILLED}");
        std::future::pending::<()>().await;
    }
    engine.close().await;
    println!("{FILLED}");
}

pub async fn run<E: Engine>(case: &Case, scale: &Scale, dir: &Path) -> Sample {
    let cell = Cell { case: *case, scale: *scale, engine: E::NAME.to_owned(), dir: dir.to_owned() };
    fill_in_a_child(&cell);
    let disk = place::bytes_below(dir);
    let started = Instant::now();
    let engine = Arc::new(E::open(dir, Policy::Buffered).await);
    let mut client = engine.client();
    let last = (scale.keys - 1) % over_keys(case, scale);
    assert!(client.get(&key(last)).await.is_some(), "the last synced put is gone");
    let seconds = started.elapsed().as_secs_f64();
    drop(client);
    close(engine).await;
    let figures = [
        ("commands/s", scale.keys as f64 / seconds),
        ("open ms", seconds * 1e3),
        ("disk MB", disk as f64 / 1e6),
        ("peak MB", resident_bytes().peak as f64 / 1e6),
    ];
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

fn fill_in_a_child(cell: &Cell) {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["fill", &cell.encoded()]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a child");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), FILLED, "the child died early");
    if is_killed(&cell.case) {
        child.kill().expect("a child to kill");
    }
    child.wait().expect("an exit code");
}

fn over_keys(case: &Case, scale: &Scale) -> u64 {
    match case {
        Case::Recovery { over_keys: Some(keys), .. } => (*keys).min(scale.keys),
        _ => scale.keys,
    }
}

fn is_killed(case: &Case) -> bool {
    matches!(case, Case::Recovery { killed: true, .. })
}
