//! Cold files that nothing refers to are closed, and their space is given back, though nobody writes any more.

use std::path::Path;

use mainstay::Runtime;
use mainstay::kv::{Command, Kv};

use crate::descriptors::open_files;
use crate::state::{Model, cold_entries, options, sum, until};
use crate::support::directory;

const LIMIT: u64 = 6 << 20;
const KEYS: u32 = 16_000;

fn open_cold_files(dir: &Path) -> usize {
    let files = open_files(dir);
    files.iter().filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cold-"))).count()
}

/// The root that is published is the last one that has the files.
#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_refers_to_is_closed() {
    let dir = directory();
    let mut model = Model::default();
    let runtime = Runtime::open(Kv, options(dir.path(), 1, LIMIT)).await.unwrap();
    for has_one_command in [true, false] {
        model.put(&runtime, 0..KEYS).await;
        until(&runtime, "spilled", |stats| cold_entries(stats) > 0).await;
        assert!(open_cold_files(dir.path()) > 0);
        if has_one_command {
            model.0.clear();
            runtime.submit(Command::Clear).await.unwrap();
        } else {
            model.remove(&runtime, 0..KEYS).await;
        }
        // Whatever readers are shown from here on, no command has changed it.
        model.check(&runtime, KEYS).await;
        until(&runtime, "given up", |stats| sum(stats, |shard| shard.cold_files + shard.cold_live) == 0).await;
        until(&runtime, "closed", |_| open_cold_files(dir.path()) == 0).await;
    }
    runtime.shutdown().await.unwrap();
}
