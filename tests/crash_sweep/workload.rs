//! The workloads, each a few opens and batches of commands.

use std::time::Duration;

use mainstay::protocol::cut::Kind;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Options, RestartBudget, Runtime, SyncPolicy, VersionOptions};

use crate::book::Book;
use crate::ledger::Ledger;

pub const SEGMENT_BYTES: u64 = 4096;

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
}

/// A file of somebody else's among ours, and what it holds.
pub const FOREIGN: (&str, &[u8]) = ("/data/shard-1/snapshot-1.snap", b"somebody else's");

/// Where a workload runs.
pub struct Stage {
    pub disk: SimDisk,
    pub policy: SyncPolicy,
    pub shards: u32,
    pub book: Book,
    /// The call before which the workload opened the directory for the last time.
    pub reopened_at: u64,
}

impl Workload {
    pub const ALL: [Self; 11] = [
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
    ];

    pub fn shards(self) -> u32 {
        if matches!(self, Self::TwoShards | Self::Rewrites) { 2 } else { 1 }
    }

    /// Does anything get old there?
    pub fn makes_snapshots(self) -> bool {
        matches!(self, Self::Snapshots | Self::FromSnapshot | Self::Rewrites)
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
        let runtime = stage.open().await.unwrap();
        stage.batch(&runtime, 2, 0).await;
        if self == Self::FromSnapshot {
            runtime.snapshot().await.unwrap();
            stage.batch(&runtime, 4, 300).await;
            runtime.snapshot().await.unwrap();
            stage.batch(&runtime, 4, 300).await;
        }
        runtime.shutdown().await.unwrap();
        if self == Self::Rewrites {
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
            Self::FirstOpen | Self::Recover => {
                stage.batch(&runtime, 3, 0).await;
                stage.batch(&runtime, 2, 0).await;
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
            Self::TwoShards => {
                stage.batch(&runtime, 8, 50).await;
                stage.batch(&runtime, 8, 50).await;
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

impl Stage {
    /// Opens the directory; a fault may forbid it.
    pub async fn open(&self) -> Option<Runtime<Ledger>> {
        Runtime::open_on(self.disk.clone(), Ledger, hasty_options(self.policy, self.shards)).await.ok()
    }

    /// Commands from as many concurrent tasks, over a few keys.
    pub async fn batch(&mut self, runtime: &Runtime<Ledger>, count: usize, pad: usize) {
        let keys = ["a", "b", "c", "d", "e"];
        let entry = |at: usize| self.book.entry(keys[at % keys.len()], pad);
        let entries = (0..count).map(entry).collect();
        self.book.submit_all(runtime, entries).await;
    }

    /// Leaves a log of some files, the last of which is cut short in the middle of a batch.
    async fn life_that_ends_in_a_power_cut(&mut self) {
        let runtime = self.open().await.unwrap();
        for _ in 0..5 {
            self.batch(&runtime, 4, 300).await;
        }
        // Something durable in the last file too.
        self.batch(&runtime, 2, 0).await;
        self.sync(&runtime).await;
        self.disk.count_only_mutations(true);
        self.disk.fail_in(1, FaultKind::Crash);
        self.batch(&runtime, 2, 0).await;
        self.book.power_was_cut();
        self.disk = self.disk.crash(self.disk.calls());
        let files = self.disk.files();
        let logs = files.keys().filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
        assert!(logs.count() > 3, "nothing has rolled");
    }

    /// A snapshot, which a fault may forbid.
    async fn snapshot(&self, runtime: &Runtime<Ledger>) {
        // What hangs is given up by its deadline; nobody waits for that here.
        let _ = tokio::time::timeout(Duration::from_millis(300), runtime.snapshot()).await;
    }

    /// A version, which a fault may forbid.
    async fn version(&self, runtime: &Runtime<Ledger>, kind: Kind) {
        let making = async { if kind == Kind::Mark { runtime.mark().await } else { runtime.rewrite().await } };
        if let Ok(Ok(version)) = tokio::time::timeout(Duration::from_millis(500), making).await {
            self.book.told_of(&version);
        }
    }

    /// An orderly end makes everything durable, whatever the policy.
    fn promise_all(&mut self, runtime: &Runtime<Ledger>) {
        for (shard, position) in self.book.records().iter().filter_map(|record| record.given()) {
            self.book.promise(runtime, shard, position);
        }
    }

    /// Has everything synced, also under a policy that would not.
    async fn sync(&mut self, runtime: &Runtime<Ledger>) {
        let records = self.book.records();
        let given = records.iter().rev().find_map(|record| record.given());
        let Some((shard, position)) = given else { return };
        let synced = runtime.durable(shard, position);
        // A fault may keep it from ever happening.
        if let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(80), synced).await {
            self.book.promise(runtime, shard, position);
        }
    }
}

/// For opening without faults: nothing but the disk decides.
pub fn patient_options(policy: SyncPolicy, shards: u32) -> Options {
    Options {
        shards: Some(shards),
        sync: policy,
        segment_bytes: SEGMENT_BYTES,
        command_bytes_max: Options::command_bytes_for(SEGMENT_BYTES),
        lane_bytes: 1 << 20,
        versions: VersionOptions { keep: 2, ..VersionOptions::default() },
        ..Options::new("/data")
    }
}

/// For faults: short deadlines, because many points end in one.
pub fn hasty_options(policy: SyncPolicy, shards: u32) -> Options {
    Options {
        sync_deadline: Duration::from_millis(80),
        submit_deadline: Duration::from_millis(120),
        view_deadline: Duration::from_millis(50),
        lock_wait: Duration::from_millis(500),
        shutdown_deadline: Duration::from_millis(150),
        restarts: RestartBudget {
            pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(1),
            ..RestartBudget::default()
        },
        versions: VersionOptions {
            keep: 2,
            sync_deadline: Duration::from_millis(150),
            write_deadline: Duration::from_millis(300),
            ..VersionOptions::default()
        },
        ..patient_options(policy, shards)
    }
}
