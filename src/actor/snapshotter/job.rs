//! One snapshot, from the wish for a root to a file that the manifest may adopt.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::Cancel;
use super::prune;
use super::worker::{self, Turn, Work, Written};
use crate::actor::overlap::KeptRoot;
use crate::actor::pins::Pins;
use crate::actor::progress;
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::{Entity, Slot, SnapshotStats};
use crate::machine::StateMachine;
use crate::model::{Epoch, Lsn, Manifest, Position, ShardId, ShardRecord, SnapshotRecord, SnapshotSeq};
use crate::protocol::snapshot::{Failure, Progress, Taken};
use crate::state::Root;
use crate::sync::Arc;
use crate::sync::published::Positioned;

/// Longer nobody waits for a root.
const ROOT_WAIT: Duration = Duration::from_secs(30);

/// A file that is whole, and durable if its directory is.
pub(crate) struct Finished<M: StateMachine> {
    pub(crate) snapshot: SnapshotSeq,
    pub(crate) record: SnapshotRecord,
    pub(crate) taken: Taken,
    pub(crate) stats: SnapshotStats,
    /// The cold files that it refers to stay until it is adopted.
    pub(crate) pins: Pins<M>,
}

/// See the module.
pub(super) struct TakeJob<M: StateMachine> {
    pub(super) commons: Arc<Commons<M>>,
    pub(super) slot: Arc<Slot<M>>,
    pub(super) cancel: Arc<Cancel>,
    pub(super) log_bytes: u64,
}

impl<M: StateMachine> TakeJob<M> {
    /// `None`: there is nothing that the last one does not hold.
    pub(super) async fn run(self, begun: impl FnOnce() + Send) -> Result<Option<Box<Finished<M>>>, Failure> {
        let turn = worker::turn(&self.commons, &self.cancel).await?;
        begun();
        // Counted before the root is there: what comes in between counts for the next one.
        let log_bytes = self.log_bytes + self.slot.counters.wal_bytes.get();
        let pins = Pins::new(&[Arc::clone(&self.slot)]);
        let root = self.root().await?;
        let manifest = self.commons.keeper.manifest();
        let newest = manifest.shard(self.slot.shard).and_then(ShardRecord::newest_snapshot);
        if root.end().lsn <= newest.map_or(Lsn::FIRST, |(_, record)| record.end.lsn) {
            return Ok(None);
        }
        let at = root.end();
        let (pins, (snapshot, record, stats)) = self.written(self.work(root), turn, pins).await?;
        let end = record.end;
        let synced = tokio::select! {
            synced = progress::synced(&self.slot, at) => synced.map_err(|_| Failure::Declined),
            () = self.cancel.cancelled() => Err(self.cancel.why()),
        };
        if let Err(failure) = synced {
            worker::remove(&self.commons, self.slot.shard, snapshot);
            return Err(failure);
        }
        let taken = Taken { at: Progress { end: end.lsn, log_bytes }, bytes: record.bytes };
        Ok(Some(Box::new(Finished { snapshot, record, taken, stats, pins })))
    }

    /// Has it written. Once it is cancelled nothing is pinned for it any more, however long its thread hangs, and what
    /// the thread makes in the end is of no use.
    async fn written(&self, work: Work<M>, turn: Turn, pins: Pins<M>) -> Result<(Pins<M>, Written), Failure> {
        let mut writing = pin!(worker::start(work, turn));
        let ended = tokio::select! {
            written = &mut writing => Some(written),
            () = self.cancel.cancelled() => None,
        };
        if let Some(written) = ended {
            return written.map(|written| (pins, written));
        }
        drop(pins);
        // Who wanted to drop something meanwhile was not heard.
        let ((), written) = tokio::join!(prune::prune(&self.commons.keeper, &self.slot), writing);
        let (snapshot, ..) = written?;
        worker::remove(&self.commons, self.slot.shard, snapshot);
        Err(self.cancel.why())
    }

    /// A root with everything that was answered before.
    async fn root(&self) -> Result<Arc<Root<Entity<M>>>, Failure> {
        let wanted = self.slot.life().answered();
        progress::ask(&self.slot);
        let root = progress::fresh(&self.slot, wanted, 0, Instant::now() + ROOT_WAIT);
        tokio::select! {
            root = root => root.map_err(|_| Failure::Failed),
            () = self.cancel.cancelled() => Err(self.cancel.why()),
        }
    }

    fn work(&self, root: Arc<Root<Entity<M>>>) -> Work<M> {
        let end = recorded_end(&self.commons.keeper.manifest(), self.slot.shard, root.end());
        let limit = self.commons.memory.overlap_bytes;
        let root = KeptRoot::new(Arc::clone(&self.slot), root, limit, Arc::clone(&self.cancel));
        Work { commons: Arc::clone(&self.commons), root, end, scan: false }
    }
}

/// How the manifest names the end of a root: a life that has accepted nothing yet has no epoch there. Nor has one that
/// a rollback has abandoned as a whole, and whose number nobody gets again.
pub(crate) fn recorded_end(manifest: &Manifest, shard: ShardId, end: Position) -> Position {
    let last = manifest.shard(shard).and_then(|shard| shard.epochs.last());
    let epoch = last.map_or(Epoch(0), |record| record.epoch);
    Position { epoch: end.epoch.min(epoch), lsn: end.lsn }
}
