//! The one door to the file system, and what each call promises about durability.
//!
//! Formats are pure functions over bytes and live beside this folder; they reach the disk through [`Disk`] and
//! [`DiskFile`] only, so that the simulated twin ([`sim`]) can lie, fail and crash at every call.
//!
//! Not here: any decision about what to do after a failure.

#[cfg(feature = "sim")]
pub mod sim;
mod standard;

use std::fmt;
use std::io;
use std::path::Path;

pub use standard::StandardDisk;

/// A file system, as much of it as the crate needs.
///
/// A change of a directory (`create`, `rename`, `link`, `remove`, `create_dir`) is certain to survive a crash only
/// after [`Disk::sync_dir`] of that directory has returned `Ok`.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes one directory. It exists already: `Ok`.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a new empty file, open for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one: no file is ever truncated.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open_for_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Atomically gives a file another name in the same directory, replacing what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name, which must be free; both are names of one file from then on.
    ///
    /// # Errors
    /// Also if the names are on different file systems, or theirs has no such thing.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes everything that was done to the directory's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the file's lock for this process, making the file if there is none. The lock goes with the value.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if somebody, also in this process, holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirectoryLock>>;

    /// Name of a file system that must not hold the data (a network one), if `path` is on such.
    fn refused_file_system(&self, path: &Path) -> io::Result<Option<&'static str>>;
}

/// An open file. All calls take positions, so one handle serves many threads.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills as much of `buffer` as the file has from `offset` on; the number is short only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, extending the file if need be. Nothing is durable yet. After an error
    /// any part of it may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all of the file's content and its length durable. After an error nothing is known about what was
    /// written since the last `Ok`, and a later `Ok` does not change that: whoever calls must never use the file again.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Forgets cached pages that are clean, so that the next read comes from the disk.
    fn drop_cache(&self) -> io::Result<()>;
}

/// Held while the directory is in use.
pub trait DirectoryLock: Send + Sync + fmt::Debug {}
