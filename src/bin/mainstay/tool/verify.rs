//! `mainstay verify`: reads everything that the manifest names and verifies every checksum.

mod files;
pub mod versions;

use std::io::Write;

use mainstay::model::{Lsn, Manifest, ShardId};
use mainstay::storage::recovery::{self, Recovered, Wanted};
use mainstay::storage::snapshot::{self, Expected};
use serde::Serialize;

use super::arguments::Verify;
use super::directory::{Directory, shards};
use super::finding::Finding;
use super::text::{clean, grouped};
use super::{Exit, Failure, exit, print_json};

/// What was verified.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The directory.
    pub directory: String,
    /// Is everything as it was written?
    pub sound: bool,
    /// What is not.
    pub findings: Vec<Finding>,
    /// What is no damage, and may be of interest.
    pub notes: Vec<String>,
    /// What was read of each shard that is sound.
    pub shards: Vec<Shard>,
    /// Versions that were read from their snapshots to their ends.
    pub versions: Vec<u64>,
}

/// A shard that is sound.
#[derive(Debug, Serialize)]
pub struct Shard {
    /// Its number.
    pub shard: u32,
    /// Commands in its log.
    pub commands: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// The lsn behind its last command.
    pub end: u64,
    /// Bytes behind its end that a crash has torn.
    pub torn_bytes: u64,
    /// Snapshots that were read.
    pub snapshots: usize,
}

/// Verifies a directory and prints what was found.
pub fn run(dir: &Directory, asked: &Verify, out: &mut dyn Write) -> Result<Exit, Failure> {
    let report = report(dir, asked.deep);
    dir.disk.finish();
    if asked.json {
        print_json(&report, out)?;
    } else {
        print(&report, out)?;
    }
    Ok(exit(&report.findings))
}

/// Verifies a directory.
pub fn report(dir: &Directory, deep: bool) -> Report {
    let directory = clean(&dir.layout.root().display().to_string());
    let mut report = Report { directory, ..Report::default() };
    match dir.look() {
        Ok(look) => {
            if look.torn {
                let name = mainstay::storage::layout::manifest_name(look.generation);
                report
                    .notes
                    .push(format!("{name}: the last edit was cut short, or is being written: it does not count"));
            }
            dir.disk.expect(bytes(&look.manifest));
            for shard in shards(&look.manifest) {
                match dir.settled(&look.manifest, |manifest| check(dir, manifest, shard)) {
                    Ok(sound) => report.shards.push(sound),
                    Err(findings) => report.findings.extend(findings),
                }
            }
            let versions = look.manifest.versions.keys().filter(|_| deep);
            for version in versions {
                match dir.settled(&look.manifest, |manifest| versions::check(dir, manifest, *version)) {
                    Ok(()) => report.versions.push(version.0),
                    Err(findings) => report.findings.extend(findings),
                }
            }
        }
        Err(finding) => {
            report.findings.push(finding);
            report.notes.push("without the manifest nothing else can be verified".to_owned());
        }
    }
    let torn = report.shards.iter().filter(|shard| shard.torn_bytes > 0);
    let torn = torn.map(|Shard { shard, torn_bytes, end, .. }| {
        format!("shard {shard}: {torn_bytes} bytes behind lsn {end} are torn, or being written: they do not count")
    });
    report.notes.extend(torn.collect::<Vec<_>>());
    report.sound = report.findings.is_empty();
    report
}

fn bytes(manifest: &Manifest) -> u64 {
    let segments = manifest.shards.iter().flat_map(|shard| shard.segments.values().map(|segment| segment.bytes));
    let snapshots = manifest.shards.iter().flat_map(|shard| shard.snapshots.values().map(|snapshot| snapshot.bytes));
    segments.chain(snapshots).sum()
}

/// Verifies one shard: log and snapshots.
pub fn check(dir: &Directory, manifest: &Manifest, shard: ShardId) -> Result<Shard, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut snapshots = 0;
    for (number, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.snapshots) {
        let expected = Expected::recorded(manifest.directory, shard, *number, record);
        let verified = snapshot::verify(&dir.disk, &dir.layout.snapshot(shard, *number), &expected);
        match verified {
            Ok(_) => snapshots += 1,
            Err(error) => findings.push(Finding::from(&error).before(record.end.lsn.0).of(shard)),
        }
    }
    let recovered = match read(dir, manifest, shard) {
        Ok(recovered) => recovered,
        Err(finding) => {
            findings.extend(files::check(dir, manifest, shard, finding));
            Recovered::default()
        }
    };
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(Shard {
        shard: shard.0,
        commands: recovered.commands,
        bytes: recovered.bytes,
        end: recovered.tail.map_or(Lsn::FIRST, |tail| tail.end).0,
        torn_bytes: recovered.torn_bytes,
        snapshots,
    })
}

/// Reads a shard's log as a recovery does, all of it.
fn read(dir: &Directory, manifest: &Manifest, shard: ShardId) -> Result<Recovered, Finding> {
    let read = |from| {
        let wanted = Wanted { from, known_end: None };
        recovery::recover(&dir.disk, &dir.layout, manifest, shard, wanted, &mut |_, _| Ok(()))
    };
    let mut recovered = read(Lsn::FIRST);
    if let Ok(Recovered { tail: None, .. }) = recovered {
        // With a snapshot there was a log.
        let snapshots = manifest.shard(shard).into_iter().flat_map(|record| record.snapshots.values());
        recovered = read(snapshots.map(|record| record.end.lsn).max().unwrap_or(Lsn::FIRST));
    }
    recovered.map_err(|error| Finding::from(&error).of(shard))
}

fn print(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for shard in &report.shards {
        let Shard { shard, commands, bytes, end, snapshots, .. } = shard;
        let (commands, bytes) = (grouped(*commands), grouped(*bytes));
        writeln!(
            out,
            "shard {shard}: sound: {commands} commands in {bytes} bytes, lsn {end} is next; {snapshots} snapshots"
        )?;
    }
    for version in &report.versions {
        writeln!(out, "version {version}: sound")?;
    }
    let findings = report.findings.len();
    match findings {
        0 => writeln!(out, "sound")?,
        _ => writeln!(out, "not sound: {findings} findings")?,
    }
    Ok(())
}
