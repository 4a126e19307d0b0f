//! Names of the files in a data directory.
//!
//! ```text
//! LOCK                              held by the process that has the directory open
//! CURRENT                           names the manifest's generation
//! manifest-0000000000000001.log     the manifest: a state and the edits since
//! shard-0/wal-0000000000000001.seg  one segment of a shard's log
//! shard-0/snapshot-0000000000000001.snap  a shard's state at one position
//! shard-0/snapshot-0000000000000001.tmp   one that is being written
//! shard-0/cold-0000000000000001.pages     values of a shard that are read one by one
//! ```
//! Numbers are decimal, sixteen digits or more, so that names sort. Anything else in the directory is left alone.

use std::path::{Path, PathBuf};

use crate::model::{ColdSeq, DataFile, SegmentSeq, ShardId, SnapshotSeq};

/// A manifest generation's number.
pub type Generation = u64;

/// Paths below one data directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the directory `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The lock file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    /// The pointer to the manifest.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    /// What becomes [`Layout::current`] by a rename.
    #[must_use]
    pub fn current_temporary(&self) -> PathBuf {
        self.root.join("CURRENT.tmp")
    }

    /// A manifest generation.
    #[must_use]
    pub fn manifest(&self, generation: Generation) -> PathBuf {
        self.root.join(manifest_name(generation))
    }

    /// A shard's directory.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> PathBuf {
        self.root.join(format!("shard-{}", shard.0))
    }

    /// A segment.
    #[must_use]
    pub fn segment(&self, shard: ShardId, segment: SegmentSeq) -> PathBuf {
        self.shard(shard).join(format!("wal-{:016}.seg", segment.0))
    }

    /// A snapshot.
    #[must_use]
    pub fn snapshot(&self, shard: ShardId, snapshot: SnapshotSeq) -> PathBuf {
        self.shard(shard).join(format!("snapshot-{:016}.snap", snapshot.0))
    }

    /// A cold file.
    #[must_use]
    pub fn cold(&self, shard: ShardId, cold: ColdSeq) -> PathBuf {
        self.shard(shard).join(format!("cold-{:016}.pages", cold.0))
    }

    /// A file that the manifest names.
    #[must_use]
    pub fn file(&self, file: DataFile) -> PathBuf {
        match file {
            DataFile::Segment(shard, segment) => self.segment(shard, segment),
            DataFile::Snapshot(shard, snapshot) => self.snapshot(shard, snapshot),
            DataFile::Cold(shard, file) => self.cold(shard, file),
        }
    }

    /// What becomes a [`Layout::snapshot`] by a rename.
    #[must_use]
    pub fn snapshot_temporary(&self, shard: ShardId, snapshot: SnapshotSeq) -> PathBuf {
        self.shard(shard).join(format!("snapshot-{:016}.tmp", snapshot.0))
    }
}

/// File name of a manifest generation.
#[must_use]
pub fn manifest_name(generation: Generation) -> String {
    format!("manifest-{generation:016}.log")
}

/// Reads a manifest generation's number from a file name.
#[must_use]
pub fn parse_manifest(name: &str) -> Option<Generation> {
    number(name, "manifest-", ".log")
}

/// Reads a segment's number from a file name.
#[must_use]
pub fn parse_segment(name: &str) -> Option<SegmentSeq> {
    number(name, "wal-", ".seg").map(SegmentSeq)
}

/// Reads a snapshot's number from a file name.
#[must_use]
pub fn parse_snapshot(name: &str) -> Option<SnapshotSeq> {
    number(name, "snapshot-", ".snap").map(SnapshotSeq)
}

/// Reads the number of a snapshot that was being written from a file name.
#[must_use]
pub fn parse_snapshot_temporary(name: &str) -> Option<SnapshotSeq> {
    number(name, "snapshot-", ".tmp").map(SnapshotSeq)
}

/// Reads a cold file's number from a file name.
#[must_use]
pub fn parse_cold(name: &str) -> Option<ColdSeq> {
    number(name, "cold-", ".pages").map(ColdSeq)
}

fn number(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    if digits.len() < 16 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_foreign_names_are_left_alone() {
        assert_eq!(parse_manifest(&manifest_name(12)), Some(12));
        let layout = Layout::new(Path::new("/d"));
        let path = layout.segment(ShardId(3), SegmentSeq(9));
        assert_eq!(path, Path::new("/d/shard-3/wal-0000000000000009.seg"));
        assert_eq!(parse_segment("wal-0000000000000009.seg"), Some(SegmentSeq(9)));
        let path = layout.snapshot(ShardId(3), SnapshotSeq(9));
        assert_eq!(path, Path::new("/d/shard-3/snapshot-0000000000000009.snap"));
        assert_eq!(parse_snapshot("snapshot-0000000000000009.snap"), Some(SnapshotSeq(9)));
        assert_eq!(parse_snapshot_temporary("snapshot-0000000000000009.tmp"), Some(SnapshotSeq(9)));
        assert_eq!(parse_snapshot("snapshot-0000000000000009.tmp"), None);
        let path = layout.cold(ShardId(3), ColdSeq(9));
        assert_eq!(path, Path::new("/d/shard-3/cold-0000000000000009.pages"));
        assert_eq!(parse_cold("cold-0000000000000009.pages"), Some(ColdSeq(9)));
        assert_eq!(parse_cold("cold-9.pages"), None);
        for foreign in ["wal-9.seg", "wal-0000000000000009.seg.bak", "wal-+000000000000009.seg"] {
            assert_eq!(parse_segment(foreign), None);
        }
    }
}
