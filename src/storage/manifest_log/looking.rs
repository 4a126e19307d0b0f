//! Reading the manifest without a lock, while somebody else may be changing it. Changes nothing.

use std::io;

use super::{Replay, read_current};
use crate::model::Manifest;
use crate::storage::disk::Disk;
use crate::storage::error::{IoContext, ManifestError};
use crate::storage::layout::{Generation, Layout};

/// What was found, and where.
#[derive(Clone, Debug)]
pub struct Look {
    /// The state with all edits applied: one that was durable, or is about to be.
    pub manifest: Manifest,
    /// The generation that `CURRENT` names.
    pub generation: Generation,
    /// Edits in it.
    pub edits: u64,
    /// Bytes of its lines.
    pub used: u64,
    /// Its length.
    pub bytes: u64,
    /// The last edit was cut short, or is being written.
    pub torn: bool,
}

/// Reads `CURRENT` and its generation.
///
/// # Errors
/// [`ManifestError`]. It may be over by the next attempt: what is being written looks damaged for a moment.
pub fn look(disk: &dyn Disk, layout: &Layout) -> Result<Look, ManifestError> {
    let generation = read_current(disk, layout)?;
    let path = layout.manifest(generation);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ManifestError::GenerationMissing { path });
        }
        other => other.context("open", &path)?,
    };
    let (replay, bytes) = Replay::whole(file.as_ref(), generation, &path)?;
    Ok(Look {
        generation,
        edits: replay.sequence,
        used: replay.at as u64,
        bytes,
        torn: replay.torn,
        manifest: replay.manifest,
    })
}

/// Reads the manifest's value.
///
/// # Errors
/// Those of [`look`].
pub fn read(disk: &dyn Disk, layout: &Layout) -> Result<Manifest, ManifestError> {
    Ok(look(disk, layout)?.manifest)
}
