//! `mainstay rollback`: goes back to a version, without the application.
//!
//! Everything that the version needs is read first, and then the log as it would be behind the edit. Only then is the
//! edit committed. What the application's own code would make of the commands is not known here.

use std::io::Write;

use mainstay::VersionId;
use mainstay::model::{Edit, Manifest, ShardId};
use mainstay::storage::disk::Disk;
use mainstay::storage::recovery::{self, Wanted};
use mainstay::sync::Arc;

use super::arguments::Rollback;
use super::directory::{Directory, shards};
use super::finding::Finding;
use super::opened::{self, Opened};
use super::text::{clean, shown, utc};
use super::verify::versions;
use super::{Exit, Failure, amount, exit};

/// Goes back to a version and says what was abandoned.
pub fn run(dir: &Directory, disk: &Arc<dyn Disk>, asked: &Rollback, out: &mut dyn Write) -> Result<Exit, Failure> {
    let version = VersionId(asked.version);
    let mut opened = opened::open(dir, disk)?;
    let Some(record) = opened.manifest.versions.get(&version) else {
        let there: Vec<_> = opened.manifest.versions.keys().map(|version| version.0.to_string()).collect();
        return Err(Failure::Refused(format!("there is no {version}; there are: {}", there.join(" "))));
    };
    let time = utc(record.time);
    let mut next = opened.manifest.clone();
    let edit = Edit::Rollback { version, timeline: opened.manifest.timeline };
    let applied = next.apply(&edit).map_err(|declined| Failure::Refused(declined.to_string()))?;
    let needed = amount::version(dir, &opened.manifest, version);
    let again = needed.logs + unended(dir, &opened.manifest);
    dir.disk.expect(needed.snapshots + needed.logs + again);
    let findings = verified(dir, &opened.manifest, &next, version);
    if !findings.is_empty() {
        dir.disk.finish();
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        writeln!(out, "the version cannot be read, and nothing was changed")?;
        return Ok(exit(&findings));
    }
    let abandoned = abandoned(dir, &opened.manifest, &next);
    dir.disk.finish();
    commit(&mut opened, &next, edit)?;
    writeln!(out, "back at version {} of {time}, timeline {}", version.0, next.timeline)?;
    for line in abandoned {
        writeln!(out, "{line}")?;
    }
    // As when it is opened: what stays is swept by the next opening, and costs space only.
    for file in applied.dropped {
        let path = dir.layout.file(file);
        match disk.remove(&path) {
            Ok(()) => writeln!(out, "removed {}", shown(&path))?,
            Err(error) => {
                writeln!(out, "not removed, and not needed: {}: {}", shown(&path), clean(&error.to_string()))?;
            }
        }
    }
    Ok(Exit::Sound)
}

/// Reads what the version needs, and then the logs as they would be.
fn verified(dir: &Directory, now: &Manifest, next: &Manifest, version: VersionId) -> Vec<Finding> {
    let begins = match versions::check(dir, now, version) {
        Ok(begins) => begins,
        Err(findings) => return findings,
    };
    let read = shards(next).zip(begins).map(|(shard, from)| {
        let wanted = Wanted { from, known_end: None };
        let read = recovery::recover(&dir.disk, &dir.layout, next, shard, wanted, &mut |_, _| Ok(()));
        read.map_err(|error| Finding::from(&error).of(shard))
    });
    read.filter_map(Result::err).collect()
}

/// What the edit gives up, in words.
fn abandoned(dir: &Directory, now: &Manifest, next: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    for (shard, (before, behind)) in shards(now).zip(now.shards.iter().zip(&next.shards)) {
        let known = before.abandoned.len();
        for part in behind.abandoned.iter().skip(known) {
            let end = end(dir, now, shard, part.epoch);
            let end = end.map_or_else(|| "the end of its log".to_owned(), |end| format!("lsn {end}, exclusive"));
            lines.push(format!("shard {}: abandoned {} from {} to {end}", shard.0, part.epoch, part.from));
        }
        let snapshots = before.snapshots.keys().filter(|number| !behind.snapshots.contains_key(number));
        lines.extend(snapshots.map(|number| format!("shard {}: abandoned {number}", shard.0)));
    }
    let versions = now.versions.iter().filter(|(version, _)| !next.versions.contains_key(version));
    lines.extend(versions.map(|(version, record)| format!("abandoned {version} of {}", utc(record.time))));
    lines
}

/// Bytes of the logs whose ends have to be looked for, to tell what is abandoned.
fn unended(dir: &Directory, manifest: &Manifest) -> u64 {
    let unended = shards(manifest).zip(&manifest.shards);
    let unended = unended.filter(|(_, record)| record.epochs.last().is_some_and(|last| last.end.is_none()));
    unended.map(|(shard, record)| amount::log(dir, manifest, shard, amount::newest(record))).sum()
}

/// Where an epoch of the log ends, if that can still be read.
fn end(dir: &Directory, manifest: &Manifest, shard: ShardId, epoch: mainstay::Epoch) -> Option<u64> {
    let record = manifest.shard(shard)?;
    let is_last = record.epochs.last().is_some_and(|last| last.epoch == epoch);
    let recorded = record.epochs.iter().find(|record| record.epoch == epoch).and_then(|record| record.end);
    if recorded.is_some() || !is_last {
        return recorded.map(|end| end.0);
    }
    let wanted = Wanted { from: amount::newest(record), known_end: None };
    let read = recovery::recover(&dir.disk, &dir.layout, manifest, shard, wanted, &mut |_, _| Ok(()));
    read.ok()?.tail.map(|tail| tail.end.0)
}

/// Makes the edit durable.
fn commit(opened: &mut Opened, next: &Manifest, edit: Edit) -> Result<(), Failure> {
    if opened.torn || opened.log.wants_generation() {
        return opened.log.change_generation(next).map_err(|error| Failure::Refused(error.to_string()));
    }
    opened.log.append(&[edit]).map_err(|error| {
        let unknown = "it is not known whether the directory has gone back; `mainstay inspect` shows what counts";
        Failure::Refused(format!("{error}: {unknown}"))
    })
}
