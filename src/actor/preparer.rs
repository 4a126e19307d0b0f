//! Makes spares ahead of use: a thread per spare creates, fills, syncs and registers it, and tells the writer. It also
//! has the last full segment leave the page cache.

use std::io;

use super::keeper::Keeper;
use crate::model::{Edit, EditOutcome, Incarnation, ShardId};
use crate::storage::disk::{DirectoryLock, Disk};
use crate::storage::error::DiskError;
use crate::storage::layout::Layout;
use crate::storage::segment_file::{self, OpenSegment, Size, Spare};
use crate::sync::Arc;
use crate::sync::Mutex;

/// What a preparer needs.
#[derive(Clone)]
pub(crate) struct Preparer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) layout: Layout,
    pub(crate) keeper: Keeper,
    #[expect(dead_code, reason = "held: a thread of this can write")]
    pub(crate) lock: Arc<dyn DirectoryLock>,
    pub(crate) shard: ShardId,
    pub(crate) incarnation: Incarnation,
    pub(crate) segment_bytes: u64,
    /// A spare that the manifest may or may not name: it is offered again, lest every attempt leaves a file behind.
    pub(crate) unregistered: Arc<Mutex<Option<Spare>>>,
}

/// Why there is no spare.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSpare {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the manifest did not take it: {0:?}")]
    NotRegistered(EditOutcome),
    #[error("no thread: {0}")]
    NoThread(io::Error),
}

impl NoSpare {
    /// Is it only that the disk is full?
    pub(crate) fn is_full(&self) -> bool {
        let Self::Disk(error) = self else { return false };
        matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Preparer {
    /// Starts the work; `done` hears of its end, from another thread or, if there is none to be had, from this one.
    ///
    /// The pages of a segment that is full go first: a log that is written at full speed would push everything else out
    /// of the cache, and memory that was never used is slow at first on a virtual machine. `gently`: the log is being
    /// synced meanwhile.
    pub(crate) fn start(
        &self,
        full: Option<OpenSegment>,
        gently: bool,
        done: impl FnOnce(Result<Spare, NoSpare>) + Send + Clone + 'static,
    ) {
        let (work, told) = (self.clone(), done.clone());
        let name = format!("{}/preparer", self.shard.0);
        let thread = std::thread::Builder::new().name(name);
        let work = move || {
            if let Some(full) = full {
                full.forget();
            }
            told(work.prepare(gently));
        };
        if let Err(error) = thread.spawn(work) {
            done(Err(NoSpare::NoThread(error)));
        }
    }

    fn prepare(&self, gently: bool) -> Result<Spare, NoSpare> {
        let left = self.unregistered.lock().take();
        let spare = left.map_or_else(|| self.make(gently), Ok)?;
        let outcome = self.keeper.edit_blocking(Edit::Register {
            shard: self.shard,
            incarnation: self.incarnation,
            segment: spare.segment,
            bytes: spare.bytes,
        });
        match outcome {
            EditOutcome::Committed => return Ok(spare),
            // The manifest certainly does not name it.
            EditOutcome::Declined(_) | EditOutcome::Failed => {
                let _ = self.disk.remove(spare.path());
            }
            EditOutcome::Indeterminate => *self.unregistered.lock() = Some(spare),
        }
        Err(NoSpare::NotRegistered(outcome))
    }

    fn make(&self, gently: bool) -> Result<Spare, DiskError> {
        let manifest = self.keeper.manifest();
        let mut segment = manifest.shard(self.shard).map(|shard| shard.next_segment).unwrap_or_default();
        loop {
            let size = Size { bytes: self.segment_bytes, gently };
            let made = segment_file::prepare(self.disk.as_ref(), &self.layout, self.shard, segment, size);
            match made {
                // An orphan that could not be swept: its number is taken.
                Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
                    segment = segment.next();
                }
                other => return other,
            }
        }
    }
}
