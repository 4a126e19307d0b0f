//! Where a workload runs: a disk, the book of answers, and what both are taken through.

use std::time::Duration;

use mainstay::protocol::cut::Kind;
use mainstay::sim::{FaultKind, SimDisk};
use mainstay::{Options, RestartBudget, Runtime, SyncPolicy, VersionOptions};

use crate::book::Book;
use crate::ledger::Ledger;

const SEGMENT_BYTES: u64 = 4096;

/// Longer than any stall of a machine that is shared.
const PATIENCE: Duration = Duration::from_secs(60);

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Where a workload runs.
pub struct Stage {
    pub disk: SimDisk,
    pub policy: SyncPolicy,
    pub shards: u32,
    pub book: Book,
    /// The call before which the workload opened the directory for the last time.
    pub reopened_at: u64,
    /// Nothing goes wrong yet: what is asked for is waited for, on however busy a machine.
    pub is_patient: bool,
}

impl Stage {
    /// Opens the directory; a fault may forbid it.
    pub async fn open(&self) -> Option<Runtime<Ledger>> {
        let mut options = hasty_options(self.policy, self.shards);
        if self.is_patient {
            options.shutdown_deadline = PATIENCE;
            options.versions.sync_deadline = PATIENCE;
            options.versions.write_deadline = PATIENCE;
        }
        let runtime = Runtime::open_on(self.disk.clone(), Ledger, options).await.ok();
        if runtime.is_some() {
            self.book.opened();
        }
        runtime
    }

    /// So long something is waited for that a fault may forbid.
    fn patience(&self, with_faults_ms: u64) -> Duration {
        if self.is_patient { PATIENCE } else { Duration::from_millis(with_faults_ms) }
    }

    /// Commands from as many concurrent tasks, over a few keys.
    pub async fn batch(&mut self, runtime: &Runtime<Ledger>, count: usize, pad: usize) {
        let entry = |at: usize| self.book.entry(KEYS[at % KEYS.len()], pad);
        let entries = (0..count).map(entry).collect();
        self.book.submit_all(runtime, entries).await;
    }

    /// Leaves a log of some files, the last of which is cut short in the middle of a batch.
    pub async fn life_that_ends_in_a_power_cut(&mut self) {
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
    pub async fn snapshot(&self, runtime: &Runtime<Ledger>) {
        // What hangs is given up by its deadline; nobody waits for that here.
        let _ = tokio::time::timeout(self.patience(300), runtime.snapshot()).await;
    }

    /// A version, which a fault may forbid.
    pub async fn version(&self, runtime: &Runtime<Ledger>, kind: Kind) {
        let making = async { if kind == Kind::Mark { runtime.mark().await } else { runtime.rewrite().await } };
        if let Ok(Ok(version)) = tokio::time::timeout(self.patience(500), making).await {
            self.book.told_of(&version);
        }
    }

    /// A directory whose routing leaves no shard without keys.
    pub async fn open_with_keys_in_both(&mut self) -> Runtime<Ledger> {
        loop {
            let runtime = self.open().await.unwrap();
            let first = runtime.shard_of(KEYS[0].as_bytes());
            if KEYS.iter().any(|key| runtime.shard_of(key.as_bytes()) != first) {
                return runtime;
            }
            drop(runtime);
            self.disk = SimDisk::new(7);
        }
    }

    /// A version, a newer one with snapshots behind it, and commands behind each.
    pub async fn version_to_go_back_to(&mut self, runtime: &Runtime<Ledger>) {
        self.batch(runtime, 5, 300).await;
        self.version(runtime, Kind::Mark).await;
        self.batch(runtime, 10, 300).await;
        self.version(runtime, Kind::Rewrite).await;
        self.batch(runtime, 5, 0).await;
        assert_eq!(runtime.versions().len(), 2);
    }

    /// Goes back to the oldest version while commands come; a fault may forbid it.
    pub async fn roll_back(&self, runtime: &Runtime<Ledger>) {
        let Some(version) = runtime.versions().into_iter().next() else { return };
        self.book.asks_to_go_back(&version);
        let entries = KEYS.map(|key| self.book.entry(key, 0)).to_vec();
        let meanwhile = self.book.submit_all(runtime, entries);
        let back = tokio::time::timeout(Duration::from_millis(500), runtime.rollback(version.id));
        let (back, ()) = tokio::join!(back, meanwhile);
        self.book.told_of_rollback(back.ok().as_ref());
    }

    /// An orderly end makes everything durable, whatever the policy.
    pub fn promise_all(&mut self, runtime: &Runtime<Ledger>) {
        for (shard, position) in self.book.records().iter().filter_map(|record| record.given()) {
            self.book.promise(runtime, shard, position);
        }
    }

    /// Has everything synced, also under a policy that would not.
    pub async fn sync(&mut self, runtime: &Runtime<Ledger>) {
        let records = self.book.records();
        let given = records.iter().rev().find_map(|record| record.given());
        let Some((shard, position)) = given else { return };
        let synced = runtime.durable(shard, position);
        // A fault may keep it from ever happening.
        if let Ok(Ok(())) = tokio::time::timeout(self.patience(80), synced).await {
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

/// For reopening where calls fail, or go on failing: what is answered in time is not asked there, and most of a sweep
/// would go by waiting for answers that do not come. Long enough to be cut at the call that was meant.
pub fn resigned_options(policy: SyncPolicy, shards: u32) -> Options {
    Options {
        sync_deadline: Duration::from_millis(30),
        submit_deadline: Duration::from_millis(40),
        ..hasty_options(policy, shards)
    }
}
