//! `mainstay digest`: digests that were recorded, and those of what the snapshots hold.

use std::io::Write;

use mainstay::VersionId;
use mainstay::model::{Digest, Manifest};

use super::arguments;
use super::directory::{Directory, shards};
use super::finding::{Finding, Kind};
use super::text::{hex, utc};
use super::verify::snapshots::Named;
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
    let wanted = wanted(dir, manifest, version);
    dir.disk.expect(wanted.iter().map(|(named, _)| named.record.bytes).sum());
    for (named, by_versions) in wanted {
        let Named { shard, number, record, .. } = named;
        let scanned = match named.scan() {
            Ok(scanned) => scanned,
            Err(finding) => {
                unreadable.push(finding);
                continue;
            }
        };
        let recorded: Vec<_> = scanned.recorded(record.digest.into_iter().chain(by_versions)).collect();
        let hash = scanned.digest.map(|digest| digest.hash);
        let wrong = recorded.iter().find(|recorded| Some(**recorded) != hash);
        let shown = wrong.or(recorded.first()).map_or_else(|| "none".to_owned(), |hash| hex(hash));
        let (end, computed) = (record.end, hash.map_or_else(|| "none".to_owned(), |hash| hex(&hash)));
        lines.push(format!("{number} of {shard}  {end}  recorded {shown}  computed {computed}"));
        let reason = "what it holds has another digest than what was recorded";
        let path = dir.layout.snapshot(shard, number);
        let finding = |_| Finding::new(Kind::Digest, &path, reason).before(end.lsn.0).of(shard);
        differ.extend(wrong.map(finding));
    }
    (lines, differ, unreadable)
}

/// The snapshots to be scanned, each with what versions that lie where it ends have recorded: all of them, or those
/// that lie where one version does.
fn wanted<'a>(dir: &'a Directory, manifest: &'a Manifest, version: Option<VersionId>) -> Vec<(Named<'a>, Vec<Digest>)> {
    let mut wanted = Vec::new();
    for shard in shards(manifest) {
        for (number, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.snapshots) {
            let versions = manifest.versions.iter().filter(|(id, _)| version.is_none_or(|version| version == **id));
            let points = versions.filter_map(|(_, version)| version.points.get(shard.0 as usize));
            let here: Vec<_> = points.filter(|point| point.end.lsn == record.end.lsn).collect();
            if version.is_none() || !here.is_empty() {
                let named = Named { dir, manifest, shard, number: *number, record };
                wanted.push((named, here.into_iter().filter_map(|point| point.digest).collect()));
            }
        }
    }
    wanted
}

fn or_none(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| format!("{} of schema {}", hex(&digest.hash), digest.schema))
}
