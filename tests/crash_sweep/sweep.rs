//! All points of a workload.

use std::time::{Duration, Instant};

use mainstay::SyncPolicy;
use mainstay::sim::{FaultKind, SimDisk};

use crate::book::Book;
use crate::point::{Point, Tried, Wrong};
use crate::workload::{Stage, Workload};

const POLICIES: [SyncPolicy; 3] =
    [SyncPolicy::Always, SyncPolicy::Interval(Duration::from_millis(1)), SyncPolicy::Never];
const KINDS: [(FaultKind, bool); 6] = [
    (FaultKind::Crash, false),
    (FaultKind::ErrorOnce, false),
    (FaultKind::ErrorAfterEffect, false),
    (FaultKind::ErrorForEver, false),
    (FaultKind::NoSpace, false),
    (FaultKind::NoSpace, true),
];
/// Violations are printed up to this many.
const PRINTED: usize = 100;

/// See the module.
pub struct Sweep {
    workload: Workload,
}

impl Sweep {
    pub fn of(workload: Workload) -> Self {
        Self { workload }
    }

    /// Tries every point and panics if anything was wrong.
    pub fn run(self) {
        let started = Instant::now();
        let (mut points, mut endings, mut receipts) = (0, 0, 0);
        let mut violations = Vec::new();
        for policy in POLICIES {
            let (base, book) = self.base(policy);
            let dry =
                run(Point { workload: self.workload, policy, wrong: None, seed: 1 }, &base, &book);
            assert!(dry.violations.is_empty(), "{:#?}", dry.violations);
            let calls = dry.calls;
            for call in 1..=calls {
                for (at, (kind, free_space)) in (0..).zip(KINDS) {
                    let wrong = Some(Wrong { call, kind, free_space });
                    let seed = call * 100 + at;
                    let point = Point { workload: self.workload, policy, wrong, seed };
                    let tried = run(point, &base, &book);
                    points += 1;
                    endings += tried.endings;
                    receipts += tried.receipts;
                    violations.extend(tried.violations);
                }
            }
            println!("{:?} {policy:?}: {calls} calls, {:?}", self.workload, started.elapsed());
        }
        println!(
            "{:?}: {points} points, {endings} endings, {receipts} receipts, {:?}",
            self.workload,
            started.elapsed()
        );
        for violation in violations.iter().take(PRINTED) {
            println!("{violation}");
        }
        assert!(violations.is_empty(), "{} violations", violations.len());
    }

    /// Without any fault but the lie, with several seeds. Returns how often that was noticed.
    pub fn on_a_lying_disk(self, lie: impl Fn(&SimDisk)) -> usize {
        let mut noticed = 0;
        for seed in 1..=8 {
            let policy = SyncPolicy::Always;
            let point = Point { workload: self.workload, policy, wrong: None, seed };
            let (base, book) = self.base(policy);
            let disk = base.crash(seed);
            lie(&disk);
            let mut stage = Stage { disk, policy, shards: self.workload.shards(), book };
            let tried = block_on(point.run_on(&mut stage));
            noticed += usize::from(!tried.violations.is_empty());
        }
        noticed
    }

    /// The disk that the workload starts from, everything on it durable, and what was answered there.
    fn base(&self, policy: SyncPolicy) -> (SimDisk, Book) {
        let mut stage = Stage {
            disk: SimDisk::new(7),
            policy,
            shards: self.workload.shards(),
            book: Book::default(),
        };
        block_on(self.workload.prepare(&mut stage));
        (stage.disk.crash(7), stage.book)
    }
}

fn run(point: Point, base: &SimDisk, book: &Book) -> Tried {
    let run = || block_on(point.run(base, book));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(tried) => tried,
        Err(_) => Tried { violations: vec![format!("{point}: a panic")], ..Tried::default() },
    }
}

/// On a runtime of its own, which ends with it.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(work)
}
