//! What a spiller knows of the cold files of its shard: how much of each is live, and which are to be released.
//!
//! Invariant: a file that the manifest has not as released is either live or dead, and dead for good.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Adopted;
use crate::model::ColdSeq;

/// A compaction reads so many times what it may write, at most.
const READ_BATCHES: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    adopted: Adopted,
    /// A compaction left so many values where they were. It is not worth another before there are fewer.
    left: Option<u64>,
}

impl File {
    /// Less than half is live, and nobody has tried in vain.
    fn is_worth_compacting(&self) -> bool {
        let Adopted { values, live, .. } = self.adopted;
        live < values.saturating_sub(live) && self.left.is_none_or(|left| live < left)
    }

    /// What its live values take, as far as that can be told without a look at them.
    fn live_bytes(&self) -> u64 {
        let Adopted { bytes, values, live, .. } = self.adopted;
        (u128::from(bytes) * u128::from(live) / u128::from(values.max(1))) as u64
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    live: BTreeMap<ColdSeq, File>,
    dead: BTreeSet<ColdSeq>,
}

impl Files {
    /// The manifest has a file.
    pub(super) fn adopt(&mut self, file: ColdSeq, adopted: Adopted) {
        if adopted.live > 0 {
            self.live.insert(file, File { adopted, left: None });
        } else if !adopted.released {
            self.dead.insert(file);
        }
    }

    /// So many values of a file are live. One that is not known is being released, or belongs to a hand-over that says
    /// the same.
    pub(super) fn uses(&mut self, file: ColdSeq, live: u64) {
        let Some(known) = self.live.get_mut(&file) else { return };
        known.adopted.live = live;
        if live == 0 && self.live.remove(&file).is_some_and(|known| !known.adopted.released) {
            self.dead.insert(file);
        }
    }

    /// Whatever these files still have, a compaction did not get.
    pub(super) fn leave(&mut self, sources: &[ColdSeq]) {
        for source in sources {
            if let Some(file) = self.live.get_mut(source) {
                file.left = Some(file.adopted.live);
            }
        }
    }

    /// What is to be released, ascending.
    pub(super) fn dead(&self) -> Vec<ColdSeq> {
        self.dead.iter().copied().collect()
    }

    /// These need not be released any more.
    pub(super) fn forget(&mut self, files: &[ColdSeq]) {
        self.dead.retain(|file| !files.contains(file));
    }

    /// What is worth a compaction, oldest first, as much as fits into one batch; and no more files than are read soon,
    /// because a spill may have to wait for that. A file that does not fit goes alone.
    pub(super) fn sources(&self, batch_bytes: u64) -> Vec<ColdSeq> {
        let (mut sources, mut live, mut read) = (Vec::new(), 0u64, 0u64);
        for (number, file) in self.live.iter().filter(|(_, file)| file.is_worth_compacting()) {
            live = live.saturating_add(file.live_bytes());
            read = read.saturating_add(file.adopted.bytes);
            let is_much = live > batch_bytes || read > batch_bytes.saturating_mul(READ_BATCHES);
            if is_much && !sources.is_empty() {
                break;
            }
            sources.push(*number);
        }
        sources
    }
}
