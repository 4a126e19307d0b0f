//! A file that is written once, from its beginning to its end, and synced as it grows.
//!
//! Invariants: after a write or a sync that has failed nothing is written any more, because nobody knows what the disk
//! has of it; no sync has much to write, because a sync of the log on the same disk waits for that. Not here: names,
//! and who removes what came to nothing.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext};

/// The file is synced each time this much was written, in bytes: what is synced already does not wait for the end
/// either.
pub const SYNC_BYTES: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct NewFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Something has failed, or is just being tried.
    failed: bool,
    written: u64,
    unsynced: usize,
    syncing: Duration,
}

impl NewFile {
    /// Makes it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]: there is one of that name; it was not touched. Or the call failed.
    pub fn create(disk: &dyn Disk, path: PathBuf) -> Result<Self, DiskError> {
        let file = disk.create(&path).context("create", &path)?;
        Ok(Self { file, path, failed: false, written: 0, unsynced: 0, syncing: Duration::ZERO })
    }

    /// Its name.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// How long its syncs took.
    pub fn syncing(&self) -> Duration {
        self.syncing
    }

    /// Adds bytes at its end, and syncs now and then.
    ///
    /// # Errors
    /// A call failed, now or before.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        for piece in bytes.chunks(SYNC_BYTES) {
            self.step("write", |new| new.file.write_all_at(piece, new.written))?;
            self.written += piece.len() as u64;
            self.unsynced += piece.len();
            if self.unsynced >= SYNC_BYTES {
                self.sync()?;
            }
        }
        Ok(())
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// A call failed, now or before.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let started = Instant::now();
        self.step("sync", |new| new.file.sync())?;
        self.syncing += started.elapsed();
        self.unsynced = 0;
        Ok(())
    }

    /// Can it still be finished?
    ///
    /// # Errors
    /// A call failed before, or what was to be written was refused.
    pub fn check(&self) -> Result<(), DiskError> {
        let failed = || Err(io::Error::other("writing it has failed before"));
        if self.failed { failed().context("write", &self.path) } else { Ok(()) }
    }

    /// What is to be written has no place in it: it cannot be finished any more.
    pub fn refuse(&mut self, reason: &'static str) -> DiskError {
        self.failed = true;
        DiskError {
            operation: "write",
            path: self.path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, reason),
        }
    }

    /// Has the kernel forget what it knows of it. As far as that goes.
    pub fn drop_cache(&self) {
        let _ = self.file.drop_cache();
    }

    fn step(
        &mut self,
        operation: &'static str,
        step: impl FnOnce(&mut Self) -> io::Result<()>,
    ) -> Result<(), DiskError> {
        self.check()?;
        self.failed = true;
        step(self).context(operation, &self.path)?;
        self.failed = false;
        Ok(())
    }
}
