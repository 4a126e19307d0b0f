//! `mainstay repair`: moves what nobody needs out of the way, if nothing is damaged.
//!
//! That is what a runtime would remove as well, sooner or later. Files of shards that the manifest does not name go
//! with the next opening. `CURRENT.tmp`, and manifests older than the one before the current one, stay until the
//! manifest's next change of generation, which replaces the one and removes the others. Where anything is damaged
//! nothing is touched: what looks like a left-over may then be all that is left of something.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mainstay::DiskError;
use mainstay::storage::disk::Disk;
use mainstay::storage::error::IoContext;
use mainstay::storage::layout::parse_manifest;
use mainstay::storage::manifest_log::Look;
use mainstay::storage::recovery;
use mainstay::sync::Arc;

use super::arguments::Repair;
use super::directory::{Directory, shards};
use super::finding::{Finding, Kind};
use super::text::shown;
use super::{Exit, Failure, exit, opened, verify};

/// What can be moved away, and why.
#[derive(Debug, Default)]
struct Plan {
    left_overs: Vec<(PathBuf, &'static str)>,
}

/// Repairs a directory, or says what would be done.
pub fn run(dir: &Directory, disk: &Arc<dyn Disk>, asked: &Repair, out: &mut dyn Write) -> Result<Exit, Failure> {
    // Held until all is done.
    let _opened = if asked.apply { Some(opened::open(dir, disk)?) } else { None };
    let report = verify::report(dir, false);
    dir.disk.finish();
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    for note in &report.notes {
        writeln!(out, "{note}: nothing is needed, the next opening goes on behind it")?;
    }
    if !report.findings.is_empty() {
        writeln!(out, "nothing is touched beside damage: make a copy of the directory, and restore a backup")?;
        return Ok(exit(&report.findings));
    }
    let plan = plan(dir, &dir.look().map_err(Failure::Found)?)?;
    if plan.left_overs.is_empty() {
        writeln!(out, "nothing to do")?;
        return Ok(Exit::Sound);
    }
    if !asked.apply {
        for (path, why) in &plan.left_overs {
            writeln!(out, "would move away {}: {why}", shown(path))?;
        }
        writeln!(out, "nothing was changed; if somebody has the directory open, some of this may be in the making")?;
        return Ok(Exit::Sound);
    }
    let kept = apply(dir, disk.as_ref(), &plan)?;
    for (path, why) in &plan.left_overs {
        writeln!(out, "moved away {}: {why}", shown(path))?;
    }
    writeln!(out, "kept in {}", shown(&kept))?;
    Ok(Exit::Sound)
}

/// Everything that can be moved away, with paths below the directory.
fn plan(dir: &Directory, look: &Look) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let root = dir.layout.root();
    let names = dir.disk.list(root).context("list", root)?;
    if names.iter().any(|name| name == "CURRENT.tmp") {
        plan.left_overs.push((PathBuf::from("CURRENT.tmp"), "a change of CURRENT that was cut short"));
    }
    let older = names.iter().filter_map(|name| Some((parse_manifest(name)?, name)));
    let mut older: Vec<_> = older.filter(|(generation, _)| *generation < look.generation).collect();
    older.sort();
    // The one before the current one is kept for repair by hand. Newer ones are not understood, and not touched.
    older.pop();
    let older = older.into_iter().map(|(_, name)| (PathBuf::from(name), "a manifest that was replaced"));
    plan.left_overs.extend(older);
    for shard in shards(&look.manifest) {
        let found = recovery::left_overs(&dir.disk, &dir.layout, &look.manifest, shard)?;
        let below = found.iter().filter_map(|path| path.strip_prefix(root).ok());
        plan.left_overs.extend(below.map(|path| (path.to_owned(), "the manifest does not name it")));
    }
    Ok(plan)
}

/// Moves all of it to a new directory, which is returned.
fn apply(dir: &Directory, disk: &dyn Disk, plan: &Plan) -> Result<PathBuf, Failure> {
    let root = dir.layout.root();
    let kept = fresh(dir)?;
    let make = |path: &Path| -> Result<(), DiskError> {
        disk.create_dir(path).context("create", path)?;
        let above = path.parent().unwrap_or(root);
        disk.sync_dir(above).context("sync", above)
    };
    make(&kept)?;
    let places = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    let mut changed: Vec<PathBuf> = plan.left_overs.iter().map(|(path, _)| places(path)).collect();
    changed.sort();
    changed.dedup();
    for place in changed.iter().filter(|place| !place.as_os_str().is_empty()) {
        make(&kept.join(place))?;
    }
    for (path, _) in &plan.left_overs {
        let from = root.join(path);
        disk.rename(&from, &kept.join(path)).context("move", &from)?;
    }
    for place in &changed {
        // The new names first: no crash loses both.
        for path in [kept.join(place), root.join(place)] {
            disk.sync_dir(&path).context("sync", &path)?;
        }
    }
    Ok(kept)
}

/// A name that nobody has.
fn fresh(dir: &Directory) -> Result<PathBuf, Failure> {
    let root = dir.layout.root();
    let names = dir.disk.list(root).context("list", root)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = (now..).map(|second| format!("repair-{second}")).find(|name| !names.contains(name));
    let none = || Failure::Found(Finding::new(Kind::Unreadable, root, "there is no name left"));
    Ok(root.join(name.ok_or_else(none)?))
}
