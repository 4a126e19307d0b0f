//! The thread that streams a root to a file.
//!
//! It looks now and then whether it is to end, and how fast it may write. Nobody waits for it but who wants the file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::actor::clock::Clock;
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::{Entity, Slot, SnapshotStats};
use crate::machine::StateMachine;
use crate::model::{Digest, Position, ShardId, SnapshotRecord, SnapshotSeq};
use crate::protocol::snapshot::Failure;
use crate::state::{Root, StateDigest};
use crate::storage::codec;
use crate::storage::error::{DiskError, IoContext};
use crate::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How much the thread gives way to those that serve.
const NICE: i32 = 10;
/// Longer it does not sleep without a look.
const NAP: Duration = Duration::from_millis(20);

/// Has a job end early.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    flag: AtomicBool,
    memory: AtomicBool,
    told: Notify,
}

/// What is to be written.
pub(crate) struct Work<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) slot: Arc<Slot<M>>,
    pub(crate) root: Arc<Root<Entity<M>>>,
    /// The root's end, as the manifest names it.
    pub(crate) end: Position,
    /// Take a digest, if the root has none.
    pub(crate) scan: bool,
}

type Written = (SnapshotSeq, SnapshotRecord, SnapshotStats);

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.flag.store(true, Ordering::Release);
        self.told.notify_waiters();
        self.told.notify_one();
    }

    /// The same, because it keeps too much memory alive.
    pub(crate) fn cancel_for_memory(&self) {
        if !self.memory.swap(true, Ordering::AcqRel) {
            self.cancel();
        }
    }

    /// Why it was cancelled.
    pub(crate) fn why(&self) -> Failure {
        if self.memory.load(Ordering::Acquire) { Failure::Memory } else { Failure::Cancelled }
    }

    fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub(crate) async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.told.notified().await;
        }
    }
}

/// Writes it on a thread of its own. When it returns `Ok` the file and its name are durable.
pub(crate) async fn start<M: StateMachine>(work: Work<M>, cancel: Arc<Cancel>) -> Result<Written, Failure> {
    let (done, written) = oneshot::channel();
    let shard = work.slot.shard.0;
    let name = format!("{}/{shard}/snapshot", work.commons.name);
    let told = Arc::clone(&cancel);
    let thread = thread::Builder::new().name(name).spawn(move || {
        // It has time. Where that is not to be had it is as urgent as the others.
        let _ = rustix::process::nice(NICE);
        let limit = work.commons.options.snapshots.overlap_bytes;
        let _counted = work.slot.overlaps.register(&work.root, limit, &cancel);
        // The application's `Serialize`, all of it.
        let written = catch_unwind(AssertUnwindSafe(|| work.write(&cancel)));
        let _ = done.send(written.unwrap_or(Err(NotWritten::Panic)));
    });
    let written = match thread {
        Ok(_) => written.await.unwrap_or(Err(NotWritten::Panic)),
        Err(error) => Err(NotWritten::Thread(error)),
    };
    written.map_err(|why| match why {
        NotWritten::Cancelled => told.why(),
        error => {
            tracing::error!(shard, %error, "a snapshot failed");
            Failure::Failed
        }
    })
}

/// Removes a file that nobody names.
pub(crate) fn remove<M: StateMachine>(commons: &Arc<Commons<M>>, shard: ShardId, snapshot: SnapshotSeq) {
    let commons = Arc::clone(commons);
    tokio::task::spawn_blocking(move || {
        let path = commons.layout.snapshot(shard, snapshot);
        // What stays is an orphan, swept by a later open.
        if let Err(error) = commons.disk.remove(&path) {
            tracing::warn!(%error, file = %path.display(), "cannot delete");
        }
    });
}

#[derive(Debug, thiserror::Error)]
enum NotWritten {
    #[error("it was cancelled")]
    Cancelled,
    #[error("an entity panicked")]
    Panic,
    #[error("no thread: {0}")]
    Thread(io::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("an entity cannot be encoded: {0}")]
    Entity(codec::CodecError),
}

impl<M: StateMachine> Work<M> {
    fn write(&self, cancel: &Cancel) -> Result<Written, NotWritten> {
        let started = Instant::now();
        let (snapshot, mut writer) = self.create()?;
        let mut looked_at = 0;
        let mut scanned = (self.scan && self.root.digest().is_none()).then(StateDigest::new);
        for entry in self.root.map().iter() {
            let value = codec::encode(entry.value()).map_err(NotWritten::Entity)?;
            if cancel.is_cancelled() {
                return Err(NotWritten::Cancelled);
            }
            writer.entry(entry.key(), &value)?;
            if let Some(digest) = &mut scanned {
                digest.add(entry.key(), &value);
            }
            if writer.written() > looked_at {
                looked_at = writer.written();
                self.slot.counters.snapshot_bytes.set(looked_at);
                self.pause(started, looked_at, cancel)?;
            }
        }
        if cancel.is_cancelled() {
            return Err(NotWritten::Cancelled);
        }
        let finishing = Instant::now();
        let digest = self.root.digest().or(scanned.map(|digest| digest.hash()));
        let written = writer.finish(digest)?;
        let stats = SnapshotStats {
            end: self.end,
            time: Clock::wall(),
            bytes: written.bytes,
            entries: written.entries,
            duration: started.elapsed(),
            syncing: finishing.elapsed(),
        };
        let record = SnapshotRecord {
            end: self.end,
            bytes: written.bytes,
            entries: written.entries,
            hash: written.hash,
            digest: digest.map(|hash| Digest { hash, schema: M::SCHEMA }),
        };
        Ok((snapshot, record, stats))
    }

    /// A file of a number that no other has.
    fn create(&self) -> Result<(SnapshotSeq, SnapshotWriter<'_>), NotWritten> {
        let manifest = self.commons.keeper.manifest();
        let (shard, layout) = (self.slot.shard, &self.commons.layout);
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(io::Error::other).context("make a salt for", layout.root())?;
        loop {
            let snapshot = self.slot.next_snapshot(&manifest);
            let header = SnapshotHeader {
                directory: manifest.directory,
                shard,
                snapshot,
                schema: M::SCHEMA,
                end: self.end,
                time: self.root.time(),
                salt,
            };
            match SnapshotWriter::create(self.commons.disk.as_ref(), layout, header) {
                // An orphan that could not be swept: its number is taken.
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((snapshot, created?)),
            }
        }
    }

    /// Keeps the rate, and looks whether to go on.
    fn pause(&self, started: Instant, written: u64, cancel: &Cancel) -> Result<(), NotWritten> {
        let rate = self.commons.options.snapshots.bytes_per_second;
        loop {
            if cancel.is_cancelled() {
                return Err(NotWritten::Cancelled);
            }
            if rate == 0 {
                return Ok(());
            }
            let due = Duration::from_secs_f64(written as f64 / rate as f64);
            let Some(early) = due.checked_sub(started.elapsed()) else { return Ok(()) };
            thread::sleep(early.min(NAP));
        }
    }
}
