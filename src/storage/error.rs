//! What can be wrong with the files of a directory. Every variant names the file, and an offset where there is one.

use std::io;
use std::path::{Path, PathBuf};

use super::bytes::array;
use super::cold::ColdError;
use crate::model::{Lsn, Position, SegmentSeq, ShardId, Unreadable};

/// A call of the operating system failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
#[non_exhaustive]
pub struct DiskError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Gives an `io::Result` its file and verb.
pub trait IoContext<T> {
    /// Names what was tried on which file.
    fn context(self, operation: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { operation, path: path.to_owned(), source })
    }
}

/// The manifest cannot be read. Nothing in the directory was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A call failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is data but no `CURRENT` that says which of it counts.
    #[error("{} is missing although the directory holds data", path.display())]
    CurrentMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// `CURRENT` or the generation that it names is damaged.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// `CURRENT` names a generation that is not there.
    #[error("{} is missing although CURRENT names it", path.display())]
    GenerationMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Written by code from before the first release.
    #[error("{} has format {found}, which only earlier code reads; this code's is {supported}", path.display())]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format known here.
        supported: u32,
    },
    /// Written by newer code.
    #[error("{} has format {found}; this code reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },
}

/// A shard's log cannot be read. Nothing in it was changed; other shards are not affected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A call failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The manifest names a file that is not there.
    #[error("{} is missing although the manifest names it", path.display())]
    SegmentMissing {
        /// Where it should be.
        path: PathBuf,
        /// Its number.
        segment: SegmentSeq,
    },
    /// Something that was certainly durable cannot be read any more.
    #[error("{} is damaged at byte {offset}, before {lsn}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The first command that cannot be read. If it is a header that is damaged, the last position known in front
        /// of its file, which may be somewhat earlier.
        lsn: Lsn,
        /// What was found.
        reason: &'static str,
    },
    /// The file belongs to another shard, another directory or another place of the log.
    #[error("{} does not belong here: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong about it.
        reason: &'static str,
    },
    /// The file is newer than anything that the manifest knows: the manifest has lost edits.
    #[error("the manifest cannot explain {}: {reason}", path.display())]
    ManifestLost {
        /// The file.
        path: PathBuf,
        /// What the manifest should have said.
        reason: &'static str,
    },
    /// Written by newer code.
    #[error("{} has format {found}; this code reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },
    /// The commands in front of this lsn do not make the state that they made when a version was recorded there:
    /// `apply` is not deterministic, or is another one than it was.
    #[error("the state of {shard} before {lsn} is not the one whose digest was recorded")]
    Digest {
        /// The shard.
        shard: ShardId,
        /// Where the version lies.
        lsn: Lsn,
    },
    /// A command reads an entity that is in a cold file, and the disk does not give it now.
    #[error(transparent)]
    Cold(#[from] Unreadable),
    /// What has to be in memory of the state is more than it may take there. Nothing is wrong with its files. An
    /// opening never says so: see [`Memory`](crate::Memory).
    #[error("at least {bytes} bytes of its state have to be in memory, and {allowed} may be")]
    OutOfMemory {
        /// So much there was when it became too much.
        bytes: u64,
        /// So much there may be.
        allowed: u64,
    },
    /// There is no snapshot to begin with.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A command cannot be decoded or applied. [`Poison::Skip`](crate::Poison::Skip) leaves such commands out.
    #[error("the command at {position} cannot be replayed: {reason}")]
    Poison {
        /// The command.
        position: Position,
        /// Why not.
        reason: String,
    },
}

impl From<ColdError> for LogError {
    /// What the disk does not give now it may give later; the rest is told of as the snapshot's that refers to it.
    fn from(error: ColdError) -> Self {
        match error {
            ColdError::Disk(error) => Self::Disk(error),
            error => Self::Snapshot(error.into()),
        }
    }
}

/// A snapshot cannot be read. Nothing was changed; what was read of it in front of the error must not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A call failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The manifest names a file that is not there.
    #[error("{} is missing although the manifest names it", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        reason: &'static str,
    },
    /// The file belongs to another shard, another directory or another place of the log, or is not the one that the
    /// manifest means.
    #[error("{} does not belong here: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong about it.
        reason: &'static str,
    },
    /// Written by newer code.
    #[error("{} has format {found}; this code reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        supported: u32,
    },
    /// An entry is what was written, and whoever reads it cannot make anything of it.
    #[error("the entry at byte {offset} of {} cannot be decoded: {reason}", path.display())]
    Entity {
        /// The file.
        path: PathBuf,
        /// Where the entry begins.
        offset: u64,
        /// Why not.
        reason: String,
    },
    /// A value that it refers to cannot be read.
    #[error(transparent)]
    Cold(#[from] ColdError),
    /// Every byte is what was written, and its entries make another state than the one whose digest was recorded.
    #[error("{} holds a state with digest {}, and {} was recorded", path.display(), short(found), short(recorded))]
    Digest {
        /// The file.
        path: PathBuf,
        /// By the manifest or the file itself.
        recorded: [u8; 32],
        /// That of its entries.
        found: [u8; 32],
    },
}

/// So much of a digest as tells it from another one to the eye.
fn short(digest: &[u8; 32]) -> String {
    format!("{:016x}", u64::from_be_bytes(array(digest, 0)))
}

impl SnapshotError {
    /// Is the file not what was written? Then an older one may do. What the disk does not give now, or this code cannot
    /// read, says nothing about the file.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Damaged { .. } | Self::Foreign { .. } | Self::Digest { .. })
    }
}
