//! All points of a workload.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mainstay::SyncPolicy;
use mainstay::sim::SimDisk;

use crate::book::Book;
use crate::mutants::unmutated;
use crate::point::{Counted, Kind, Point, Tried, Wrong};
use crate::stage::Stage;
use crate::workload::Workload;

const POLICIES: [SyncPolicy; 3] =
    [SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(1)), SyncPolicy::Never];
const KINDS: [Kind; 8] = [
    Kind::PowerCut,
    Kind::Kill,
    Kind::ErrorOnce,
    Kind::TwoErrors,
    Kind::ErrorAfterEffect,
    Kind::ErrorForEver,
    Kind::Full,
    Kind::FullForAWhile,
];
/// What may go wrong when the disk is only asked: a lasting error is one of that file's or directory's other reads.
const KINDS_OF_READS: [Kind; 3] = [Kind::PowerCut, Kind::ErrorOnce, Kind::ErrorForEver];
/// So often a workload may fail to be what it is named after.
const DRY_RUNS: u64 = 10;
/// Violations are printed up to this many.
const PRINTED: usize = 100;

/// Points tried at the same time: most of them wait for a deadline now and then.
const WORKERS: usize = 4;

/// What all points came to.
#[derive(Default)]
struct Sum {
    points: usize,
    endings: usize,
    receipts: usize,
    violations: Vec<String>,
}

/// See the module.
pub struct Sweep {
    workload: Workload,
    counted: Counted,
    /// One of so many points is tried.
    stride: usize,
    /// And under the first policy the power goes at every call.
    every_cut: bool,
}

impl Sweep {
    /// Every call that may change what a crash leaves behind.
    pub fn of(workload: Workload) -> Self {
        Self { workload, counted: Counted::Mutations, stride: 1, every_cut: false }
    }

    /// The same, of every so many points one. Coprime to the number of kinds, so that each of them is tried.
    pub fn some_of(workload: Workload, stride: usize) -> Self {
        Self { stride, ..Self::of(workload) }
    }

    /// A power cut at every call under the first policy, and of all else one of so many points.
    pub fn cuts_of(workload: Workload, stride: usize) -> Self {
        Self { stride, every_cut: true, ..Self::of(workload) }
    }

    /// The calls that [`Sweep::of`] leaves out, or one point of so many of them.
    pub fn of_reads(workload: Workload, stride: usize) -> Self {
        Self { stride, counted: Counted::All, ..Self::of(workload) }
    }

    /// Tries every point under every policy, and panics if anything was wrong.
    pub fn run(self) {
        let _unmutated = unmutated();
        let started = Instant::now();
        let mut sum = Sum::default();
        for policy in POLICIES {
            sum.join(self.try_until(policy, usize::MAX));
        }
        println!(
            "{:?} {:?}: {} points, {} endings, {} receipts, {:?}",
            self.workload,
            self.counted,
            sum.points,
            sum.endings,
            sum.receipts,
            started.elapsed()
        );
        // In the message itself, and first in it: often nothing else is kept of a run.
        let printed: Vec<_> = sum.violations.iter().take(PRINTED).map(String::as_str).collect();
        let (printed, count) = (printed.join("\n"), sum.violations.len());
        assert!(sum.violations.is_empty(), "{printed}\n{count} violations");
    }

    /// Something that is wrong under one policy, if anything is.
    pub fn violations(self, policy: SyncPolicy) -> Vec<String> {
        self.try_until(policy, 10).violations
    }

    /// Tries every point, or until so much is wrong.
    fn try_until(&self, policy: SyncPolicy, enough: usize) -> Sum {
        let (base, book) = self.base(policy);
        // Under load a timer may join two syncs into one, and the workload is not what it is named after; then again.
        let mut tries = Vec::new();
        let mut dry_runs = (1..=DRY_RUNS).map(|seed| run(self.point(policy, None, seed), &base, &book));
        let dry = dry_runs.find_map(|dry| {
            if dry.calls > 0 {
                Some(dry)
            } else {
                tries.extend(dry.violations);
                None
            }
        });
        assert!(dry.is_some(), "{}\nnever what it is named after", tries.join("\n"));
        let dry = dry.unwrap();
        println!("{:?} {policy:?}: {} calls, {} of them reads", self.workload, dry.calls, dry.reads.len());
        let points = self.points(policy, &dry);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut sum = Sum::default();
            while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                sum.add(run(*point, &base, &book));
                if sum.violations.len() >= enough {
                    break;
                }
            }
            sum
        };
        let mut sum = Sum::default();
        sum.add(dry);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            workers.into_iter().for_each(|worker| sum.join(worker.join().unwrap()));
        });
        sum
    }

    fn point(&self, policy: SyncPolicy, wrong: Option<Wrong>, seed: u64) -> Point {
        Point { workload: self.workload, policy, counted: self.counted, wrong, seed }
    }

    /// Every call with every kind of fault, or one of so many.
    fn points(&self, policy: SyncPolicy, dry: &Tried) -> Vec<Point> {
        let (calls, kinds): (Vec<_>, &[_]) = match self.counted {
            Counted::Mutations => ((1..=dry.calls).collect(), &KINDS),
            Counted::All => (dry.reads.clone(), &KINDS_OF_READS),
        };
        let mut points = Vec::new();
        for call in calls {
            for (at, kind) in (0..).zip(kinds) {
                points.push(self.point(policy, Some(Wrong { call, kind: *kind }), call * 100 + at));
            }
        }
        let every_cut = self.every_cut && policy == POLICIES[0];
        let is_cut = |point: &Point| point.wrong.is_some_and(|wrong| wrong.kind == Kind::PowerCut);
        let is_tried = |(at, point): &(usize, Point)| at % self.stride == 0 || every_cut && is_cut(point);
        (0..).zip(points).filter(is_tried).map(|(_, point)| point).collect()
    }

    /// Without any fault but the lie, with several seeds. Returns how often that was noticed.
    pub fn on_a_lying_disk(self, lie: impl Fn(&SimDisk)) -> usize {
        let mut noticed = 0;
        for seed in 1..=8 {
            let policy = SyncPolicy::Always;
            let point = self.point(policy, None, seed);
            let (base, book) = self.base(policy);
            let disk = base.crash(seed);
            lie(&disk);
            let mut stage =
                Stage { disk, policy, shards: self.workload.shards(), book, reopened_at: 0, is_patient: false };
            let tried = block_on(seed, point.run_on(&mut stage, false));
            noticed += usize::from(!tried.violations.is_empty());
        }
        noticed
    }

    /// The disk that the workload starts from, everything on it durable, and what was answered there.
    pub fn base(&self, policy: SyncPolicy) -> (SimDisk, Book) {
        let mut stage = Stage {
            disk: SimDisk::new(7),
            policy,
            shards: self.workload.shards(),
            book: Book::default(),
            reopened_at: 0,
            is_patient: true,
        };
        block_on(1, self.workload.prepare(&mut stage));
        (stage.disk.crash(7), stage.book)
    }
}

impl Sum {
    fn add(&mut self, tried: Tried) {
        self.points += 1;
        self.endings += tried.endings;
        self.receipts += tried.receipts;
        self.violations.extend(tried.violations);
    }

    fn join(&mut self, other: Self) {
        self.points += other.points;
        self.endings += other.endings;
        self.receipts += other.receipts;
        self.violations.extend(other.violations);
    }
}

fn run(point: Point, base: &SimDisk, book: &Book) -> Tried {
    let run = || block_on(point.seed, point.run(base, book));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(tried) => tried,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
            Tried { violations: vec![format!("{point}: a panic: {text}")], ..Tried::default() }
        }
    }
}

/// On a runtime of its own, which ends with it. A third of the seeds has more than one thread.
pub fn block_on<T>(seed: u64, work: impl Future<Output = T>) -> T {
    let mut runtime = if seed.is_multiple_of(3) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    runtime.worker_threads(2).enable_time().build().unwrap().block_on(work)
}
