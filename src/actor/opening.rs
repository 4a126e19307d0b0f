//! Opening a directory: lock it, read or make its manifest, recover every shard.
//!
//! Blocking, and called on a thread where that is allowed. Nothing is changed before everything was read; a shard whose
//! log is refused does not keep the others from opening.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::cold_files::Pages;
use super::replay::{Replayed, Replaying, ShardRecovery, SpillTo, Until};
use super::slot::Entity;
use crate::config::{MemoryLimits, Options, TooLittle};
use crate::error::OpenError;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, DirectoryId, Incarnation, Lsn, Manifest, Routing, ShardId};
use crate::state::KeyHasher;
use crate::storage::disk::{DirectoryLock, Disk};
use crate::storage::error::{IoContext, LogError};
use crate::storage::layout::Layout;
use crate::storage::{manifest_log, recovery};
use crate::sync::Arc;

/// Shards of a new directory, unless the options say otherwise.
const SHARDS: u32 = 1;
/// Pause between two attempts to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What recovery found, over all shards.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// One a shard, in order.
    pub shards: Vec<ShardRecovery>,
    /// How long opening took, shards in parallel: from the first look at the directory, waiting for its lock included,
    /// until the last shard was read.
    pub duration: Duration,
}

impl RecoveryReport {
    /// The shards whose logs were refused, and why.
    pub fn refused(&self) -> impl Iterator<Item = (ShardId, &LogError)> {
        self.shards.iter().filter_map(|shard| Some((shard.shard, shard.refused.as_deref()?)))
    }
}

/// An opened directory.
pub(crate) struct Opened<E> {
    pub(crate) layout: Layout,
    pub(crate) lock: Arc<dyn DirectoryLock>,
    pub(crate) manifest: manifest_log::Opened,
    pub(crate) hasher: KeyHasher,
    pub(crate) memory: MemoryLimits,
    pub(crate) pages: Arc<Pages>,
    /// In order; none where the log was refused.
    pub(crate) shards: Vec<Option<Replayed<E>>>,
    pub(crate) report: RecoveryReport,
}

/// Opens a directory.
pub(crate) fn open<M: StateMachine>(
    machine: &Arc<M>,
    disk: &Arc<dyn Disk>,
    options: &Options,
) -> Result<Opened<Entity<M>>, OpenError> {
    let started = Instant::now();
    options.validate()?;
    let limit = options.memory.limit();
    // More shards need more: what is too little now is refused before anything is made.
    divide(limit, options.shards.unwrap_or(SHARDS), options)?;
    let layout = Layout::new(&options.dir);
    make_directory(disk.as_ref(), &layout)?;
    if let Some(kind) = disk.refused_file_system(layout.root()).context("look at the file system of", layout.root())? {
        return Err(OpenError::NetworkFileSystem { path: layout.root().to_owned(), kind });
    }
    let lock = lock(disk.as_ref(), &layout, options.lock_wait)?;
    let manifest = open_manifest(disk, &layout, options)?;
    let shards = manifest.manifest.shards.len() as u32;
    let memory = divide(limit, shards, options)?;
    announce(&memory, shards);
    let hasher = KeyHasher::new(&manifest.manifest.routing, shards);
    let pages = Pages::new(memory.cache_bytes);
    // Nobody else makes files yet.
    let number = |shard| manifest.manifest.shard(shard).map_or(ColdSeq(1), |record| record.next_cold);
    let spill = memory.spill_from(options).map(|from| SpillTo { from, batch: memory.spill_batch(), number: &number });
    let replaying = Replaying {
        machine,
        disk: disk.as_ref(),
        layout: &layout,
        manifest: &manifest.manifest,
        poison: options.poison,
        digest: options.digest,
        pages: &pages,
        spill,
        allowance: None,
        whole: false,
    };
    let recovered = replaying.all(|_| Until::End(None));
    let mut opened = Vec::new();
    let mut reports = Vec::new();
    for (shard, recovered) in (0..shards).map(ShardId).zip(recovered) {
        match recovered {
            Ok(mut replayed) => {
                let recorded = manifest.manifest.shard(shard).map_or(Incarnation(0), |record| record.incarnation);
                replayed.findings.extend(replayed.claim(recorded.next()));
                reports.push(replayed.report.clone());
                opened.push(Some(replayed));
            }
            Err(error) => {
                tracing::error!(shard = shard.0, %error, "the shard is refused");
                reports.push(refused(shard, error));
                opened.push(None);
            }
        }
    }
    // Beside a shard that is refused nothing is removed: left-overs may be what it takes to repair it.
    if opened.iter().all(Option::is_some) {
        sweep(disk.as_ref(), &layout, &known(&manifest.manifest, &opened))?;
    }
    let report = RecoveryReport { shards: reports, duration: started.elapsed() };
    Ok(Opened { layout, lock, manifest, hasher, memory, pages, shards: opened, report })
}

fn divide(limit: Option<u64>, shards: u32, options: &Options) -> Result<MemoryLimits, OpenError> {
    let too_little = |TooLittle { limit, needed }| OpenError::Memory { limit, needed };
    MemoryLimits::new(limit, shards, options).map_err(too_little)
}

/// Says what the memory is for: bytes, of each shard but for the limit.
fn announce(memory: &MemoryLimits, shards: u32) {
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    tracing::info!(
        limit = bytes(memory.limit),
        shards,
        state = bytes(memory.state_bytes),
        lane = memory.lane_bytes,
        log = memory.log_bytes,
        snapshot_overlap = bytes(memory.overlap_bytes),
        cache_of_all = memory.cache_bytes,
        "memory limit, and the parts of each shard"
    );
}

/// What the manifest will say when it has learned of the files that recovery has made.
fn known<E>(manifest: &Manifest, opened: &[Option<Replayed<E>>]) -> Manifest {
    let mut known = manifest.clone();
    for edit in opened.iter().flatten().flat_map(|replayed| &replayed.findings) {
        // What is declined now is declined then, and the directory does not open.
        let _ = known.apply(edit);
    }
    known
}

fn sweep(disk: &dyn Disk, layout: &Layout, manifest: &Manifest) -> Result<(), OpenError> {
    for shard in (0..manifest.shards.len() as u32).map(ShardId) {
        let swept = recovery::sweep(disk, layout, manifest, shard)?;
        if swept > 0 {
            tracing::info!(shard = shard.0, swept, "left-over files removed");
        }
    }
    Ok(())
}

fn refused(shard: ShardId, error: LogError) -> ShardRecovery {
    ShardRecovery {
        shard,
        next: Lsn::FIRST,
        snapshot: None,
        entries: 0,
        damaged_snapshots: Vec::new(),
        commands: 0,
        bytes: 0,
        torn_bytes: 0,
        poison_skipped: 0,
        duration: Duration::ZERO,
        refused: Some(Arc::new(error)),
    }
}

fn make_directory(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    let root = layout.root();
    match disk.list(root) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotADirectory { path: root.to_owned() });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return Ok(other.map(drop).context("list", root)?),
    }
    Ok(disk.create_dir(root).context("create", root)?)
}

/// Makes the directory's own name durable. Not only by whoever has made the directory: an attempt before this one may
/// have failed in between.
fn sync_parent(disk: &dyn Disk, layout: &Layout) -> Result<(), OpenError> {
    let Some(parent) = layout.root().parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok(disk.sync_dir(parent).context("sync", parent)?)
}

fn lock(disk: &dyn Disk, layout: &Layout, wait: Duration) -> Result<Arc<dyn DirectoryLock>, OpenError> {
    let (path, started) = (layout.lock(), Instant::now());
    loop {
        match disk.lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if started.elapsed() >= wait {
                    return Err(OpenError::Locked { path });
                }
                thread::sleep(LOCK_PAUSE);
            }
            other => return Ok(Arc::from(other.context("lock", &path)?)),
        }
    }
}

fn open_manifest(disk: &Arc<dyn Disk>, layout: &Layout, options: &Options) -> Result<manifest_log::Opened, OpenError> {
    if !manifest_log::exists(disk.as_ref(), layout)? {
        sync_parent(disk.as_ref(), layout)?;
        let manifest = new_manifest(layout, options.shards.unwrap_or(SHARDS))?;
        let log = manifest_log::create(disk, layout, &manifest)?;
        return Ok(manifest_log::Opened { log, manifest, torn: false });
    }
    let opened = manifest_log::open(disk, layout)?;
    let found = opened.manifest.shards.len() as u32;
    let wanted = options.shards.unwrap_or(found);
    if found != wanted {
        return Err(OpenError::ShardCount { found, wanted });
    }
    let routing = opened.manifest.routing.id;
    if routing != KeyHasher::ROUTING_ID {
        return Err(OpenError::UnknownRouting { found: routing });
    }
    Ok(opened)
}

fn new_manifest(layout: &Layout, shards: u32) -> Result<Manifest, OpenError> {
    let (mut directory, mut key) = ([0; 16], [0; 16]);
    for random in [&mut directory, &mut key] {
        getrandom::fill(random).map_err(io::Error::other).context("make a random key for", layout.root())?;
    }
    let routing = Routing { id: KeyHasher::ROUTING_ID, key };
    Ok(Manifest::new(DirectoryId(directory), routing, shards))
}
