//! What a version and a snapshot say about the log and the time, beyond the state that they hold.

use std::path::Path;

use mainstay::sim::SimDisk;
use mainstay::storage::snapshot::peek_header;
use mainstay::{LogError, ShardId};

use super::disk::{DIR, manifest, open, snapshot};
use crate::support::add;

/// Guards F12: a version was recorded when the log was synced up to it, so what is missing in front of it is damage,
/// whatever the log's own frames say.
#[tokio::test]
async fn a_version_vouches_for_the_log_in_front_of_it() {
    for marks in [false, true] {
        let sim = SimDisk::new(7);
        let runtime = open(&sim, 1).await;
        runtime.submit(add("a", 1)).await.unwrap();
        let before = sim.read(active(&sim)).unwrap();
        runtime.submit(add("a", 1)).await.unwrap();
        if marks {
            runtime.mark().await.unwrap();
        }
        drop(runtime);
        let sim = sim.after_kill();
        // Nothing of the last frame is left, nor of any that an idle writer may have put behind it.
        sim.put(active(&sim), &before);
        let runtime = open(&sim, 1).await;
        let refused = runtime
            .recovery()
            .refused()
            .next()
            .map(|(shard, error)| (shard, matches!(error, LogError::Damaged { .. })));
        assert_eq!(refused, marks.then_some((ShardId(0), true)));
    }
}

/// The file that the log is written to: the only one with a frame.
fn active(sim: &SimDisk) -> std::path::PathBuf {
    let files = sim.files();
    let used = files
        .iter()
        .find(|(path, bytes)| path.extension().is_some_and(|e| e == "seg") && bytes.starts_with(b"MAINSEG1"));
    used.unwrap().0.clone()
}

/// Time never goes back within a shard, so a snapshot has to know it.
#[tokio::test]
async fn a_snapshot_keeps_the_time() {
    let sim = SimDisk::new(7);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.snapshot().await.unwrap();
    let time = runtime.view().await.get(b"a").unwrap().unwrap().time;
    let number = *manifest(&sim).shards[0].snapshots.keys().next().unwrap();
    let header = peek_header(&sim, &snapshot(0, number.0)).unwrap();
    assert_eq!(header.time.0, time);
    assert!(Path::new(DIR).is_absolute());
}
