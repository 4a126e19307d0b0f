//! What every test here needs: a runtime on a simulated disk, its book, its actors by name, and its files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay::model::{Epoch, Manifest};
use mainstay::ractor::{ActorCell, registry};
use mainstay::sim::{Call, FaultKind, Operation, SimDisk};
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Options, Receipt, RestartBudget, Runtime, ShardId, ShardStats, SnapshotOptions, SyncPolicy};
use tokio::sync::Mutex;

use crate::book::{Book, Ending, Found};
use crate::complete;
use crate::ledger::Ledger;

/// Crashes looked at, each with another choice of what survives.
pub const SEEDS: std::ops::Range<u64> = 1..9;
const PATIENCE: Duration = Duration::from_secs(20);

/// A runtime, and what is known about it from outside.
pub struct Scene {
    pub disk: SimDisk,
    pub book: Book,
    pub options: Options,
    pub runtime: Runtime<Ledger>,
    /// Prefix of its actors' names.
    name: String,
}

/// Small segments, short deadlines, quick restarts.
pub fn options(policy: SyncPolicy, shards: u32) -> Options {
    Options {
        shards: Some(shards),
        sync: policy,
        segment_bytes: 16 * 1024,
        command_bytes_max: Options::command_bytes_for(16 * 1024),
        lane_bytes: 1 << 20,
        sync_deadline: Duration::from_millis(200),
        view_deadline: Duration::from_millis(200),
        // Some of them hang, and the others go on.
        snapshots: SnapshotOptions { at_once: 8, ..SnapshotOptions::default() },
        restarts: RestartBudget {
            restarts: 100,
            pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(1),
            ..RestartBudget::default()
        },
        ..Options::new("/data")
    }
}

impl Scene {
    pub async fn open(options: Options) -> Self {
        Self::open_on(SimDisk::new(1), options, Book::default()).await
    }

    pub async fn open_on(disk: SimDisk, options: Options, book: Book) -> Self {
        let (runtime, name) = open(&disk, &options).await;
        Self { disk, book, options, runtime, name }
    }

    /// Waits until every shard's writer has begun and has its spare: nothing is going on in the manifest.
    pub async fn settle(&self) {
        // A new generation, and for each shard the first file, its begin and the spare.
        let edits = 1 + 3 * self.runtime.shard_count() as usize;
        until("the spares are registered", || {
            let trace = self.disk.trace();
            let syncs = trace.iter().filter(|call| call.operation == Operation::Sync);
            syncs.filter(|call| is_manifest(&call.path)).count() >= edits
        })
        .await;
    }

    /// Waits until the shard's writer has begun this timeline and has its spare.
    pub async fn begun(&self, shard: u32, epoch: u64) {
        until("the writer begins", || {
            let record = self.manifest().shards[shard as usize].clone();
            let (began, newest) = (record.epochs.last().map(|last| last.segment), record.segments.keys().next_back());
            record.epoch() >= Epoch(epoch) && began.as_ref() < newest
        })
        .await;
    }

    /// What the manifest's files say now, which may be ahead of what is durable.
    pub fn manifest(&self) -> Manifest {
        manifest(&self.disk)
    }

    /// Submits one entry, writes down its answer and expects it to be a receipt.
    pub async fn write(&self, key: &str) -> Receipt<u64> {
        let entry = self.book.entry(key, 20);
        self.book.submit(&self.runtime, entry).await;
        self.book.records().pop().unwrap().answer.unwrap()
    }

    /// Submits so many entries for one key at once, and waits for all answers.
    pub async fn write_many(&self, key: &str, count: usize) {
        let entries = (0..count).map(|_| self.book.entry(key, 20)).collect();
        self.book.submit_all(&self.runtime, entries).await;
    }

    /// Writes until somebody gives a receipt: a death may be on its way.
    pub async fn write_at_last(&self, key: &str) {
        let started = Instant::now();
        let receipts = self.book.receipts();
        while self.book.receipts() == receipts {
            assert!(started.elapsed() < PATIENCE, "it does not serve: {:?}", self.runtime.stats());
            self.write_many(key, 1).await;
        }
    }

    pub fn stats(&self, shard: u32) -> ShardStats {
        self.runtime.stats().shards[shard as usize].clone()
    }

    /// A key of that shard.
    pub fn key(&self, shard: u32) -> String {
        let mut keys = (0..).map(|n| format!("key {n}"));
        keys.find(|key| self.runtime.shard_of(key.as_bytes()) == ShardId(shard)).unwrap()
    }

    /// The file that a shard's log is written to: its header was synced after it was filled.
    pub fn active(&self, shard: u32) -> PathBuf {
        let trace = self.disk.trace();
        let dir = format!("shard-{shard}");
        let synced = trace.iter().filter(|call| call.operation == Operation::Sync);
        let log = synced.filter(|call| is_log(&call.path) && call.path.parent().unwrap().ends_with(&dir));
        let mut paths: Vec<_> = log.map(|call| call.path.clone()).collect();
        let mut seen = BTreeSet::new();
        paths.retain(|path| !seen.insert(path.clone()));
        paths.pop().unwrap()
    }

    /// The shard's or the runtime's actor of that role, in its newest life.
    pub fn actor(&self, role: &str) -> Option<ActorCell> {
        let prefix = format!("{}/{role}", self.name);
        let mut found: Vec<_> = registry::registered()
            .into_iter()
            .filter_map(|name| {
                let life = name.strip_prefix(&prefix)?;
                let life = life.strip_prefix('.').map_or(Some(0), |life| life.parse().ok());
                Some((life.filter(|_| name.len() == prefix.len() || name[prefix.len()..].starts_with('.'))?, name))
            })
            .collect();
        found.sort();
        registry::where_is(found.pop()?.1)
    }

    /// Has the actor of exactly that name ended?
    pub fn is_gone(&self, name: &str) -> bool {
        registry::where_is(format!("{}/{name}", self.name)).is_none()
    }

    /// Kills an actor and waits until its supervisor has begun another life of the pair.
    pub async fn kill_and_wait(&self, role: &str) {
        let before = self.stats(0).restarts;
        self.actor(role).unwrap().kill();
        until("the pair begins anew", || self.stats(0).restarts > before && self.actor("0/shard").is_some()).await;
    }

    /// Asks for every outcome, then crashes the disk in many ways and holds each against the book.
    pub async fn check_after_crashes(&mut self) {
        self.book.ask_outcomes(&self.runtime).await;
        for seed in SEEDS {
            check(&self.disk.crash(seed), &self.options, &self.book, Ending::PowerCut, seed).await;
        }
    }

    /// The same after a kill.
    pub async fn check_after_kill(&mut self) {
        self.book.ask_outcomes(&self.runtime).await;
        check(&self.disk.after_kill(), &self.options, &self.book, Ending::Kill, 0).await;
    }
}

/// Opens a disk, and finds out what the actors are called: names are global to the process, and whoever appears while
/// nobody else opens is ours.
pub async fn open(disk: &SimDisk, options: &Options) -> (Runtime<Ledger>, String) {
    static OPENING: Mutex<()> = Mutex::const_new(());
    let _alone = OPENING.lock().await;
    let before = runtimes();
    let runtime = Runtime::open_on(disk.clone(), Ledger, options.clone()).await.unwrap();
    let name = runtimes().difference(&before).next().unwrap().clone();
    (runtime, name)
}

/// Opens a disk and holds it against the book; writes, crashes and does it again.
pub async fn check(disk: &SimDisk, options: &Options, book: &Book, ending: Ending, seed: u64) {
    let book = book.copy(book.len());
    let mut options = options.clone();
    // Nothing but the disk decides here.
    options.sync_deadline = Duration::from_secs(10);
    let (runtime, _) = open(disk, &options).await;
    assert_eq!(runtime.recovery().refused().count(), 0, "seed {seed}");
    let found = Found::read(&runtime).unwrap();
    assert_eq!(book.check(&found, ending), [""; 0], "seed {seed}");
    assert_eq!(book.check_outcomes(&runtime, &found).await, [""; 0], "seed {seed}");
    let receipts = book.receipts();
    book.submit_all(&runtime, vec![book.entry("after", 20), book.entry("afterwards", 20)]).await;
    assert_eq!(book.receipts(), receipts + 2, "seed {seed}: {:?}", book.records().pop());
    let crashed = disk.crash(seed);
    drop(runtime);
    let (runtime, _) = open(&crashed, &options).await;
    let again = Found::read(&runtime).unwrap();
    assert_eq!(book.check(&again, Ending::PowerCut), [""; 0], "seed {seed}");
    assert_eq!(again.check_begins_with(&found), [""; 0], "seed {seed}");
}

/// The runtimes that have actors.
fn runtimes() -> BTreeSet<String> {
    let names = registry::registered().into_iter();
    names.filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect()
}

/// Waits for a condition that nobody announces.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "it never happens: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|name| name == "seg")
}

pub fn is_snapshot(path: &Path) -> bool {
    path.extension().is_some_and(|name| name == "snap")
}

pub fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("manifest-"))
}

/// Has the first matching call fail, and no other.
pub fn fail_first(disk: &SimDisk, kind: FaultKind, mut matches: impl FnMut(&Call) -> bool + Send + 'static) {
    let mut armed = true;
    disk.fail_when(move |call| {
        let hit = armed && matches(call);
        armed &= !hit;
        hit.then_some(kind)
    });
}

/// What was done to a file after its first failed call, which is the first of that operation from call `from` on.
pub fn writes_after(disk: &SimDisk, path: &Path, operation: Operation, from: u64) -> Vec<Call> {
    let trace = disk.trace();
    let of_file = trace.into_iter().filter(|call| call.path == path && call.number > from);
    let mut failed = false;
    let mut after = Vec::new();
    for call in of_file {
        let writes = matches!(call.operation, Operation::Write | Operation::Sync);
        if failed && writes {
            after.push(call);
        } else {
            failed |= call.operation == operation;
        }
    }
    after
}

/// What the manifest says is there, and nothing else of ours is; every version can be gone back to. Nobody may be
/// writing any more.
pub fn check_at_rest(disk: &SimDisk) {
    let wrong = complete::check(&disk.after_kill(), &Layout::new(Path::new("/data")), &manifest(disk));
    assert_eq!(wrong, [""; 0]);
}

fn manifest(disk: &SimDisk) -> Manifest {
    let disk: Arc<dyn Disk> = Arc::new(disk.after_kill());
    manifest_log::open(&disk, &Layout::new(Path::new("/data"))).unwrap().manifest
}
