//! Entries on their way to a file, in turns that let others go first.
//!
//! With each entry it is looked whether it is to end, and how fast it may write.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Cancel;
use crate::state::map::{Entry, Value};
use crate::state::{StateDigest, Streamed};
use crate::storage::codec;
use crate::storage::error::DiskError;
use crate::storage::snapshot::{self, SnapshotWriter};
use crate::sync::counters::Counter;

/// So many entries it writes before it lets others go first: a scheduler that finds it running may leave it there for
/// milliseconds, however urgent a writer is that has just become ready.
const TURN: usize = 64;
/// It is not late if it is early by less.
const NAP_MIN: Duration = Duration::from_millis(1);
/// Longer it does not sleep without a look.
const NAP: Duration = Duration::from_millis(20);

/// What is on its way to a file.
pub(super) struct Streaming<'w> {
    pub(super) writer: SnapshotWriter<'w>,
    /// Of the values so far, if all of them were in memory.
    pub(super) scanned: Option<StateDigest>,
    pub(super) entries: usize,
    pub(super) started: Instant,
    /// In bytes a second; 0: as fast as it goes.
    pub(super) rate: u64,
    pub(super) cancel: &'w Cancel,
}

impl Streaming<'_> {
    /// Writes a part; `snapshot_bytes` says how far it has come.
    pub(super) fn part<E: Serialize>(
        &mut self,
        part: &Streamed<'_, E>,
        snapshot_bytes: &Counter,
    ) -> Result<(), NotWritten> {
        for entry in part.iter() {
            self.entries += 1;
            if self.entries.is_multiple_of(TURN) {
                thread::yield_now();
            }
            if self.cancel.is_cancelled() {
                return Err(NotWritten::Cancelled);
            }
            self.entry(entry)?;
            snapshot_bytes.set(self.writer.bytes());
            if self.rate > 0 {
                pause(self.started, self.writer.bytes() as f64 / self.rate as f64, self.cancel)?;
            }
        }
        Ok(())
    }

    fn entry<E: Serialize>(&mut self, entry: &Entry<E>) -> Result<(), NotWritten> {
        match entry.value() {
            Value::Here(entity) => {
                let value = codec::encode(entity).map_err(NotWritten::Entity)?;
                self.writer.entry(entry.key(), snapshot::Value::Here(&value))?;
                if let Some(digest) = &mut self.scanned {
                    digest.add(entry.key(), &value);
                }
            }
            Value::Cold(location) => {
                self.writer.entry(entry.key(), snapshot::Value::Cold(*location))?;
                self.scanned = None;
            }
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
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

/// Waits until so many seconds have passed, but for less than is worth a sleep. In many short turns it is hardly in
/// anybody's way.
fn pause(started: Instant, due: f64, cancel: &Cancel) -> Result<(), NotWritten> {
    let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
    while let Some(early) = due.checked_sub(started.elapsed()).filter(|early| *early >= NAP_MIN) {
        if cancel.is_cancelled() {
            return Err(NotWritten::Cancelled);
        }
        thread::sleep(early.min(NAP));
    }
    Ok(())
}
