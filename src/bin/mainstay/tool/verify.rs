//! `mainstay verify`: reads everything that the manifest names and verifies every checksum.

mod cold;
mod files;
pub mod snapshots;
pub mod versions;

use std::io::Write;

use mainstay::model::{Lsn, Manifest, ShardId};
use mainstay::storage::recovery::{self, Recovered, Wanted};
use serde::Serialize;
use snapshots::Named;

use super::arguments::Verify;
use super::directory::{Directory, shards};
use super::finding::Finding;
use super::text::{grouped, shown};
use super::{Exit, Failure, amount, exit, print_json};

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
    /// Cold files that were read.
    pub cold_files: usize,
    /// Values in them, needed or not.
    pub cold_values: u64,
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
    let directory = shown(dir.layout.root());
    let mut report = Report { directory, ..Report::default() };
    match dir.look() {
        Ok(look) => {
            if look.torn {
                let name = mainstay::storage::layout::manifest_name(look.generation);
                report
                    .notes
                    .push(format!("{name}: the last edit was cut short, or is being written: it does not count"));
            }
            let needed = look.manifest.versions.keys().filter(|_| deep);
            let needed = needed.map(|version| amount::version(dir, &look.manifest, *version));
            let needed: u64 = needed.map(|needed| needed.snapshots + needed.logs).sum();
            dir.disk.expect(amount::all(&look.manifest) + needed);
            for shard in shards(&look.manifest) {
                match dir.settled(&look.manifest, |manifest| check(dir, manifest, shard, deep)) {
                    Ok(sound) => report.shards.push(sound),
                    Err(findings) => report.findings.extend(findings),
                }
            }
            let versions = look.manifest.versions.keys().filter(|_| deep);
            for version in versions {
                match dir.settled(&look.manifest, |manifest| versions::check(dir, manifest, *version)) {
                    Ok(_) => report.versions.push(version.0),
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

/// Verifies one shard: log, snapshots and cold files; with `deep`, also that these hold the states that were recorded.
fn check(dir: &Directory, manifest: &Manifest, shard: ShardId, deep: bool) -> Result<Shard, Vec<Finding>> {
    let mut findings = Vec::new();
    let mut snapshots = 0;
    for (number, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.snapshots) {
        let named = Named { dir, manifest, shard, number: *number, record };
        let verified = if deep {
            named.scan().and_then(|scanned| named.compare(&scanned, named.recorded()))
        } else {
            named.verify()
        };
        match verified {
            Ok(()) => snapshots += 1,
            Err(finding) => findings.push(finding),
        }
    }
    let cold = cold::check(dir, manifest, shard).unwrap_or_else(|found| {
        findings.extend(found);
        cold::Verified::default()
    });
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
        cold_files: cold.files,
        cold_values: cold.values,
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
        let Shard { shard, commands, bytes, end, snapshots, cold_files, cold_values, .. } = shard;
        let (commands, bytes) = (grouped(*commands), grouped(*bytes));
        write!(
            out,
            "shard {shard}: sound: {commands} commands in {bytes} bytes, lsn {end} is next; {snapshots} snapshots"
        )?;
        match cold_files {
            0 => writeln!(out)?,
            _ => writeln!(out, ", {cold_files} cold files with {} values", grouped(*cold_values))?,
        }
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
