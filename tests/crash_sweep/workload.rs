//! The workloads, each a few opens and batches of commands.

use mainstay::Runtime;
use mainstay::protocol::cut::Kind;
use mainstay::sim::{FaultKind, Operation, SimDisk};

use crate::ledger::Ledger;
use crate::stage::Stage;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    FirstOpen,
    Rolls,
    Reopen,
    Recover,
    Move,
    Restart,
    Shutdown,
    TwoShards,
    /// Snapshots between batches, so that old files are dropped.
    Snapshots,
    /// A directory that has snapshots, and is opened from one.
    FromSnapshot,
    /// Versions and rewrites between batches of two shards; two versions are kept.
    Rewrites,
    /// Two shards go back to a version, from behind a newer one, while commands come.
    Rollback,
}

/// A file of somebody else's among ours, and what it holds.
pub const FOREIGN: (&str, &[u8]) = ("/data/shard-1/snapshot-1.snap", b"somebody else's");

impl Workload {
    pub const ALL: [Self; 12] = [
        Self::FirstOpen,
        Self::Rolls,
        Self::Reopen,
        Self::Recover,
        Self::Move,
        Self::Restart,
        Self::Shutdown,
        Self::TwoShards,
        Self::Snapshots,
        Self::FromSnapshot,
        Self::Rewrites,
        Self::Rollback,
    ];

    pub fn shards(self) -> u32 {
        if matches!(self, Self::TwoShards | Self::Rewrites | Self::Rollback) { 2 } else { 1 }
    }

    /// Does anything get old there?
    pub fn makes_snapshots(self) -> bool {
        matches!(self, Self::Snapshots | Self::FromSnapshot | Self::Rewrites | Self::Rollback)
    }

    /// Syncs of log files that fail without any other fault.
    pub fn failed_syncs(self) -> u64 {
        u64::from(matches!(self, Self::Move | Self::Restart))
    }

    /// What was there before anything goes wrong.
    pub async fn prepare(self, stage: &mut Stage) {
        if self == Self::FirstOpen {
            return;
        }
        let runtime =
            if self == Self::Rollback { stage.open_with_keys_in_both().await } else { stage.open().await.unwrap() };
        stage.batch(&runtime, 2, 0).await;
        if self == Self::FromSnapshot {
            runtime.snapshot().await.unwrap();
            stage.batch(&runtime, 4, 300).await;
            runtime.snapshot().await.unwrap();
            stage.batch(&runtime, 4, 300).await;
        }
        if self == Self::Rollback {
            stage.version_to_go_back_to(&runtime).await;
        }
        runtime.shutdown().await.unwrap();
        if self == Self::Rollback {
            stage.promise_all(&runtime);
        }
        if matches!(self, Self::Rewrites | Self::Rollback) {
            stage.disk.put(FOREIGN.0, FOREIGN.1);
        }
        if self == Self::Recover {
            stage.life_that_ends_in_a_power_cut().await;
        }
    }

    /// Runs until its end, or until it cannot go on. Returns the runtime that is still open.
    pub async fn run(self, stage: &mut Stage) -> Option<Runtime<Ledger>> {
        self.arm(&stage.disk);
        let runtime = stage.open().await?;
        match self {
            Self::FirstOpen | Self::Recover | Self::TwoShards => {
                let (counts, pad) = if self == Self::TwoShards { ([8, 8], 50) } else { ([3, 2], 0) };
                for count in counts {
                    stage.batch(&runtime, count, pad).await;
                }
            }
            Self::Rolls => {
                for _ in 0..5 {
                    stage.batch(&runtime, 4, 300).await;
                }
            }
            Self::Reopen => {
                stage.batch(&runtime, 3, 100).await;
                drop(runtime);
                let runtime = stage.open().await?;
                // Whoever gets the lock finds that all threads of the one before have ended.
                stage.reopened_at = stage.disk.calls();
                stage.batch(&runtime, 3, 0).await;
                return Some(runtime);
            }
            Self::Move | Self::Restart => {
                for _ in 0..3 {
                    stage.batch(&runtime, 3, 100).await;
                    stage.sync(&runtime).await;
                }
            }
            Self::Shutdown => {
                stage.batch(&runtime, 3, 100).await;
                if runtime.shutdown().await.is_ok() {
                    stage.promise_all(&runtime);
                }
                return None;
            }
            Self::Snapshots => {
                for _ in 0..3 {
                    stage.batch(&runtime, 4, 300).await;
                    stage.snapshot(&runtime).await;
                }
                stage.batch(&runtime, 2, 0).await;
            }
            Self::FromSnapshot => {
                stage.batch(&runtime, 2, 0).await;
                stage.snapshot(&runtime).await;
            }
            Self::Rewrites => {
                for _ in 0..2 {
                    stage.batch(&runtime, 6, 300).await;
                    stage.version(&runtime, Kind::Mark).await;
                    stage.batch(&runtime, 6, 300).await;
                    stage.version(&runtime, Kind::Rewrite).await;
                }
                stage.batch(&runtime, 4, 0).await;
            }
            Self::Rollback => {
                stage.batch(&runtime, 5, 0).await;
                stage.roll_back(&runtime).await;
                // Whoever goes on without power only waits for deadlines.
                if !stage.disk.is_power_cut() {
                    stage.batch(&runtime, 5, 0).await;
                    stage.version(&runtime, Kind::Mark).await;
                }
            }
        }
        Some(runtime)
    }

    /// Without any other fault the workload does what it is named after.
    pub fn check(self, runtime: Option<&Runtime<Ledger>>) {
        let stats = runtime.map(Runtime::stats);
        let shard = stats.as_ref().and_then(|stats| stats.shards.first());
        match self {
            Self::Move => assert_eq!(shard.unwrap().moves, 1),
            Self::Restart => assert_eq!(shard.unwrap().restarts, 1),
            Self::Snapshots => assert_eq!(shard.unwrap().snapshots, 3),
            Self::Rewrites => assert_eq!(runtime.unwrap().versions().len(), 2),
            Self::Rollback => {
                let versions: Vec<_> = runtime.unwrap().versions().iter().map(|version| version.id.0).collect();
                assert_eq!(versions, [1, 3], "the second one is gone with the rollback");
            }
            Self::FromSnapshot => assert!(runtime.unwrap().recovery().shards[0].snapshot.is_some()),
            _ => {}
        }
    }

    /// What goes wrong in the workload itself.
    fn arm(self, disk: &SimDisk) {
        if self.failed_syncs() == 0 {
            return;
        }
        // The first write to a log file is a header, and so is its sync. The second sync is that of a frame.
        let (mut file, mut syncs, mut failing) = (None, 0, true);
        disk.fail_when(move |call| {
            let is_log = call.path.extension().is_some_and(|extension| extension == "seg");
            if !is_log || !failing {
                return None;
            }
            match call.operation {
                Operation::Create if file.is_none() => file = Some(call.path.clone()),
                Operation::Sync if file.as_ref() == Some(&call.path) => {
                    syncs += 1;
                    // Filled, header, first frame, second frame.
                    if syncs == 4 {
                        failing = self == Self::Restart;
                        return Some(FaultKind::ErrorOnce);
                    }
                }
                // The header of the file that the frames move to.
                Operation::Write if syncs >= 4 && file.as_ref() != Some(&call.path) => {
                    failing = false;
                    return Some(FaultKind::ErrorOnce);
                }
                _ => {}
            }
            None
        });
    }
}
