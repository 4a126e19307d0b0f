//! The thread that [streams](super::streaming) a root to a file, and lets go of what it has written.
//!
//! Nobody waits for it but who wants the file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Cancel;
use super::streaming::{NotWritten, Streaming};
use crate::actor::clock::Clock;
use crate::actor::overlap::KeptRoot;
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::SnapshotStats;
use crate::machine::StateMachine;
use crate::model::{Digest, Position, ShardId, SnapshotRecord, SnapshotSeq};
use crate::protocol::snapshot::Failure;
use crate::state::StateDigest;
use crate::storage::error::IoContext;
use crate::storage::snapshot::{SnapshotHeader, SnapshotWriter};
use crate::sync::Arc;

/// How much the thread gives way to those that serve.
const NICE: i32 = 10;

/// What is to be written.
pub(crate) struct Work<M: StateMachine> {
    pub(crate) commons: Arc<Commons<M>>,
    pub(crate) root: KeptRoot<M>,
    /// The root's end, as the manifest names it.
    pub(crate) end: Position,
    /// Take a digest, if the root has none and all of it is in memory.
    pub(crate) scan: bool,
}

/// A file, with what the manifest and whoever asks learn of it.
pub(super) type Written = (SnapshotSeq, SnapshotRecord, SnapshotStats);

/// The right to write one, until it is dropped.
pub(crate) type Turn = OwnedSemaphorePermit;

/// Waits for a turn.
pub(crate) async fn turn<M: StateMachine>(commons: &Commons<M>, cancel: &Cancel) -> Result<Turn, Failure> {
    let turn = Arc::clone(&commons.turns).acquire_owned();
    tokio::select! {
        turn = turn => turn.map_err(|_| Failure::Failed),
        () = cancel.cancelled() => Err(cancel.why()),
    }
}

/// Writes it on a thread of its own. When it returns `Ok` the file and its name are durable.
pub(crate) async fn start<M: StateMachine>(work: Work<M>, turn: Turn) -> Result<Written, Failure> {
    let (done, mut written) = oneshot::channel();
    let shard = work.root.slot().shard.0;
    let name = format!("{}/{shard}/snapshot", work.commons.name);
    let cancel = Arc::clone(work.root.cancel());
    let thread = thread::Builder::new().name(name).spawn(move || {
        // It has time. Where that is not to be had it is as urgent as the others.
        let _ = rustix::process::nice(NICE);
        // The application's `Serialize`, all of it.
        let written = catch_unwind(AssertUnwindSafe(move || work.write()));
        let _ = done.send(written.unwrap_or(Err(NotWritten::Panic)));
    });
    if let Err(error) = thread {
        return Err(failure(shard, &NotWritten::Thread(error), &cancel));
    }
    let ended = tokio::select! {
        ended = &mut written => ended,
        () = cancel.cancelled() => {
            // It may hang, and the others do not wait for that.
            drop(turn);
            written.await
        }
    };
    ended.unwrap_or(Err(NotWritten::Panic)).map_err(|why| failure(shard, &why, &cancel))
}

fn failure(shard: u32, why: &NotWritten, cancel: &Cancel) -> Failure {
    if let NotWritten::Cancelled = why {
        let why = cancel.why();
        if why == Failure::Memory {
            tracing::error!(shard, "a snapshot was given up: it kept too much memory alive");
        }
        return why;
    }
    tracing::error!(shard, error = %why, "a snapshot failed");
    Failure::Failed
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

impl<M: StateMachine> Work<M> {
    fn write(self) -> Result<Written, NotWritten> {
        let started = Instant::now();
        let Self { commons, root, end, scan } = self;
        let (slot, cancel) = (Arc::clone(root.slot()), Arc::clone(root.cancel()));
        let (snapshot, writer) = create(&commons, &root, end)?;
        let digest = root.root().digest();
        // To scan what is not in memory would be to read all of it.
        let scans = scan && digest.is_none() && root.root().map().cold() == 0;
        let rate = commons.options.snapshots.bytes_per_second;
        let scanned = scans.then(StateDigest::new);
        let mut streaming = Streaming { writer, scanned, entries: 0, started, rate, cancel: &cancel };
        let left = root.into_parts();
        for part in left.stream() {
            streaming.part(&part, &slot.counters.snapshot_bytes)?;
        }
        if cancel.is_cancelled() {
            return Err(NotWritten::Cancelled);
        }
        let digest = digest.or(streaming.scanned.map(|digest| digest.hash()));
        let written = streaming.writer.finish(digest)?;
        let stats = SnapshotStats {
            end,
            time: Clock::wall(),
            bytes: written.bytes,
            entries: written.entries,
            duration: started.elapsed(),
            syncing: written.syncing,
        };
        let record = SnapshotRecord {
            end,
            bytes: written.bytes,
            entries: written.entries,
            hash: written.hash,
            digest: digest.map(|hash| Digest { hash, schema: M::SCHEMA }),
            cold: written.cold,
        };
        Ok((snapshot, record, stats))
    }
}

/// A file of a number that no other has.
fn create<'c, M: StateMachine>(
    commons: &'c Commons<M>,
    root: &KeptRoot<M>,
    end: Position,
) -> Result<(SnapshotSeq, SnapshotWriter<'c>), NotWritten> {
    let manifest = commons.keeper.manifest();
    let (shard, layout) = (root.slot().shard, &commons.layout);
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(io::Error::other).context("make a salt for", layout.root())?;
    loop {
        let snapshot = root.slot().next_snapshot(&manifest);
        let header = SnapshotHeader {
            directory: manifest.directory,
            shard,
            snapshot,
            schema: M::SCHEMA,
            end,
            time: root.root().time(),
            salt,
        };
        match SnapshotWriter::create(commons.disk.as_ref(), layout, header) {
            // An orphan that could not be swept: its number is taken.
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            created => return Ok((snapshot, created?)),
        }
    }
}
