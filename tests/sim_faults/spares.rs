//! How spares are made, and what becomes of the page cache: no promise, but what keeps the log's own syncs short.

use std::path::PathBuf;

use mainstay::sim::Operation::{self, Create, DropCache, Sync, Write};
use mainstay::{Options, SyncPolicy};

use crate::scene::{Scene, options, until};

/// Filled in four pieces.
const SEGMENT: u64 = 1 << 20;

impl Scene {
    /// What was done to one log file, in order.
    fn done_to(&self, path: &PathBuf) -> Vec<Operation> {
        let trace = self.disk.trace();
        trace.iter().filter(|call| call.path == *path).map(|call| call.operation).collect()
    }

    /// The log files, in the order of their making.
    fn made(&self) -> Vec<PathBuf> {
        let trace = self.disk.trace();
        let made =
            trace.iter().filter(|call| call.operation == Create && call.path.extension().is_some_and(|e| e == "seg"));
        made.map(|call| call.path.clone()).collect()
    }
}

/// The first spare of a life is synced once, since whoever waits for the disk waits for it; one that is made while the
/// log is written, piece by piece, so that a sync of the log waits for one piece. A full segment leaves the page cache.
#[tokio::test(flavor = "multi_thread")]
async fn spares_are_made_gently_and_full_segments_forgotten() {
    let options = Options {
        segment_bytes: SEGMENT,
        command_bytes_max: Options::command_bytes_for(SEGMENT),
        lane_bytes: 4 << 20,
        ..options(SyncPolicy::Always, 1)
    };
    let scene = Scene::open(options).await;
    scene.write("a").await;
    scene.settle().await;
    let [first, second] = scene.made().try_into().unwrap();
    assert_eq!(scene.done_to(&first)[..7], [Create, Write, Write, Write, Write, Sync, Write]);
    assert_eq!(scene.done_to(&second), [Create, Write, Sync, Write, Sync, Write, Sync, Write, Sync]);
    for _ in 0..6 {
        let entry = scene.book.entry("a", 200_000);
        scene.book.submit(&scene.runtime, entry).await;
    }
    until("the full segment leaves the cache", || scene.done_to(&first).contains(&DropCache)).await;
    assert!(!scene.done_to(&scene.active(0)).contains(&DropCache));
}
