//! The cold files that readings make, one each: on the disk, and named by the manifest or not.

use std::collections::BTreeSet;

use mainstay::model::{ColdSeq, Edit, ShardId, SpilledFile};
use mainstay::protocol::rollback::Loading;

#[derive(Clone, Debug, Default)]
pub struct Files {
    there: BTreeSet<ColdSeq>,
    named: BTreeSet<ColdSeq>,
    /// The next open finds them named, or not.
    unsure: BTreeSet<ColdSeq>,
}

/// That of a coordinator's reading.
fn file(coordinator: u32, loading: Loading) -> ColdSeq {
    ColdSeq(u64::from(coordinator) * 10 + loading)
}

fn of(edit: &Edit) -> impl Iterator<Item = ColdSeq> {
    let Edit::RollbackSpilled { cold, .. } = edit else { unreachable!("every reading makes one") };
    cold.iter().map(|made| made.file)
}

impl Files {
    pub fn make(&mut self, coordinator: u32, loading: Loading) -> Vec<SpilledFile> {
        let file = file(coordinator, loading);
        assert!(self.there.insert(file), "a number is used again");
        vec![SpilledFile { shard: ShardId(0), file, bytes: 1024, values: 1 }]
    }

    pub fn sweep(&mut self, coordinator: u32, loading: Loading) {
        let file = file(coordinator, loading);
        if !self.named.contains(&file) {
            self.there.remove(&file);
        }
    }

    pub fn remove(&mut self, edit: &Edit) {
        of(edit).for_each(|file| _ = self.there.remove(&file));
    }

    pub fn committed(&mut self, edit: &Edit, is_sure: bool) {
        let files = if is_sure { &mut self.named } else { &mut self.unsure };
        files.extend(of(edit));
    }

    /// What counts, or may, is there.
    pub fn check(&self) {
        let mut counting = self.named.iter().chain(&self.unsure);
        assert!(counting.all(|file| self.there.contains(file)), "a file that counts is gone");
    }

    /// Nothing is left lying around but by a coordinator that has died.
    pub fn at_rest(&self, coordinator: u32) {
        let own = self.there.iter().filter(|number| number.0 / 10 == u64::from(coordinator));
        let mut nobodys = own.filter(|file| !self.named.contains(file) && !self.unsure.contains(file));
        assert_eq!(nobodys.next(), None, "a file is nobody's");
    }
}
