//! A directory that somebody else may be writing to.
//!
//! Without a lock the files that are read are not all of one moment: a line of the manifest is half written, a file is
//! removed between the manifest and the look at it. So whatever looks wrong is looked at again, and counts only if it
//! is wrong in the same way twice in a row. Real damage stays where it is.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use mainstay::ManifestError;
use mainstay::model::{Manifest, ShardId};
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log::{self, Look};

use super::Failure;
use super::finding::{Finding, Kind};
use super::looking::Looking;

/// So often something that looks wrong is looked at.
const ATTEMPTS: usize = 6;
/// And so long after the first look; each time twice as long.
const PAUSE: Duration = Duration::from_millis(2);

/// A directory to be looked at.
#[derive(Clone, Debug)]
pub struct Directory {
    /// What it lies on.
    pub disk: Looking,
    /// Its names.
    pub layout: Layout,
}

impl Directory {
    /// The directory at `path`, if there is data in it.
    ///
    /// # Errors
    /// There is none, or it cannot be listed.
    pub fn new(disk: Looking, path: &Path) -> Result<Self, Failure> {
        let layout = Layout::new(path);
        match manifest_log::exists(&disk, &layout) {
            Ok(false) => Err(Failure::Refused(format!("{} holds no data of mainstay", path.display()))),
            // A shard's directory may have gone, which is damage: whoever reads the manifest will tell.
            Err(ManifestError::Disk(error)) if error.path == path => Err(error.into()),
            _ => Ok(Self { disk, layout }),
        }
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn look(&self) -> Result<Look, Finding> {
        let unsettled = || Finding::new(Kind::Unreadable, self.layout.root(), "its manifest changes too fast");
        settled(|| self.look_once().map_err(|finding| vec![finding]))
            .map_err(|findings| findings.into_iter().next().unwrap_or_else(unsettled))
    }

    fn look_once(&self) -> Result<Look, Finding> {
        // Says so if it is only CURRENT that is missing.
        let read =
            manifest_log::exists(&self.disk, &self.layout).and_then(|_| manifest_log::look(&self.disk, &self.layout));
        read.map_err(|error| Finding::from(&error))
    }

    /// Reads the manifest.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn manifest(&self) -> Result<Manifest, Failure> {
        Ok(self.look().map_err(Failure::Found)?.manifest)
    }

    /// Does something with this manifest and what it names; and again with a newer one until that goes well, or is
    /// wrong in the same way twice.
    ///
    /// # Errors
    /// What was found twice in a row; what was found last, if nothing was.
    pub fn settled<T>(
        &self,
        manifest: &Manifest,
        mut attempt: impl FnMut(&Manifest) -> Result<T, Vec<Finding>>,
    ) -> Result<T, Vec<Finding>> {
        let mut first = Some(manifest);
        settled(|| match first.take() {
            Some(manifest) => attempt(manifest),
            None => attempt(&self.look_once().map_err(|finding| vec![finding])?.manifest),
        })
    }
}

/// Shards by their numbers.
pub fn shards(manifest: &Manifest) -> impl Iterator<Item = ShardId> + use<> {
    (0..manifest.shards.len() as u32).map(ShardId)
}

fn settled<T>(mut attempt: impl FnMut() -> Result<T, Vec<Finding>>) -> Result<T, Vec<Finding>> {
    let mut before: Vec<Finding> = Vec::new();
    let mut pause = PAUSE;
    for _ in 0..ATTEMPTS {
        let found = match attempt() {
            Ok(done) => return Ok(done),
            Err(found) => found,
        };
        let (both, fresh): (Vec<_>, Vec<_>) = found.into_iter().partition(|finding| before.contains(finding));
        if !both.is_empty() {
            return Err(both);
        }
        before = fresh;
        sleep(pause);
        pause *= 2;
    }
    let moving = |finding: Finding| Finding { kind: Kind::Unreadable, ..finding };
    Err(before.into_iter().map(moving).collect())
}
