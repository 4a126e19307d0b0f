//! Which versions are given up, and when a rewrite is due by itself: looked at now and then, and with every new
//! version.

use std::collections::BTreeSet;

use crate::model::{Manifest, Time, VersionId, VersionRecord};

/// What is kept, and how far the logs may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many versions are kept.
    pub keep: u64,
    /// Older ones are not, in microseconds; 0: whatever their age.
    pub keep_for_us: u64,
    /// A rewrite is due with so many bytes of log since the last one; 0: never.
    pub rewrite_bytes: u64,
    /// But not before they have grown by so much of what the last one has written.
    pub rewrite_percent: u64,
}

/// How far the logs have grown since the last rewrite. Log is counted in bytes written since the opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// What the opening found behind the snapshots, until it is rewritten.
    found: u64,
    /// How much log there was when the last rewrite was begun.
    log_bytes: u64,
    /// Bytes of its snapshots.
    written: u64,
}

impl Retention {
    /// The versions that are not kept, oldest first. The newest one always is. Those that are `aside` are kept, and do
    /// not count: whoever has them made retires them.
    #[must_use]
    pub fn outdated(&self, manifest: &Manifest, aside: &BTreeSet<VersionId>, now: Time) -> Vec<VersionId> {
        let too_old = |time: Time| self.keep_for_us > 0 && now.0.saturating_sub(time.0) > self.keep_for_us;
        let counts = |(id, _): &(&VersionId, &VersionRecord)| !aside.contains(id);
        let versions: Vec<_> = manifest.versions.iter().filter(counts).collect();
        let count = versions.len() as u64;
        let versions = (0..count.saturating_sub(1)).zip(versions);
        let beyond = count.saturating_sub(self.keep);
        versions.filter(|(at, (_, record))| *at < beyond || too_old(record.time)).map(|(_, (id, _))| *id).collect()
    }
}

impl Growth {
    /// An opening has found so much log behind snapshots of so many bytes.
    #[must_use]
    pub fn new(found: u64, written: u64) -> Self {
        Self { found, log_bytes: 0, written }
    }

    /// A rewrite that was begun with so much log has written so much.
    pub fn rewritten(&mut self, log_bytes: u64, written: u64) {
        *self = Self { found: 0, log_bytes, written };
    }

    /// Is a rewrite due? Then the next one is not before as much has come again, whatever becomes of this one.
    pub fn take_due(&mut self, retention: &Retention, log_bytes: u64) -> bool {
        let grown = self.found.saturating_add(log_bytes.saturating_sub(self.log_bytes));
        let percent = (self.written / 100).saturating_mul(retention.rewrite_percent);
        let is_due = retention.rewrite_bytes > 0 && grown >= retention.rewrite_bytes.max(percent);
        if is_due {
            (self.found, self.log_bytes) = (0, log_bytes);
        }
        is_due
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::{DirectoryId, Routing, VersionRecord};

    fn versions(times: &[u64]) -> Manifest {
        let mut manifest = Manifest::new(DirectoryId([0; 16]), Routing { id: 1, key: [0; 16] }, 0);
        for (id, time) in (1..).map(VersionId).zip(times) {
            manifest.versions.insert(id, VersionRecord { time: Time(*time), points: Vec::new() });
        }
        manifest
    }

    const RETENTION: Retention = Retention { keep: 2, keep_for_us: 0, rewrite_bytes: 100, rewrite_percent: 50 };

    #[test]
    fn the_oldest_go_by_count_and_by_age_and_the_newest_stays() {
        let ids = |retention: Retention, times: &[u64], now| -> Vec<u64> {
            retention.outdated(&versions(times), &BTreeSet::new(), Time(now)).into_iter().map(|id| id.0).collect()
        };
        assert_eq!(ids(RETENTION, &[], 9), []);
        assert_eq!(ids(RETENTION, &[1, 2], 900), []);
        assert_eq!(ids(RETENTION, &[1, 2, 3, 4], 900), [1, 2]);
        let aged = Retention { keep: 3, keep_for_us: 10, ..RETENTION };
        assert_eq!(ids(aged, &[1, 2, 3, 4], 11), [1]);
        assert_eq!(ids(aged, &[1, 2, 3, 4], 13), [1, 2]);
        assert_eq!(ids(aged, &[1, 2, 3, 4], 900), [1, 2, 3]);
    }

    #[test]
    fn what_is_aside_does_not_count_and_is_kept() {
        let aside = [VersionId(3)].into();
        assert_eq!(RETENTION.outdated(&versions(&[1, 2, 3]), &aside, Time(900)), []);
        assert_eq!(RETENTION.outdated(&versions(&[1, 2, 3, 4]), &aside, Time(900)), [VersionId(1)]);
        let only_one = Retention { keep: 1, keep_for_us: 1, ..RETENTION };
        assert_eq!(only_one.outdated(&versions(&[1, 2, 3]), &aside, Time(900)), [VersionId(1)]);
    }

    #[test]
    fn a_rewrite_is_due_once_for_so_much_log() {
        let mut growth = Growth::new(50, 0);
        assert!(!growth.take_due(&RETENTION, 49));
        assert!(growth.take_due(&RETENTION, 50), "what was found counts");
        assert!(!growth.take_due(&RETENTION, 149), "the same log again");
        growth.rewritten(250, 1_000);
        assert!(!growth.take_due(&RETENTION, 749), "half of what was written");
        assert!(growth.take_due(&RETENTION, 750));
        assert!(!Growth::new(0, 1_000).take_due(&RETENTION, 499), "half of what was found");
        assert!(!Growth::new(0, 0).take_due(&Retention { rewrite_bytes: 0, ..RETENTION }, u64::MAX));
    }
}
