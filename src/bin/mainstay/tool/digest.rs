//! `mainstay digest`: digests that were recorded, and those of what the snapshots hold.

use std::io::Write;

use mainstay::VersionId;
use mainstay::model::{Digest, Manifest, Position, ShardId, SnapshotRecord, SnapshotSeq};
use mainstay::state::StateDigest;
use mainstay::storage::snapshot::{self, Expected};

use super::arguments;
use super::directory::{Directory, shards};
use super::finding::{Finding, Kind};
use super::text::{hex, utc};
use super::{Exit, Failure, exit};

/// Prints and compares the digests.
pub fn run(dir: &Directory, asked: &arguments::Digest, out: &mut dyn Write) -> Result<Exit, Failure> {
    let version = asked.version.map(VersionId);
    let mut lines = Vec::new();
    let compared = dir.settled(&dir.manifest()?, |manifest| {
        let (shown, differ, unreadable) = self::lines(dir, manifest, version);
        lines = shown;
        let is_read = unreadable.is_empty();
        let findings: Vec<_> = unreadable.into_iter().chain(differ).collect();
        if is_read { Ok(findings) } else { Err(findings) }
    });
    dir.disk.finish();
    let findings = compared.unwrap_or_else(|findings| findings);
    if let (Some(version), true) = (version, lines.is_empty() && findings.is_empty()) {
        return Err(Failure::Refused(format!("there is no {version}")));
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    Ok(exit(&findings))
}

/// What is printed, the digests that differ, and what cannot be read.
fn lines(
    dir: &Directory,
    manifest: &Manifest,
    version: Option<VersionId>,
) -> (Vec<String>, Vec<Finding>, Vec<Finding>) {
    let (mut lines, mut differ, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    let versions = || manifest.versions.iter().filter(|(id, _)| version.is_none_or(|version| version == **id));
    for (id, record) in versions() {
        lines.push(format!("version {}  {}", id.0, utc(record.time)));
        for (shard, point) in shards(manifest).zip(&record.points) {
            lines.push(format!("  shard {}  {}  recorded {}", shard.0, point.end, or_none(point.digest)));
        }
    }
    for shard in shards(manifest) {
        let point = |end: Position| {
            let points = versions().filter_map(|(_, record)| record.points.get(shard.0 as usize));
            points.filter(|point| point.end.lsn == end.lsn).map(|point| point.digest).next()
        };
        for (number, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.snapshots) {
            let at_version = point(record.end);
            if version.is_some() && at_version.is_none() {
                continue;
            }
            match computed(dir, manifest, shard, (*number, record)) {
                Ok(Computed { hash, schema, in_file }) => {
                    let recorded = [record.digest, at_version.flatten()].into_iter().flatten();
                    // Of another schema it is of other bytes.
                    let recorded = recorded.filter(|recorded| recorded.schema == schema).map(|recorded| recorded.hash);
                    let recorded: Vec<_> = recorded.chain(in_file).collect();
                    let wrong = recorded.iter().find(|recorded| **recorded != hash);
                    let shown = wrong.or(recorded.first()).map_or_else(|| "none".to_owned(), |hash| hex(hash));
                    let (end, computed) = (record.end, hex(&hash));
                    lines.push(format!("{number} of {shard}  {end}  recorded {shown}  computed {computed}"));
                    let reason = "what it holds has another digest than what was recorded";
                    let path = dir.layout.snapshot(shard, *number);
                    let finding = |_| Finding::new(Kind::Digest, &path, reason).before(end.lsn.0).of(shard);
                    differ.extend(wrong.map(finding));
                }
                Err(finding) => unreadable.push(finding),
            }
        }
    }
    (lines, differ, unreadable)
}

/// The digest of what a snapshot holds, and the one that its footer has.
struct Computed {
    hash: [u8; 32],
    schema: u32,
    in_file: Option<[u8; 32]>,
}

fn computed(
    dir: &Directory,
    manifest: &Manifest,
    shard: ShardId,
    (number, record): (SnapshotSeq, &SnapshotRecord),
) -> Result<Computed, Finding> {
    let expected = Expected::recorded(manifest.directory, shard, number, record);
    let mut digest = StateDigest::new();
    let summary = snapshot::read(&dir.disk, &dir.layout.snapshot(shard, number), &expected, &mut |_, key, value| {
        digest.add(key, value);
        Ok(())
    });
    let summary = summary.map_err(|error| Finding::from(&error).before(record.end.lsn.0).of(shard))?;
    Ok(Computed { hash: digest.hash(), schema: summary.header.schema, in_file: summary.digest })
}

fn or_none(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| format!("{} of schema {}", hex(&digest.hash), digest.schema))
}
