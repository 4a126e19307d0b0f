//! The cold files of one shard: every page of each, and which keys of snapshots are lost where one does not verify.
//!
//! What the working state refers to is not known without its log. So a page that is damaged in a file that no snapshot
//! names is told of, and nobody knows whether anything in it still counts: the next life begins with a snapshot, and
//! needs none of it.

use std::collections::{BTreeMap, BTreeSet};

use mainstay::model::{ColdRecord, ColdSeq, Location, Manifest, ShardId};
use mainstay::storage::cold::{self, ColdError, ColdId, Found};
use mainstay::storage::snapshot::{self, Expected, Value};

use super::super::directory::Directory;
use super::super::finding::{Finding, Kind};
use super::super::text::escaped;

/// So many lost keys of a file and a snapshot are named; the others are counted.
const NAMED_MAX: usize = 20;

/// What was read of a shard's cold files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verified {
    /// How many files.
    pub files: usize,
    /// Values in them, needed or not.
    pub values: u64,
}

/// Pages that verify, by file, for files of which some do not: the sectors where they begin.
type Sound = BTreeMap<ColdSeq, BTreeSet<u32>>;

/// Verifies all cold files of a shard that the manifest names.
pub fn check(dir: &Directory, manifest: &Manifest, shard: ShardId) -> Result<Verified, Vec<Finding>> {
    let (mut verified, mut wrong) = (Verified::default(), Vec::new());
    for (file, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.cold) {
        let id = ColdId { directory: manifest.directory, shard, file: *file };
        let (pages, found) = scan(dir, id, record);
        if found.is_empty() {
            verified.files += 1;
            verified.values += record.values;
        } else {
            wrong.push((*file, pages, found));
        }
    }
    forget_dropped(dir, shard, &mut wrong);
    if wrong.is_empty() {
        return Ok(verified);
    }
    let (mut damaged, mut findings) = (Sound::new(), Vec::new());
    for (file, pages, found) in wrong {
        if found.iter().any(Finding::is_damage) {
            damaged.insert(file, pages);
        }
        findings.extend(found);
    }
    findings.extend(lost(dir, manifest, shard, &damaged));
    Err(findings)
}

/// A live runtime gives files up while others are read, perhaps faster than all of them can be: what the manifest does
/// not name any more is as it should be.
fn forget_dropped(dir: &Directory, shard: ShardId, wrong: &mut Vec<(ColdSeq, BTreeSet<u32>, Vec<Finding>)>) {
    if wrong.is_empty() {
        return;
    }
    let Ok(look) = dir.look() else { return };
    wrong.retain(|(file, ..)| look.manifest.shard(shard).is_some_and(|record| record.cold.contains_key(file)));
}

/// Reads a file: the pages that verify, and what is wrong.
fn scan(dir: &Directory, id: ColdId, record: &ColdRecord) -> (BTreeSet<u32>, Vec<Finding>) {
    let (mut pages, mut findings) = (BTreeSet::new(), Vec::new());
    let finding = |error: &ColdError| Finding::from(error).of(id.shard);
    let scanned = cold::scan(&dir.disk, &dir.layout, id, &mut |found| {
        match found {
            Found::Value(value) => _ = pages.insert(value.location.sector),
            Found::Damaged(error) => findings.push(finding(&error)),
        }
        Ok::<_, ColdError>(())
    });
    match scanned {
        Err(error) => findings.push(finding(&error)),
        Ok(scanned) if findings.is_empty() && (scanned.values, scanned.bytes) != (record.values, record.bytes) => {
            let reason = format!(
                "it has {} values in {} bytes, and {} in {} were recorded",
                scanned.values, scanned.bytes, record.values, record.bytes
            );
            findings.push(Finding::new(Kind::Damaged, &dir.layout.cold(id.shard, id.file), &reason).of(id.shard));
        }
        Ok(_) => {}
    }
    (pages, findings)
}

/// The keys of every snapshot whose values lay in a page that does not verify. A snapshot that cannot be read itself is
/// told of elsewhere.
fn lost(dir: &Directory, manifest: &Manifest, shard: ShardId, damaged: &Sound) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, record) in manifest.shard(shard).into_iter().flat_map(|record| &record.snapshots) {
        if !record.cold.iter().any(|file| damaged.contains_key(file)) {
            continue;
        }
        let expected = Expected::recorded(manifest.directory, shard, *number, record);
        let mut keys: BTreeMap<ColdSeq, Vec<Vec<u8>>> = BTreeMap::new();
        let is_lost = |at: Location| damaged.get(&at.file).is_some_and(|pages| !pages.contains(&at.sector));
        let path = dir.layout.snapshot(shard, *number);
        // What was found in front of damage is lost all the same.
        let _ = snapshot::read(&dir.disk, &path, &expected, &mut |_, key, value| {
            if let Value::Cold(at) = value
                && is_lost(at)
            {
                keys.entry(at.file).or_default().push(key.to_vec());
            }
            Ok(())
        });
        for (file, keys) in keys {
            let path = dir.layout.cold(shard, file);
            let finding = Finding::new(Kind::Damaged, &path, &named(number.0, &keys));
            findings.push(finding.before(record.end.lsn.0).of(shard));
        }
    }
    findings
}

fn named(snapshot: u64, keys: &[Vec<u8>]) -> String {
    let names: Vec<_> = keys.iter().take(NAMED_MAX).map(|key| format!("\"{}\"", escaped(key))).collect();
    let more = keys.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} keys of snapshot {snapshot} are lost with it: {}{more}", keys.len(), names.join(" "))
}
