//! What follows the end of a point's disk: it is opened twice, compared, written to, crashed, and compared again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay::model::ShardRecord;
use mainstay::sim::{FaultKind, SimDisk};
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{LogError, ManifestError, OpenError, Runtime, ShardId};

use crate::book::{Book, Ending, Found};
use crate::complete;
use crate::ledger::Ledger;
use crate::point::Point;
use crate::stage::{patient_options, resigned_options};
use crate::workload::FOREIGN;

/// See the module.
pub struct Reopening {
    pub point: Point,
    pub ending: Ending,
}

pub type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Reopening {
    /// Returns every contradiction.
    pub async fn run(&self, disk: SimDisk, mut book: Book) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(stopped) = self.follow(disk, &mut book, &mut wrong).await {
            wrong.extend(stopped);
        }
        // One line an ending: what follows from the first contradiction says little.
        let more = wrong.len().saturating_sub(1);
        let first = wrong.into_iter().next();
        first.map(|wrong| format!("{} {:?}: {wrong} (and {more} more)", self.point, self.ending)).into_iter().collect()
    }

    /// `Err`: it cannot go on, and perhaps nothing is wrong about that.
    async fn follow(&self, disk: SimDisk, book: &mut Book, wrong: &mut Vec<String>) -> Result<(), Option<String>> {
        let before = files(&disk);
        let runtime = self.open(&disk, self.ending, book).await?;
        let found = Found::read(&runtime).map_err(Some)?;
        wrong.extend(book.check_versions(&runtime.versions()));
        drop(runtime);
        wrong.extend(book.check(&found, self.ending));
        let after = files(&disk);
        if self.point.workload.makes_snapshots() {
            wrong.extend(at_rest(&disk, &after));
        }
        // After a failed sync the cache showed what the disk did not have.
        if self.ending == Ending::PowerCut || !book.cache_lied {
            wrong.extend(changed(&before, &after));
        }

        // Another process: no waiting for the lock.
        let disk = disk.after_kill();
        let runtime = self.open(&disk, self.ending, book).await?;
        if Found::read(&runtime).map_err(Some)? != found {
            wrong.push("opened twice, it holds something else".to_owned());
        }
        if files(&disk) != after {
            wrong.push("opening without writing has changed the files".to_owned());
        }
        wrong.extend(book.check_outcomes(&runtime, &found).await);
        // Sometimes the power goes in the middle of that.
        if self.cuts_again() {
            disk.count_only_mutations(true);
            disk.fail_in(1 + self.point.seed / 7 % 14, FaultKind::Crash);
        }
        self.write_more(&runtime, book, wrong).await;
        let crashed = disk.crash(self.point.seed.wrapping_add(1));
        drop(runtime);

        let runtime = self.open(&crashed, Ending::PowerCut, book).await?;
        let found_again = Found::read(&runtime).map_err(Some)?;
        wrong.extend(book.check(&found_again, Ending::PowerCut));
        wrong.extend(book.check_versions(&runtime.versions()));
        wrong.extend(found_again.check_begins_with(&found));
        wrong.extend(book.check_outcomes(&runtime, &found_again).await);
        Ok(())
    }

    /// Does the power go while the reopened runtime is written to?
    fn cuts_again(&self) -> bool {
        self.point.seed.is_multiple_of(2)
    }

    async fn write_more(&self, runtime: &Runtime<Ledger>, book: &mut Book, wrong: &mut Vec<String>) {
        let before = book.receipts();
        let entries = ["a", "b", "c"].map(|key| book.entry(key, 50)).to_vec();
        book.submit_all(runtime, entries).await;
        let anything_goes = self.point.may_still_fail(self.ending) || self.cuts_again();
        if book.receipts() != before + 3 && !anything_goes {
            let records = book.records();
            let answers: Vec<_> = records.iter().rev().take(3).map(|r| &r.answer).collect();
            wrong.push(format!("reopened, it takes no commands: {answers:?}"));
        }
    }

    async fn open(&self, disk: &SimDisk, ending: Ending, book: &Book) -> Result<Runtime<Ledger>, Option<String>> {
        let (policy, shards) = (self.point.policy, self.point.workload.shards());
        let may_fail = self.point.may_still_fail(ending);
        let fails = self.cuts_again() || may_fail;
        let options = if fails { resigned_options(policy, shards) } else { patient_options(policy, shards) };
        match Runtime::open_on(disk.clone(), Ledger, options).await {
            Ok(runtime) => {
                book.opened();
                let refused =
                    runtime.recovery().refused().find(|(_, error)| !(may_fail && matches!(error, LogError::Disk(_))));
                match refused {
                    Some((shard, error)) => Err(Some(format!("{shard} is refused: {error}"))),
                    None if runtime.recovery().refused().next().is_some() => Err(None),
                    None => Ok(runtime),
                }
            }
            Err(OpenError::Disk(_) | OpenError::Manifest(ManifestError::Disk(_))) if may_fail => Err(None),
            Err(error) => Err(Some(format!("it cannot be opened: {error}"))),
        }
    }
}

/// All files but the lock.
pub fn files(disk: &SimDisk) -> Files {
    let mut files = disk.files();
    files.retain(|path, _| !path.ends_with("LOCK"));
    files
}

/// Every version that is listed can be gone back to, nothing of ours is there that nobody names, and what is somebody
/// else's is untouched.
pub fn at_rest(disk: &SimDisk, files: &Files) -> Vec<String> {
    // What cannot be read for good need not have kept the directory from opening: an old snapshot, which only stays
    // until the edit that drops it. Whether it is whole is asked all the same.
    let (readable, layout) = (disk.after_kill(), Layout::new(Path::new("/data")));
    readable.mend();
    let opened: Arc<dyn Disk> = Arc::new(readable.after_kill());
    let manifest = match manifest_log::open(&opened, &layout) {
        Ok(opened) => opened.manifest,
        Err(error) => return vec![format!("its manifest cannot be read: {error}")],
    };
    let mut wrong = complete::check(&readable, &layout, &manifest);
    for path in files.keys().filter(|path| path.parent() != Some(Path::new("/data"))) {
        let of_shard = |(shard, record): (ShardId, &ShardRecord)| {
            record.segments.keys().any(|segment| layout.segment(shard, *segment) == *path)
                || record.snapshots.keys().any(|snapshot| layout.snapshot(shard, *snapshot) == *path)
        };
        let is_foreign = path == Path::new(FOREIGN.0);
        if !is_foreign && !(0..).map(ShardId).zip(&manifest.shards).any(of_shard) {
            wrong.push(format!("{} is nobody's", path.display()));
        }
        if is_foreign && files.get(path).map(Vec::as_slice) != Some(FOREIGN.1) {
            wrong.push("a foreign file has changed".to_owned());
        }
    }
    let had_foreign = manifest.shards.len() == 2 && manifest.next_version.0 > 1;
    if had_foreign && !files.contains_key(Path::new(FOREIGN.0)) {
        wrong.push("a foreign file is gone".to_owned());
    }
    wrong
}

/// Opening removes left-overs, finishes making a directory, and changes nothing else.
fn changed(before: &Files, after: &Files) -> Option<String> {
    if !before.keys().any(|path| path.ends_with("CURRENT")) {
        return None;
    }
    let changed = after.iter().find(|(path, bytes)| before.get(*path) != Some(*bytes))?;
    Some(format!("opening has changed {}", changed.0.display()))
}
