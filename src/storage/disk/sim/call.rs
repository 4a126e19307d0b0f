//! What the disk was asked to do: the operations, and the record of one call.

use std::path::PathBuf;

/// One of the calls of the crate's `Disk` and `DiskFile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `Disk::create_dir`
    CreateDir,
    /// `Disk::list`
    List,
    /// `Disk::create`
    Create,
    /// `Disk::open`
    Open,
    /// `Disk::open_for_write`
    OpenForWrite,
    /// `Disk::rename`
    Rename,
    /// `Disk::link`
    Link,
    /// `Disk::remove`
    Remove,
    /// `Disk::sync_dir`
    SyncDir,
    /// `Disk::lock`
    Lock,
    /// `Disk::refused_file_system`
    RefusedFileSystem,
    /// `DiskFile::read_at`
    Read,
    /// `DiskFile::write_all_at`
    Write,
    /// `DiskFile::sync`
    Sync,
    /// `DiskFile::size`
    Size,
    /// `DiskFile::drop_cache`
    DropCache,
}

impl Operation {
    /// Whether the call can change what a crash leaves behind. `Lock` is one, because it may make the file.
    pub const fn is_mutation(self) -> bool {
        match self {
            Self::CreateDir
            | Self::Create
            | Self::Rename
            | Self::Link
            | Self::Remove
            | Self::SyncDir
            | Self::Lock
            | Self::Write
            | Self::Sync => true,
            Self::List
            | Self::Open
            | Self::OpenForWrite
            | Self::RefusedFileSystem
            | Self::Read
            | Self::Size
            | Self::DropCache => false,
        }
    }

    /// Whether the call changes nothing but what is durable.
    pub(super) const fn is_barrier(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDir)
    }

    /// Whether a failing call leaves something behind.
    pub(super) const fn fails_in_part(self) -> bool {
        matches!(self, Self::Write | Self::Sync)
    }
}

/// One call, as the trace keeps it and as predicates see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// Counted from 1 over all handles of the disk. A call that is not counted (see
    /// [`SimDisk::count_only_mutations`](super::SimDisk::count_only_mutations)) carries the number of the last one
    /// that was.
    pub number: u64,
    /// What was called.
    pub operation: Operation,
    /// What it was called on. For an open file, the name that it was opened by.
    pub path: PathBuf,
    /// The new name, if this is a rename or a link.
    pub renamed_to: Option<PathBuf>,
}
