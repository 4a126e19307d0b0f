//! The digest of what a snapshot holds, and whether it is the one that was recorded.
//!
//! The footer's hash shows that the file is what was written. The digest shows that what was written is the state that
//! somebody else has recorded: the shard that followed it, or a version.

use std::path::Path;

use super::{Expected, Summary, Value, read};
use crate::model::{Digest, TakeDigest};
use crate::storage::cold::Shelf;
use crate::storage::disk::Disk;
use crate::storage::error::SnapshotError;
use crate::storage::layout::Layout;

/// A snapshot that was read and verified to its end, and the digest of its entries as they are encoded in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The file.
    pub summary: Summary,
    /// Of its entries, with their schema. None: they are of several, and what somebody would record is not known.
    pub digest: Option<Digest>,
}

/// Reads a snapshot and takes the digest of its entries, those included that lie in cold files. Nothing is compared
/// yet.
///
/// # Errors
/// Those of [`verify`](super::verify), and [`SnapshotError::Cold`].
pub fn scan<D: TakeDigest>(disk: &dyn Disk, layout: &Layout, expect: &Expected) -> Result<Scanned, SnapshotError> {
    let path = layout.snapshot(expect.shard, expect.snapshot);
    let mut shelf = Shelf::new(disk, layout, expect.directory, expect.shard);
    let (mut digest, mut mixed, mut unreadable) = (D::default(), false, None);
    let summary = read(disk, &path, expect, &mut |schema, key, value| {
        match value {
            Value::Here(value) => digest.take(key, value),
            Value::Cold(location) => match shelf.value(key, location) {
                Ok((of, value)) => {
                    mixed |= of != schema;
                    digest.take(key, value);
                }
                Err(error) => unreadable = unreadable.take().or(Some(error)),
            },
        }
        Ok(())
    })?;
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let digest = Digest { hash: digest.taken(), schema: summary.header.schema };
    Ok(Scanned { summary, digest: (!mixed).then_some(digest) })
}

impl Scanned {
    /// What was recorded of this state: by others, of whom those with another schema mean other bytes, and by the file
    /// itself.
    pub fn recorded(&self, by_others: impl IntoIterator<Item = Digest>) -> impl Iterator<Item = [u8; 32]> {
        let schema = self.digest.map(|digest| digest.schema);
        let by_others = by_others.into_iter().filter(move |recorded| Some(recorded.schema) == schema);
        by_others.map(|recorded| recorded.hash).chain(self.summary.digest.filter(|_| schema.is_some()))
    }

    /// Holds the digest against what was recorded.
    ///
    /// # Errors
    /// [`SnapshotError::Digest`]: one of them is another one.
    pub fn compare(&self, path: &Path, by_others: impl IntoIterator<Item = Digest>) -> Result<(), SnapshotError> {
        let Some(Digest { hash: found, .. }) = self.digest else { return Ok(()) };
        match self.recorded(by_others).find(|recorded| *recorded != found) {
            Some(recorded) => Err(SnapshotError::Digest { path: path.to_owned(), recorded, found }),
            None => Ok(()),
        }
    }
}
