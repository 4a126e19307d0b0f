//! Cold files: which there are, and how long they stay.
//!
//! A file is needed as long as the working state refers to it, which is until [`Edit::Release`](super::Edit::Release)
//! says that it does not, or a snapshot that is kept does. [`Edit::Prune`](super::Edit::Prune) drops the others. A
//! working state that is lost needs nothing: the next one is made of a snapshot, [claims](super::Edit::Claim) what that
//! has, which may have been released since, and releases the rest.

use serde::{Deserialize, Serialize};

use super::{Declined, ShardRecord, SpilledFile};
use crate::model::{ColdSeq, Incarnation};

/// A file that holds values of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdRecord {
    /// Whose working state it was made for, or was the last to claim it.
    pub incarnation: Incarnation,
    /// Its length.
    pub bytes: u64,
    /// How many values it has, needed or not.
    pub values: u64,
    /// No working state refers to it any more.
    pub released: bool,
}

impl ColdRecord {
    fn is_claimed_by(&mut self, incarnation: Incarnation) {
        (self.incarnation, self.released) = (incarnation, false);
    }
}

impl ShardRecord {
    pub(super) fn chill(&mut self, file: ColdSeq, record: ColdRecord) -> Result<(), Declined> {
        if record.incarnation < self.incarnation {
            return Err(Declined::Stale);
        }
        if file < self.next_cold {
            return Err(Declined::NumberInUse);
        }
        self.cold.insert(file, record);
        self.next_cold = file.next();
        Ok(())
    }

    /// A file that comes with a rollback. Its number was given out before others that the old life has taken since.
    pub(super) fn take_in(&mut self, made: &SpilledFile) {
        let SpilledFile { file, bytes, values, .. } = *made;
        self.cold.insert(file, ColdRecord { incarnation: self.incarnation, bytes, values, released: false });
        self.next_cold = self.next_cold.max(file.next());
    }

    pub(super) fn claim(&mut self, incarnation: Incarnation, files: &[ColdSeq]) -> Result<(), Declined> {
        if incarnation <= self.incarnation {
            return Err(Declined::Stale);
        }
        if files.iter().any(|file| !self.cold.contains_key(file)) {
            return Err(Declined::Unreachable);
        }
        for file in files {
            self.cold.entry(*file).and_modify(|record| record.is_claimed_by(incarnation));
        }
        Ok(())
    }

    /// A rollback has made the state from what an earlier life has left: it refers to nobody knows which of them.
    pub(super) fn claim_all(&mut self) {
        let incarnation = self.incarnation;
        self.cold.values_mut().for_each(|record| record.is_claimed_by(incarnation));
    }

    pub(super) fn release(&mut self, incarnation: Incarnation, files: &[ColdSeq]) -> Result<(), Declined> {
        if incarnation < self.incarnation {
            return Err(Declined::Stale);
        }
        for file in files {
            // What a later life has made is not this one's to release.
            if let Some(record) = self.cold.get_mut(file).filter(|record| record.incarnation <= incarnation) {
                record.released = true;
            }
        }
        Ok(())
    }

    /// The files that nobody needs.
    pub fn unneeded_cold(&self) -> impl Iterator<Item = ColdSeq> {
        let named = |file: &ColdSeq| self.snapshots.values().any(|snapshot| snapshot.cold.binary_search(file).is_ok());
        self.cold.iter().filter(move |(file, record)| record.released && !named(file)).map(|(file, _)| *file)
    }

    pub(super) fn drop_cold(&mut self) -> Vec<ColdSeq> {
        let dropped: Vec<_> = self.unneeded_cold().collect();
        self.cold.retain(|file, _| dropped.binary_search(file).is_err());
        dropped
    }
}
