//! What was saved and rewritten, and when: for `LASTSAVE` and `INFO`, and so that nothing runs twice at a time.
//!
//! Snapshots that the runtime takes by itself are found in its statistics. Those of a `SAVE` or `BGSAVE` are there too,
//! shard by shard; so while one runs nothing is taken over from there, and the time of the last save does not change
//! before all shards are done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mainstay::kv::{self, Kv};
use mainstay::{Runtime, ShardStats};

/// What can be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Save,
    InBackground,
    Rewrite,
}

/// Something that may be running, and how it ended the last time.
#[derive(Clone, Default)]
pub struct Course {
    pub since: Option<Instant>,
    /// Those that succeeded.
    pub count: u64,
    pub failed: bool,
    pub took: Option<Duration>,
}

impl Course {
    fn end(&mut self, ok: bool, took: Option<Duration>) {
        self.count += u64::from(ok);
        self.failed = !ok;
        self.took = took.or(self.took);
    }
}

/// What is known at a moment.
#[derive(Clone)]
pub struct Page {
    /// Unix seconds of the last save, or of the start.
    pub last_save_s: u64,
    /// Saves of all shards, and those that the runtime took by itself.
    pub saves: Course,
    pub rewrites: Course,
    /// How many saves and rewrites are under way: their snapshots are none that the runtime takes by itself.
    saving: usize,
    /// Snapshots of each shard that were looked at.
    seen: Vec<u64>,
}

/// See the module.
pub struct Ledger {
    runtime: Runtime<Kv>,
    page: Mutex<Page>,
}

/// Something that is under way. Dropped before its [end](Self::end), it has failed.
pub struct Running {
    ledger: Arc<Ledger>,
    kind: Kind,
    began: Instant,
    ok: bool,
}

impl Ledger {
    pub fn new(runtime: Runtime<Kv>) -> Self {
        let page = Page {
            last_save_s: now_s(),
            saves: Course::default(),
            rewrites: Course::default(),
            saving: 0,
            seen: Vec::new(),
        };
        Self { runtime, page: Mutex::new(page) }
    }

    pub fn runtime(&self) -> &Runtime<Kv> {
        &self.runtime
    }

    /// What is known now.
    pub fn look(&self) -> Page {
        self.lock().clone()
    }

    /// `None`: one is running already.
    pub fn begin(self: &Arc<Self>, kind: Kind) -> Option<Running> {
        let began = Instant::now();
        let mut page = self.lock();
        let course = if kind == Kind::Rewrite { &mut page.rewrites } else { &mut page.saves };
        if course.since.is_some() {
            return None;
        }
        if kind != Kind::Save {
            course.since = Some(began);
        }
        page.saving += 1;
        Some(Running { ledger: Arc::clone(self), kind, began, ok: false })
    }

    /// The page, with what the runtime has done by itself meanwhile.
    fn lock(&self) -> MutexGuard<'_, Page> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        page.look_at(&self.runtime.stats().shards);
        page
    }
}

impl Page {
    fn look_at(&mut self, shards: &[ShardStats]) {
        self.seen.resize(shards.len(), 0);
        for (seen, shard) in self.seen.iter_mut().zip(shards) {
            let new = shard.snapshots.saturating_sub(*seen);
            *seen = shard.snapshots;
            if let (1.., 0, Some(last)) = (new, self.saving, &shard.last_snapshot) {
                self.last_save_s = self.last_save_s.max(last.time.as_millis() / 1_000);
                self.saves.end(true, Some(last.duration));
                self.saves.count += new - 1;
            }
        }
    }
}

impl Running {
    /// It is over.
    pub fn end(mut self, ok: bool) {
        self.ok = ok;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut page = self.ledger.lock();
        let took = Some(self.began.elapsed());
        page.saving -= 1;
        match self.kind {
            Kind::Rewrite => {
                page.rewrites.since = None;
                return page.rewrites.end(self.ok, took);
            }
            Kind::InBackground => {
                page.saves.since = None;
                page.saves.end(self.ok, took);
            }
            // Redis tells how long a save took only if it ran in the background.
            Kind::Save => page.saves.end(self.ok, None),
        }
        if self.ok {
            page.last_save_s = now_s();
        }
    }
}

fn now_s() -> u64 {
    kv::wall_clock().as_millis() / 1_000
}
