//! One point: a workload with one fault, what was answered, and every ending of it.

use std::fmt;
use std::sync::{Arc, Mutex};

use mainstay::sim::{Call, Fault, FaultKind, Operation, SimDisk};
use mainstay::{LogError, NotExecuted, Runtime, SyncPolicy};

use crate::book::{Book, Ending};
use crate::ending::Reopening;
use crate::ledger::Ledger;
use crate::stage::Stage;
use crate::workload::Workload;

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PowerCut,
    /// The process is killed in front of the call.
    Kill,
    ErrorOnce,
    /// And once more, one to four calls later.
    TwoErrors,
    ErrorAfterEffect,
    ErrorForEver,
    /// The disk is full from this call on.
    Full,
    /// The same, until the workload has ended.
    FullForAWhile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub call: u64,
    pub kind: Kind,
}

/// Which calls are numbered, and so may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Mutations,
    /// Reads, opens and listings too.
    All,
}

/// See the module.
#[derive(Clone, Copy)]
pub struct Point {
    pub workload: Workload,
    pub policy: SyncPolicy,
    pub counted: Counted,
    pub wrong: Option<Wrong>,
    pub seed: u64,
}

/// What a point came to.
#[derive(Debug, Default)]
pub struct Tried {
    /// Counted calls of the disk while the workload ran.
    pub calls: u64,
    /// Numbers of those that change nothing.
    pub reads: Vec<u64>,
    pub violations: Vec<String>,
    pub endings: usize,
    pub receipts: usize,
}

/// A disk, how it came to that, and what had been answered by then.
type Ended = (SimDisk, Ending, Book);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} seed {}", self.workload, self.policy, self.counted, self.seed)?;
        match self.wrong {
            None => write!(f, " no fault"),
            Some(Wrong { call, kind }) => write!(f, " call {call} {kind:?}"),
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
            book: book.copy(book.len()),
            reopened_at: 0,
            is_patient: false,
        };
        self.run_on(&mut stage, true).await
    }

    /// On a disk that is not honest the workload need not be what it is named after.
    pub async fn run_on(self, stage: &mut Stage, is_honest: bool) -> Tried {
        let disk = stage.disk.clone();
        disk.count_only_mutations(self.counted == Counted::Mutations);
        let killed = self.arm(&disk, &stage.book);
        let mut runtime = self.workload.run(stage).await;
        let mut tried = Tried { calls: disk.calls(), reads: reads(&disk), ..Tried::default() };
        if self.wrong.is_none() && is_honest {
            self.workload.check(runtime.as_ref());
        }
        let free = || {
            if self.kind() == Some(Kind::FullForAWhile) {
                disk.disarm();
                disk.free_space();
            }
        };
        free();
        tried.violations.extend(runtime.as_ref().and_then(|runtime| self.wrongly_refused(runtime, &disk)));
        let serves = |runtime: &Runtime<Ledger>| runtime.recovery().refused().next().is_none();
        let again = !runtime.as_ref().is_some_and(serves) && !disk.is_power_cut();
        if again {
            // As an application would: try again.
            drop(runtime);
            runtime = stage.open().await;
            stage.reopened_at = disk.calls();
        }
        let mut resolved = false;
        if let Some(runtime) = &runtime {
            // Rolls, so that the manifest is edited too.
            stage.batch(runtime, 3, 400).await;
            let (calls, receipts) = (disk.calls(), stage.book.receipts());
            stage.batch(runtime, 3, 400).await;
            // The fault lies behind: whatever it has made of what was answered is known by now. So do those of the
            // workload itself, unless it was cut short: then they may come at any time.
            let cut_short = again && self.workload.failed_syncs() > 0;
            let behind = !cut_short && self.wrong.is_none_or(|wrong| self.second(wrong.call) < calls);
            resolved = behind && stage.book.receipts() == receipts + 3;
            stage.book.ask_outcomes(runtime).await;
        }
        stage.book.only_reads_failed = self.wrong.is_some_and(|wrong| tried.reads.contains(&wrong.call));
        let trace = disk.trace();
        let hit = || trace.iter().filter(|call| self.hits(call));
        stage.book.cache_lied = self.workload.failed_syncs() > 0 || hit().next().is_some();
        // What a runtime lost that had no time to move its log, the next one cannot know.
        let unresolved = hit().any(|call| call.number <= stage.reopened_at);
        stage.book.sync_failed = stage.book.cache_lied && (!resolved || unresolved);
        tried.receipts = stage.book.receipts();
        // A call that was on its way when space became free may have filled the disk after that.
        free();
        let mut endings = self.endings(&disk, &stage.book);
        endings.extend(killed.lock().unwrap().take());
        drop(runtime);
        for (disk, ending, book) in endings {
            tried.endings += 1;
            let reopening = Reopening { point: self, ending };
            tried.violations.extend(reopening.run(disk, book).await);
        }
        tried
    }

    /// Nothing is damaged, and one read that fails costs a restart at most.
    fn wrongly_refused(&self, runtime: &Runtime<Ledger>, disk: &SimDisk) -> Option<String> {
        let mut refused = runtime.recovery().refused();
        if let Some((shard, error)) = refused.find(|(_, error)| !matches!(error, LogError::Disk(_))) {
            return Some(format!("{self}: {shard} is refused: {error}"));
        }
        let wrong = self.wrong.filter(|wrong| wrong.kind == Kind::ErrorOnce)?;
        let only_read = reads(disk).contains(&wrong.call);
        let stats = runtime.stats();
        let fenced = stats.shards.iter().find(|shard| only_read && shard.refusal == Some(NotExecuted::Fenced))?;
        Some(format!("{self}: {} is fenced", fenced.shard))
    }

    fn kind(&self) -> Option<Kind> {
        self.wrong.map(|wrong| wrong.kind)
    }

    /// Arms the fault; or has the disk and the book as they are when the process is killed put aside.
    fn arm(self, disk: &SimDisk, book: &Book) -> Arc<Mutex<Option<Ended>>> {
        let killed = Arc::default();
        let Some(Wrong { call, kind }) = self.wrong else { return killed };
        let faults = match kind {
            Kind::PowerCut => vec![(call, FaultKind::Crash)],
            Kind::ErrorOnce => vec![(call, FaultKind::ErrorOnce)],
            Kind::TwoErrors => [call, self.second(call)].map(|at| (at, FaultKind::ErrorOnce)).to_vec(),
            Kind::ErrorAfterEffect => vec![(call, FaultKind::ErrorAfterEffect)],
            Kind::ErrorForEver => vec![(call, FaultKind::ErrorForEver)],
            Kind::Full | Kind::FullForAWhile => vec![(call, FaultKind::NoSpace)],
            Kind::Kill => {
                let (slot, disk_then, mut book) = (Arc::clone(&killed), disk.clone(), book.clone());
                book.cache_lied = self.workload.failed_syncs() > 0;
                book.sync_failed = book.cache_lied;
                disk.fail_when(move |seen| {
                    if seen.number == call && seen.operation.is_mutation() {
                        // First what was told, then the disk: others go on.
                        let told = book.copy(book.len());
                        let disk = disk_then.after_kill();
                        told.may_go_back(&book);
                        slot.lock().unwrap().get_or_insert((disk, Ending::Kill, told));
                    }
                    None
                });
                Vec::new()
            }
        };
        for (at, kind) in faults {
            disk.fail(Fault { at, kind });
        }
        killed
    }

    /// Is this a sync that the fault has failed, or that may fail because of it?
    fn hits(&self, call: &Call) -> bool {
        let Some(Wrong { call: first, kind }) = self.wrong else { return false };
        let is_sync = call.operation == Operation::Sync;
        match kind {
            Kind::ErrorOnce => call.number == first && is_sync,
            Kind::TwoErrors => [first, self.second(first)].contains(&call.number) && is_sync,
            // What cannot be read can be synced all the same.
            Kind::ErrorForEver => call.number == first && call.operation.is_mutation(),
            _ => false,
        }
    }

    /// The second of two errors.
    fn second(&self, first: u64) -> u64 {
        first + 1 + self.seed % 4
    }

    fn endings(&self, disk: &SimDisk, book: &Book) -> Vec<Ended> {
        let copy = || book.copy(book.len());
        let mut endings = vec![(disk.crash(self.seed), Ending::PowerCut, copy())];
        if disk.is_power_cut() {
            endings.push((disk.crash(self.seed ^ 0xff), Ending::PowerCut, copy()));
        } else if self.kind() != Some(Kind::Kill) {
            endings.push((disk.after_kill(), Ending::Kill, copy()));
        }
        endings
    }

    /// May opening fail, or a shard be refused, because calls still fail?
    pub fn may_still_fail(&self, ending: Ending) -> bool {
        let lasting = matches!(self.kind(), Some(Kind::ErrorForEver | Kind::Full));
        lasting && ending == Ending::Kill
    }
}

/// Numbers of the counted calls that change nothing.
fn reads(disk: &SimDisk) -> Vec<u64> {
    disk.trace().iter().filter(|call| !call.operation.is_mutation()).map(|call| call.number).collect()
}
