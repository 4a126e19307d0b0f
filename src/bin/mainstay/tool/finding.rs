//! What is wrong, and where: one line for each place.

use std::fmt;
use std::path::Path;

use mainstay::storage::cold::SECTOR_BYTES;
use mainstay::{ColdError, DiskError, LogError, ManifestError, ShardId, SnapshotError};
use serde::Serialize;

use super::text::{clean, short, shown};

/// What is wrong with a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It is not what was written.
    Damaged,
    /// It is not there.
    Missing,
    /// It is of another directory, shard or place.
    Foreign,
    /// The manifest has lost edits.
    ManifestLost,
    /// It says that newer code has written it.
    Newer,
    /// A digest is not the one that was recorded.
    Digest,
    /// A call of the system failed.
    Unreadable,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Whose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// In which file.
    pub file: String,
    /// Where in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In front of which command, or of a state that ends where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// What was found.
    pub reason: String,
}

impl Finding {
    /// Something is wrong with a file.
    pub fn new(kind: Kind, path: &Path, reason: &str) -> Self {
        let file = shown(path);
        Self { kind, shard: None, file, offset: None, lsn: None, reason: clean(reason) }
    }

    /// It is one of this shard's.
    #[must_use]
    pub fn of(self, shard: ShardId) -> Self {
        Self { shard: Some(shard.0), ..self }
    }

    /// It is found here.
    #[must_use]
    pub fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// It concerns this command.
    #[must_use]
    pub fn before(self, lsn: u64) -> Self {
        Self { lsn: Some(lsn), ..self }
    }

    /// Is it damage, and not a call that failed?
    pub fn is_damage(&self) -> bool {
        self.kind != Kind::Unreadable
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Damaged => "damaged",
            Kind::Missing => "missing",
            Kind::Foreign => "foreign",
            Kind::ManifestLost => "manifest lost",
            Kind::Newer => "newer format",
            Kind::Digest => "wrong digest",
            Kind::Unreadable => "unreadable",
        };
        write!(f, "{kind}: {}", self.file)?;
        self.offset.iter().try_for_each(|offset| write!(f, " offset {offset}"))?;
        self.lsn.iter().try_for_each(|lsn| write!(f, " lsn {lsn}"))?;
        self.shard.iter().try_for_each(|shard| write!(f, " (shard {shard})"))?;
        write!(f, ": {}", self.reason)
    }
}

fn newer(path: &Path, found: u32, supported: u32) -> Finding {
    Finding::new(Kind::Newer, path, &format!("it has format {found}; this code reads up to {supported}"))
}

impl From<&DiskError> for Finding {
    fn from(error: &DiskError) -> Self {
        let kind = if error.source.kind() == std::io::ErrorKind::NotFound { Kind::Missing } else { Kind::Unreadable };
        Self::new(kind, &error.path, &format!("cannot {} it: {}", error.operation, error.source))
    }
}

impl From<&ManifestError> for Finding {
    fn from(error: &ManifestError) -> Self {
        match error {
            ManifestError::Disk(error) => error.into(),
            ManifestError::CurrentMissing { path } => {
                Self::new(Kind::Missing, path, "the directory holds data, and nothing says which of it counts")
            }
            ManifestError::Damaged { path, offset, reason } => Self::new(Kind::Damaged, path, reason).at(*offset),
            ManifestError::GenerationMissing { path } => Self::new(Kind::Missing, path, "CURRENT names it"),
            ManifestError::NewerFormat { path, found, supported } => newer(path, *found, *supported),
            other => Self::new(Kind::Damaged, Path::new("manifest"), &other.to_string()),
        }
    }
}

impl From<&SnapshotError> for Finding {
    fn from(error: &SnapshotError) -> Self {
        match error {
            SnapshotError::Disk(error) => error.into(),
            SnapshotError::Missing { path } => Self::new(Kind::Missing, path, "the manifest names it"),
            SnapshotError::Damaged { path, offset, reason } => Self::new(Kind::Damaged, path, reason).at(*offset),
            SnapshotError::Foreign { path, reason } => Self::new(Kind::Foreign, path, reason),
            SnapshotError::NewerFormat { path, found, supported } => newer(path, *found, *supported),
            SnapshotError::Digest { path, recorded, found } => {
                let (recorded, found) = (short(recorded), short(found));
                let reason = format!("what it holds has digest {found}, and {recorded} was recorded");
                Self::new(Kind::Damaged, path, &reason)
            }
            SnapshotError::Cold(error) => error.into(),
            SnapshotError::Entity { path, offset, reason } => Self::new(Kind::Damaged, path, reason).at(*offset),
            other => Self::new(Kind::Damaged, Path::new("snapshot"), &other.to_string()),
        }
    }
}

impl From<&ColdError> for Finding {
    fn from(error: &ColdError) -> Self {
        let at = |sector: u64| sector * SECTOR_BYTES as u64;
        match error {
            ColdError::Disk(error) => error.into(),
            ColdError::Missing { path } => Self::new(Kind::Missing, path, "the manifest names it"),
            ColdError::Damaged { path, sector, reason } => {
                Self::new(Kind::Damaged, path, &format!("sector {sector}: {reason}")).at(at(*sector))
            }
            ColdError::Slot { path, sector, slot, reason } => {
                Self::new(Kind::Damaged, path, &format!("sector {sector}, slot {slot}: {reason}")).at(at(*sector))
            }
            ColdError::Foreign { path, reason } => Self::new(Kind::Foreign, path, reason),
            ColdError::NewerFormat { path, found, supported } => newer(path, *found, *supported),
            other => Self::new(Kind::Damaged, Path::new("cold file"), &other.to_string()),
        }
    }
}

impl From<&LogError> for Finding {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Disk(error) => error.into(),
            LogError::SegmentMissing { path, .. } => Self::new(Kind::Missing, path, "the manifest names it"),
            LogError::Damaged { path, offset, lsn, reason } => {
                Self::new(Kind::Damaged, path, reason).at(*offset).before(lsn.0)
            }
            LogError::Foreign { path, reason } => Self::new(Kind::Foreign, path, reason),
            LogError::ManifestLost { path, reason } => Self::new(Kind::ManifestLost, path, reason),
            LogError::NewerFormat { path, found, supported } => newer(path, *found, *supported),
            LogError::Snapshot(error) => error.into(),
            other => Self::new(Kind::Damaged, Path::new("log"), &other.to_string()),
        }
    }
}
