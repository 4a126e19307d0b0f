//! Whether all of a state can be read, its values in cold files included. A rollback asks: the present one is given up
//! for it, and what it has lost would be lost for good.
//!
//! What is damaged and belongs to none of its values is no matter of this state.

use super::Replay;
use super::spilling::Spilling;
use crate::machine::StateMachine;
use crate::model::ColdSeq;
use crate::state::KeyHasher;
use crate::state::map::Map;
use crate::storage::cold::{self, ColdError, ColdId, Found};
use crate::storage::error::LogError;

impl<M: StateMachine> Replay<'_, M> {
    /// Is every cold file there that the snapshot names?
    pub(super) fn has_all(&self, missing: Option<ColdSeq>) -> Result<(), LogError> {
        let Some(file) = missing.filter(|_| self.what.whole) else { return Ok(()) };
        Err(ColdError::Missing { path: self.what.layout.cold(self.shard, file) }.into())
    }

    /// Is every value of the state where that says, in a page that verifies? Reads the files from the disk, and not
    /// those that were made while it was read.
    pub(super) fn reach(&self, map: &Map<M::Entity>, spilling: &Spilling<'_, M>) -> Result<(), LogError> {
        let record = self.what.manifest.shard(self.shard).filter(|_| self.what.whole);
        let named = |file: &ColdSeq| record.is_some_and(|record| record.cold.contains_key(file));
        for (file, values) in spilling.uses.files().filter(|(file, _)| named(file)) {
            self.reach_one(file, values, map, spilling)?;
        }
        Ok(())
    }

    fn reach_one(
        &self,
        file: ColdSeq,
        values: u64,
        map: &Map<M::Entity>,
        spilling: &Spilling<'_, M>,
    ) -> Result<(), LogError> {
        let hasher = KeyHasher::new(&self.what.manifest.routing, self.what.manifest.shards.len() as u32);
        let id = ColdId { directory: self.what.manifest.directory, shard: self.shard, file };
        let (mut found, mut damage) = (0, None);
        cold::scan(self.what.disk, self.what.layout, id, &mut |next| {
            match next {
                Found::Value(value) => {
                    let entry = map.entry(hasher.hash(value.key), value.key);
                    found += u64::from(entry.is_some_and(|entry| entry.location() == Some(value.location)));
                }
                Found::Damaged(error) => damage = damage.take().or(Some(error)),
            }
            spilling.go_on()
        })?;
        if found == values {
            return Ok(());
        }
        let (path, reason) = (self.what.layout.cold(self.shard, file), "values of the state are not in it");
        Err(damage.unwrap_or(ColdError::Damaged { path, sector: 0, reason }).into())
    }
}
