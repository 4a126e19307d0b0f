//! One point: a workload with one fault, what was answered, and every ending of it.

use std::fmt;

use mainstay::SyncPolicy;
use mainstay::sim::{Call, Fault, FaultKind, Operation, SimDisk};

use crate::book::{Book, Ending};
use crate::ending::Reopening;
use crate::workload::{Stage, Workload};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub call: u64,
    pub kind: FaultKind,
    /// Whether there is space again for what follows the workload.
    pub free_space: bool,
}

/// See the module.
#[derive(Clone, Copy)]
pub struct Point {
    pub workload: Workload,
    pub policy: SyncPolicy,
    pub wrong: Option<Wrong>,
    pub seed: u64,
}

/// What a point came to.
#[derive(Debug, Default)]
pub struct Tried {
    /// Mutating calls of the disk while the workload ran.
    pub calls: u64,
    pub violations: Vec<String>,
    pub endings: usize,
    pub receipts: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} seed {}", self.workload, self.policy, self.seed)?;
        match self.wrong {
            None => write!(f, " no fault"),
            Some(Wrong { call, kind, free_space }) => {
                let freed = if free_space { " freed" } else { "" };
                write!(f, " call {call} {kind:?}{freed}")
            }
        }
    }
}

impl Point {
    /// Runs it on a disk that holds what the workload starts from.
    pub async fn run(self, base: &SimDisk, book: &Book) -> Tried {
        let mut stage = Stage {
            // Everything there is synced: a crash only gives the disk another seed.
            disk: base.crash(self.seed),
            policy: self.policy,
            shards: self.workload.shards(),
            book: book.clone(),
        };
        self.run_on(&mut stage).await
    }

    pub async fn run_on(self, stage: &mut Stage) -> Tried {
        let disk = stage.disk.clone();
        disk.count_only_mutations(true);
        if let Some(Wrong { call, kind, .. }) = self.wrong {
            disk.fail(Fault { at: call, kind });
        }
        let mut runtime = self.workload.run(stage).await;
        let mut tried = Tried { calls: disk.calls(), ..Tried::default() };
        if self.wrong.is_some_and(|wrong| wrong.free_space) {
            disk.disarm();
            disk.free_space();
        }
        if runtime.is_none() && !disk.is_power_cut() {
            // As an application would: try again.
            runtime = stage.open().await;
        }
        let mut moves = 0;
        if let Some(runtime) = &runtime {
            // Rolls, so that the manifest is edited too.
            stage.batch(runtime, 3, 400).await;
            stage.batch(runtime, 3, 400).await;
            stage.book.ask_outcomes(runtime).await;
            moves = runtime.stats().shards.iter().map(|shard| shard.moves).sum();
        }
        let failed = self.failed_syncs(&disk.trace());
        stage.book.sync_failed = failed > moves;
        stage.book.cache_lied = failed > 0;
        tried.receipts = stage.book.receipts();
        for (disk, ending) in self.endings(&disk) {
            tried.endings += 1;
            let reopening = Reopening { point: self, ending };
            let violations = reopening.run(disk, stage.book.clone()).await;
            tried.violations.extend(violations);
        }
        drop(runtime);
        tried
    }

    /// Syncs of log files that have failed, or may have.
    fn failed_syncs(&self, trace: &[Call]) -> u64 {
        let hit = self.wrong.is_some_and(|wrong| {
            let call = trace.iter().find(|call| call.number == wrong.call);
            call.is_some_and(|call| {
                let is_log = call.path.extension().is_some_and(|extension| extension == "seg");
                let fails = match wrong.kind {
                    FaultKind::ErrorOnce => call.operation == Operation::Sync,
                    FaultKind::ErrorForEver => true,
                    _ => false,
                };
                is_log && fails
            })
        });
        self.workload.failed_syncs() + u64::from(hit)
    }

    fn endings(&self, disk: &SimDisk) -> Vec<(SimDisk, Ending)> {
        let mut endings = vec![(disk.crash(self.seed), Ending::PowerCut)];
        if disk.is_power_cut() {
            endings.push((disk.crash(self.seed ^ 0xff), Ending::PowerCut));
        } else {
            endings.push((disk.after_kill(), Ending::Kill));
        }
        endings
    }

    /// May opening fail, or a shard be refused, because calls still fail?
    pub fn may_still_fail(&self, ending: Ending) -> bool {
        let lasting = self.wrong.is_some_and(|wrong| match wrong.kind {
            FaultKind::ErrorForEver => true,
            FaultKind::NoSpace => !wrong.free_space,
            _ => false,
        });
        lasting && ending == Ending::Kill
    }
}
