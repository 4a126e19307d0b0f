//! The files of a directory by size, and those that the manifest does not name.

use std::path::Path;

use mainstay::ShardId;
use mainstay::model::Manifest;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout;
use mainstay::storage::manifest_log::Look;
use serde::Serialize;

use super::super::directory::Directory;
use super::super::text::clean;

/// Bytes of files.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Bytes {
    pub manifest: u64,
    pub segments: u64,
    pub snapshots: u64,
    pub cold: u64,
    pub not_named: u64,
}

/// A file that the manifest does not name.
#[derive(Debug, Serialize)]
pub struct NotNamed {
    /// Its name below the directory.
    pub name: String,
    /// Its size, if it has a name of ours.
    pub bytes: Option<u64>,
    /// What its name says that it is.
    pub what: &'static str,
}

/// Names that are ours. Nothing else is opened: it might be anything.
fn what(name: &str) -> Option<&'static str> {
    if layout::parse_manifest(name).is_some() {
        Some("a manifest generation")
    } else if layout::parse_segment(name).is_some() {
        Some("a log file")
    } else if layout::parse_snapshot(name).is_some() {
        Some("a snapshot")
    } else if layout::parse_snapshot_temporary(name).is_some() {
        Some("a snapshot that is being written, or was")
    } else if layout::parse_cold(name).is_some() {
        Some("a cold file")
    } else if name == "CURRENT.tmp" {
        Some("a pointer that is being written, or was")
    } else if name == "CURRENT" {
        Some("the pointer to the manifest")
    } else {
        None
    }
}

/// Lists all files and adds up their sizes.
pub fn walk(dir: &Directory, look: Option<&Look>) -> (Bytes, Vec<NotNamed>) {
    let (mut bytes, mut not_named) = (Bytes::default(), Vec::new());
    let root = dir.layout.root();
    let mut shards = Vec::new();
    for name in dir.disk.list(root).unwrap_or_default() {
        let shard = name.strip_prefix("shard-").and_then(|number| number.parse().ok()).map(ShardId);
        if let Some(shard) = shard.filter(|shard| dir.layout.shard(*shard) == root.join(&name)) {
            shards.push(shard);
        } else if name != "LOCK" {
            let is_named = look.is_some_and(|look| name == "CURRENT" || name == layout::manifest_name(look.generation));
            let size = size(dir, root, &name);
            if is_named {
                bytes.manifest += size.unwrap_or(0);
            } else {
                not_named.push(add(&mut bytes, String::new(), &name, size));
            }
        }
    }
    shards.sort();
    for shard in shards {
        let place = dir.layout.shard(shard);
        for name in dir.disk.list(&place).unwrap_or_default() {
            let size = size(dir, &place, &name);
            match named(look.map(|look| &look.manifest), shard, &name) {
                Some(Named::Segment) => bytes.segments += size.unwrap_or(0),
                Some(Named::Cold) => bytes.cold += size.unwrap_or(0),
                Some(Named::Snapshot) => bytes.snapshots += size.unwrap_or(0),
                None => not_named.push(add(&mut bytes, format!("shard-{}/", shard.0), &name, size)),
            }
        }
    }
    (bytes, not_named)
}

enum Named {
    Segment,
    Snapshot,
    Cold,
}

fn named(manifest: Option<&Manifest>, shard: ShardId, name: &str) -> Option<Named> {
    let record = manifest?.shard(shard)?;
    if layout::parse_segment(name).is_some_and(|segment| record.segments.contains_key(&segment)) {
        return Some(Named::Segment);
    }
    if layout::parse_cold(name).is_some_and(|cold| record.cold.contains_key(&cold)) {
        return Some(Named::Cold);
    }
    let snapshot = layout::parse_snapshot(name)?;
    record.snapshots.contains_key(&snapshot).then_some(Named::Snapshot)
}

fn add(bytes: &mut Bytes, place: String, name: &str, size: Option<u64>) -> NotNamed {
    bytes.not_named += size.unwrap_or(0);
    NotNamed { name: place + &clean(name), bytes: size, what: what(name).unwrap_or("not one of mainstay's") }
}

fn size(dir: &Directory, place: &Path, name: &str) -> Option<u64> {
    what(name)?;
    dir.disk.open(&place.join(name)).and_then(|file| file.size()).ok()
}
