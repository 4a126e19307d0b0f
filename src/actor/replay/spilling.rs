//! Spilling while a state is made from its files, so that one that is larger than its memory can be.
//!
//! Nobody sees the state yet, so an entry is replaced as soon as its file is durable. The manifest learns of the files
//! with everything else that a recovery has found, or with a rollback, before anybody sees the result; until then they
//! are left-overs.

use super::{Replaying, SpillTo};
use crate::actor::chilling::{Chilling, Place};
use crate::actor::cold_files::{ColdFiles, Open};
use crate::config::SPILL_BATCH_BYTES;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Edit, Incarnation, ShardId, ShardRecord};
use crate::state::ColdUse;
use crate::state::map::{Cursor, Entry, Key, Map};
use crate::storage::cold::ColdError;
use crate::storage::error::{DiskError, LogError};
use crate::sync::Arc;

/// It is asked whether a state may go on growing so many bytes at a time.
const STEP_BYTES: u64 = 16 << 10;

/// What of a state lies in cold files, and what is too much in memory.
pub(super) struct Spilling<'a, M: StateMachine> {
    what: Replaying<'a, M>,
    shard: ShardId,
    pub(super) files: Arc<ColdFiles<M>>,
    pub(super) uses: ColdUse,
    /// The files that were made, for the manifest.
    pub(super) made: Vec<Edit>,
    next: ColdSeq,
    hand: Cursor,
    /// So many bytes of values were left when there was nothing that could be written.
    left: u64,
    /// It goes on in memory, as well as it can.
    given_up: bool,
    /// So many bytes were allowed.
    allowed: u64,
}

impl<'a, M: StateMachine> Spilling<'a, M> {
    /// Nothing is referred to yet.
    pub(super) fn new(what: Replaying<'a, M>, shard: ShardId) -> Self {
        let files = ColdFiles::new(shard, Arc::clone(what.machine), Open::new(), Arc::clone(what.pages));
        let next = what.manifest.shard(shard).map_or(ColdSeq(1), |record| record.next_cold);
        let (files, uses, made) = (Arc::new(files), ColdUse::default(), Vec::new());
        let (hand, left, given_up, allowed) = (Cursor::START, 0, false, 0);
        Self { what, shard, files, uses, made, next, hand, left, given_up, allowed }
    }

    /// Does a map of so many bytes take too much, and is a file's worth of it something else than keys?
    pub(super) fn is_needed(&self, bytes: usize, keys_bytes: usize) -> bool {
        let values = (bytes - keys_bytes) as u64;
        let is_too_much = |spill: SpillTo<'_>| bytes as u64 > spill.from && values > self.left + spill.batch;
        !self.given_up && self.what.spill.is_some_and(is_too_much)
    }

    /// Spills until less is in memory than would be too much, with some room, or hardly more than keys.
    pub(super) fn relieve(&mut self, map: &mut Map<M::Entity>) {
        let Some(SpillTo { from, batch, .. }) = self.what.spill else { return };
        let enough = from - batch.max(from / 8).min(from);
        loop {
            let (bytes, keys_bytes) = (map.bytes() as u64, map.keys_bytes() as u64);
            let over = bytes.saturating_sub(enough.max(keys_bytes));
            if self.given_up || over == 0 {
                return;
            }
            match self.spill(map, SPILL_BATCH_BYTES.max(batch).min(over)) {
                Ok(true) => self.left = 0,
                Ok(false) => {
                    // Too long for a file, or it does not encode.
                    self.left = bytes - keys_bytes;
                    return;
                }
                Err(error) => {
                    tracing::error!(shard = self.shard.0, %error, "a recovery cannot spill");
                    self.given_up = true;
                }
            }
        }
    }

    /// Does anybody want the state?
    pub(super) fn go_on(&self) -> Result<(), LogError> {
        let is_given_up = self.what.allowance.is_some_and(|allowance| allowance.is_given_up());
        // Whoever wanted it has been told by now.
        if is_given_up { Err(LogError::OutOfMemory { bytes: self.allowed, allowed: 0 }) } else { Ok(()) }
    }

    /// May a map take so many bytes?
    pub(super) fn ask(&mut self, bytes: usize) -> Result<(), LogError> {
        self.go_on()?;
        let bytes = bytes as u64;
        let is_far = bytes.abs_diff(self.allowed) >= STEP_BYTES;
        let Some(allowance) = self.what.allowance.filter(|_| is_far) else { return Ok(()) };
        self.allowed = bytes;
        allowance.ask(self.shard, bytes)
    }

    /// Writes one file. `false`: there is nothing that it would help to write.
    fn spill(&mut self, map: &mut Map<M::Entity>, bytes: u64) -> Result<bool, ColdError> {
        let Replaying { disk, layout, manifest, .. } = self.what;
        let (shard, spill, next) = (self.shard, self.what.spill, &mut self.next);
        let place = Place { disk, layout, directory: manifest.directory, shard };
        let number = || {
            let number = spill.map_or(*next, |spill| (spill.number)(shard).max(*next));
            *next = number.next();
            number
        };
        let mut chilling = Chilling::new(place, M::SCHEMA, number);
        chilling.spill(map, &mut self.hand, bytes, || Ok::<_, DiskError>(()))?;
        let Some(chilled) = chilling.finish()? else { return Ok(false) };
        let written = &chilled.written;
        let mut files = self.files.files().clone();
        files.insert(written.file, Arc::clone(&chilled.file));
        self.files = Arc::new(self.files.with(files));
        for (was, at) in chilled.places() {
            let by = Entry::cold(was.hash(), Key::from_slice(was.key()), at);
            if map.replace(was, Arc::new(by)) {
                self.uses.add(at);
            }
        }
        map.tick();
        let incarnation = manifest.shard(shard).map_or(Incarnation(0), |record: &ShardRecord| record.incarnation);
        let (file, bytes, values) = (written.file, written.bytes, written.values);
        self.made.push(Edit::Chill { shard, incarnation, file, bytes, values });
        Ok(true)
    }
}
