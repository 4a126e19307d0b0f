//! `mainstay inspect`: what a directory is made of, as far as it can be read.

mod cold;
mod files;
mod print;
mod shard;

use std::io::Write;

use mainstay::model::{Manifest, Point};
use serde::Serialize;

use super::arguments::Inspect;
use super::directory::{Directory, shards};
use super::finding::Finding;
use super::text::{hex, shown, utc};
use super::{Exit, Failure, print_json};

/// So often it is looked for what was missing: somebody may have removed it meanwhile.
const ATTEMPTS: usize = 3;

/// What a directory is made of.
#[derive(Debug, Serialize)]
pub struct Report {
    directory: String,
    manifest: Option<Summary>,
    /// Why the manifest cannot be read.
    error: Option<Finding>,
    shards: Vec<shard::Shard>,
    versions: Vec<Version>,
    /// Bytes of the files that the manifest names, and of those that it does not.
    bytes: files::Bytes,
    /// Files that the manifest does not name.
    not_named: Vec<files::NotNamed>,
}

#[derive(Debug, Serialize)]
struct Summary {
    generation: u64,
    id: String,
    shards: usize,
    routing: u32,
    timeline: u64,
    next_version: u64,
    edits: u64,
    used_bytes: u64,
    file_bytes: u64,
    torn: bool,
}

#[derive(Debug, Serialize)]
struct Version {
    version: u64,
    time: String,
    points: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    shard: u32,
    epoch: u64,
    lsn: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Looks at a directory and prints what is there.
pub fn run(dir: &Directory, asked: &Inspect, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut report = report(dir);
    for _ in 1..ATTEMPTS {
        if report.is_whole() {
            break;
        }
        report = self::report(dir);
    }
    dir.disk.finish();
    if asked.json {
        print_json(&report, out)?;
    } else {
        print::report(&report, out)?;
    }
    Ok(report.error.as_ref().map_or(Exit::Sound, |error| super::exit(std::slice::from_ref(error))))
}

impl Report {
    /// Is there nothing that could not be read?
    fn is_whole(&self) -> bool {
        self.error.is_none() && self.shards.iter().all(shard::Shard::is_whole)
    }
}

/// Looks at a directory.
pub fn report(dir: &Directory) -> Report {
    let directory = shown(dir.layout.root());
    let look = dir.look();
    let manifest = look.as_ref().ok().map(|look| &look.manifest);
    let (bytes, not_named) = files::walk(dir, look.as_ref().ok());
    Report {
        directory,
        shards: manifest.map(|manifest| looked_at(dir, manifest)).unwrap_or_default(),
        versions: manifest.map(versions).unwrap_or_default(),
        bytes,
        not_named,
        manifest: look.as_ref().ok().map(|look| Summary {
            generation: look.generation,
            id: hex(&look.manifest.directory.0),
            shards: look.manifest.shards.len(),
            routing: look.manifest.routing.id,
            timeline: look.manifest.timeline,
            next_version: look.manifest.next_version.0,
            edits: look.edits,
            used_bytes: look.used,
            file_bytes: look.bytes,
            torn: look.torn,
        }),
        error: look.err(),
    }
}

fn looked_at(dir: &Directory, manifest: &Manifest) -> Vec<shard::Shard> {
    let looked_at = shards(manifest).zip(&manifest.shards);
    looked_at.map(|(shard, record)| shard::Shard::new(dir, manifest, shard, record)).collect()
}

fn versions(manifest: &Manifest) -> Vec<Version> {
    let place = |(shard, point): (u32, &Point)| Place {
        shard,
        epoch: point.end.epoch.0,
        lsn: point.end.lsn.0,
        segment: point.tail.map(|tail| tail.segment.0),
        offset: point.tail.map(|tail| tail.offset),
        digest: point.digest.map(|digest| hex(&digest.hash)),
    };
    let versions = manifest.versions.iter().map(|(version, record)| Version {
        version: version.0,
        time: utc(record.time),
        points: (0..).zip(&record.points).map(place).collect(),
    });
    versions.collect()
}
