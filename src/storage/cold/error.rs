//! What can be wrong with a cold file. Every variant names the file, and the sector of the page where there is one.

use std::path::{Path, PathBuf};

use crate::storage::error::DiskError;

/// A value of a cold file cannot be read, or the file is not what was written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ColdError {
    /// A call failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no such file.
    #[error("{} is missing although it is needed", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A page, the header or the footer is not what was written.
    #[error("{} is damaged at sector {sector}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        sector: u64,
        /// What was found.
        reason: &'static str,
    },
    /// The page is what was written, and not where the value is that was asked for.
    #[error("slot {slot} of the page at sector {sector} of {}: {reason}", path.display())]
    Slot {
        /// The file.
        path: PathBuf,
        /// Where the page begins.
        sector: u64,
        /// The slot that was asked for.
        slot: u16,
        /// What was found.
        reason: &'static str,
    },
    /// The file is another one than it should be.
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
}

impl ColdError {
    pub(super) fn damaged(path: &Path, sector: u64, reason: &'static str) -> Self {
        Self::Damaged { path: path.to_owned(), sector, reason }
    }

    /// Is the file not what was written, or not what was asked for? What the disk does not give now, or this code
    /// cannot read, says nothing about the file.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Disk(_) | Self::NewerFormat { .. })
    }
}
