//! Resident memory and room on the disk after a load, against the process before it opened the engine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::run::{close, load};
use crate::case::Scale;
use crate::drive::Syncing;
use crate::engine::{Engine, Policy};
use crate::measure::{Sample, resident_bytes};
use crate::place;

/// Background work and old roots have this long to end.
const SETTLE: Duration = Duration::from_millis(1_500);

pub async fn run<E: Engine>(scale: &Scale, dir: &Path) -> Sample {
    let before = resident_bytes();
    let engine = Arc::new(E::open(dir, Policy::Buffered).await);
    let syncing = Syncing::start(&engine, Policy::Buffered);
    load(&engine, scale.keys).await;
    engine.settle().await;
    tokio::time::sleep(SETTLE).await;
    let after = resident_bytes();
    let disk = place::bytes_below(dir);
    drop(syncing);
    close(engine).await;
    let a_key = |bytes: u64| bytes as f64 / scale.keys as f64;
    [
        ("B a key", after.all.saturating_sub(before.all)),
        ("anonymous B a key", after.anonymous.saturating_sub(before.anonymous)),
        ("disk B a key", disk),
    ]
    .into_iter()
    .map(|(name, bytes)| (name.to_owned(), a_key(bytes)))
    .collect()
}
