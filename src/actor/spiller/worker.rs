//! The thread that copies values to a cold file: those of a root that nobody has used for long, or what is left of
//! older files.
//!
//! A spill goes as fast as the disk does: somebody may wait for the memory. A compaction has time, and takes it until
//! there is too much in memory again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use super::Wanted;
use crate::actor::chilling::{Chilled, Chilling, Place};
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::{Entity, Life, Slot};
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Location, ShardId};
use crate::protocol::spill::{Failure, Written};
use crate::state::map::{Cursor, Entry, Map};
use crate::storage::cold::{self, ColdError, ColdFile, ColdId, Found};
use crate::storage::error::DiskError;
use crate::sync::Arc;
use crate::sync::spill_gate::AtLimit;

/// How much the thread gives way to those that serve.
const NICE: i32 = 10;
/// A compaction is not early if it is by less.
const NAP_MIN: Duration = Duration::from_millis(1);
/// Longer it does not sleep without a look.
const NAP: Duration = Duration::from_millis(20);

/// What is to be copied.
pub(super) struct Work<M: StateMachine> {
    pub(super) commons: Arc<Commons<M>>,
    pub(super) slot: Arc<Slot<M>>,
    pub(super) life: Arc<Life<M>>,
    pub(super) map: Map<Entity<M>>,
    pub(super) wanted: Wanted,
    pub(super) hand: Cursor,
}

/// A file that is whole and durable, and what lies where in it.
pub(crate) struct Copied<M: StateMachine> {
    pub(crate) written: Written,
    pub(crate) file: Arc<ColdFile>,
    /// The entries that were copied, with their new places.
    pub(crate) entries: Vec<(Arc<Entry<Entity<M>>>, Location)>,
    /// What it was copied from; nothing: it is a spill.
    pub(crate) sources: Vec<ColdSeq>,
    /// Where the hand stands now.
    pub(super) hand: Cursor,
}

#[derive(Debug, thiserror::Error)]
enum NotCopied {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Cold(#[from] ColdError),
    #[error("there is nothing to copy")]
    Nothing,
    #[error("the life is over")]
    Revoked,
}

/// Starts the work; `done` hears of its end.
pub(super) fn start<M: StateMachine>(
    work: Work<M>,
    done: impl FnOnce(Result<Copied<M>, Failure>) + Send + Clone + 'static,
) {
    let shard = work.slot.shard.0;
    let (name, told) = (format!("{}/{shard}/spill", work.commons.name), done.clone());
    let started = thread::Builder::new().name(name).spawn(move || {
        // It has time. Where that is not to be had it is as urgent as the others.
        let _ = rustix::process::nice(NICE);
        // The application's `Serialize`, all of it.
        let copied = catch_unwind(AssertUnwindSafe(move || work.copy()));
        done(match copied {
            Ok(Ok(copied)) => Ok(copied),
            Ok(Err(error)) => Err(failure(shard, &error)),
            Err(_) => Err(Failure::Disk),
        });
    });
    if let Err(error) = started {
        tracing::error!(shard, %error, "no thread to spill");
        told(Err(Failure::Disk));
    }
}

fn failure(shard: u32, error: &NotCopied) -> Failure {
    let kind = match error {
        NotCopied::Nothing | NotCopied::Revoked => return Failure::Nothing,
        NotCopied::Disk(error) | NotCopied::Cold(ColdError::Disk(error)) => error.source.kind(),
        NotCopied::Cold(_) => io::ErrorKind::InvalidData,
    };
    tracing::error!(shard, %error, "nothing was spilled");
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::Full,
        _ => Failure::Disk,
    }
}

/// Removes a file that nobody names.
pub(super) fn remove<M: StateMachine>(commons: &Arc<Commons<M>>, shard: ShardId, file: ColdSeq) {
    let commons = Arc::clone(commons);
    tokio::task::spawn_blocking(move || {
        let path = commons.layout.cold(shard, file);
        // What stays is an orphan, swept by a later open.
        if let Err(error) = commons.disk.remove(&path) {
            tracing::warn!(%error, file = %path.display(), "cannot delete");
        }
    });
}

impl<M: StateMachine> Work<M> {
    fn copy(self) -> Result<Copied<M>, NotCopied> {
        let Commons { disk, layout, keeper, .. } = &*self.commons;
        let (directory, shard) = (keeper.manifest().directory, self.slot.shard);
        let place = Place { disk: disk.as_ref(), layout, directory, shard };
        let mut chilling = Chilling::new(place, M::SCHEMA, || self.slot.next_cold(&keeper.manifest()));
        let mut hand = self.hand;
        let sources = match &self.wanted {
            Wanted::Spill(bytes) => {
                chilling.spill(&self.map, &mut hand, *bytes, || self.goes_on())?;
                Vec::new()
            }
            Wanted::Compact(files) => {
                for file in files {
                    match self.compact(ColdId { directory, shard, file: *file }, &mut chilling) {
                        // What of it was not copied stays where it is. The others do not wait for that to be mended.
                        Err(NotCopied::Cold(error)) => {
                            tracing::error!(shard = shard.0, %error, "a cold file cannot be compacted");
                        }
                        compacted => compacted?,
                    }
                }
                files.clone()
            }
        };
        let Some(chilled) = chilling.finish()? else { return Err(NotCopied::Nothing) };
        let Chilled { written, file, .. } = &chilled;
        let (written, file) =
            (Written { file: written.file, bytes: written.bytes, values: written.values }, Arc::clone(file));
        let entries = chilled.places().map(|(entry, at)| (Arc::clone(entry), at)).collect();
        Ok(Copied { written, file, entries, sources, hand })
    }

    fn goes_on(&self) -> Result<(), NotCopied> {
        if self.life.tenure.is_revoked() { Err(NotCopied::Revoked) } else { Ok(()) }
    }

    /// Copies what the map still has in a file.
    fn compact(
        &self,
        id: ColdId,
        chilling: &mut Chilling<'_, Entity<M>, impl FnMut() -> ColdSeq>,
    ) -> Result<(), NotCopied> {
        let started = (Instant::now(), chilling.bytes());
        cold::scan(self.commons.disk.as_ref(), &self.commons.layout, id, &mut |found| {
            let Found::Value(value) = found else { return Ok(()) };
            let entry = self.map.entry(self.commons.hasher.hash(value.key), value.key);
            if let Some(entry) = entry.filter(|entry| entry.location() == Some(value.location)) {
                chilling.copy(entry, value.schema, value.value)?;
                self.pause(started, chilling.bytes())?;
            }
            self.goes_on()
        })?;
        Ok(())
    }

    /// Waits until so much may have been written, unless the memory is needed that a spill would free.
    fn pause(&self, (started, before): (Instant, u64), bytes: u64) -> Result<(), NotCopied> {
        let rate = self.commons.options.compaction_bytes_per_second;
        if rate == 0 {
            return Ok(());
        }
        let due = Duration::from_millis((bytes - before).saturating_mul(1000) / rate);
        let is_needed = || self.life.gate.get() != AtLimit::Room;
        while let Some(early) = due.checked_sub(started.elapsed()).filter(|early| *early >= NAP_MIN && !is_needed()) {
            self.goes_on()?;
            thread::sleep(early.min(NAP));
        }
        Ok(())
    }
}
