//! A shard's state from the newest snapshot that verifies.
//!
//! Only a damaged one may be passed over, for an older one or, as long as the log has its beginning, for none. What
//! this code cannot read, or the disk does not give, is refused.

use super::decoding::Decoding;
use super::in_order::in_order;
use super::spilling::Spilling;
use super::{Replay, Replaying, Until};
use crate::actor::cold_files::Open;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Lsn, Position, SnapshotRecord, SnapshotSeq, Time};
use crate::state::StateDigest;
use crate::state::map::{Builder, Entry, Map};
use crate::storage::cold::{ColdError, ColdFile, ColdId};
use crate::storage::error::{DiskError, LogError, SnapshotError};
use crate::storage::snapshot::{self, Block, Expected};
use crate::sync::Arc;

type State<'a, M> = (Map<<M as StateMachine>::Entity>, Spilling<'a, M>, Option<StateDigest>, Time);

/// See the module.
pub(super) struct Loaded<'a, M: StateMachine> {
    pub(super) map: Map<M::Entity>,
    /// What of it is not in memory.
    pub(super) spilling: Spilling<'a, M>,
    /// A file that the snapshot refers to, and that is not there.
    pub(super) missing: Option<ColdSeq>,
    /// Of the map, if it was taken.
    pub(super) digest: Option<StateDigest>,
    /// What the snapshot holds; none: there was none to be used.
    pub(super) end: Option<Position>,
    pub(super) time: Time,
    pub(super) entries: u64,
    /// The ones that were passed over.
    pub(super) damaged: Vec<(SnapshotSeq, Arc<SnapshotError>)>,
}

impl<'a, M: StateMachine> Replay<'a, M> {
    /// Loads the newest snapshot that verifies.
    pub(super) fn load(&self) -> Result<Loaded<'a, M>, LogError> {
        let record = self.what.manifest.shard(self.shard);
        let at_most = match self.until {
            Until::End(_) => Lsn(u64::MAX),
            Until::Point(point) => point.end.lsn,
        };
        let mut damaged = Vec::new();
        for (number, snapshot) in record.into_iter().flat_map(|record| record.snapshots_up_to(at_most)) {
            match self.load_one(number, snapshot) {
                Ok((map, spilling, digest, time)) => {
                    let (end, entries) = (Some(snapshot.end), snapshot.entries);
                    let files = spilling.files.files();
                    let missing = snapshot.cold.iter().find(|file| !files.contains_key(file)).copied();
                    return Ok(Loaded { map, spilling, missing, digest, end, time, entries, damaged });
                }
                Err(LogError::Snapshot(error)) if error.is_damage() => {
                    tracing::error!(shard = self.shard.0, %number, %error, "a snapshot is damaged");
                    damaged.push((number, Arc::new(error)));
                }
                // As with the log: whoever gets it may try again.
                Err(LogError::Snapshot(SnapshotError::Disk(error) | SnapshotError::Cold(ColdError::Disk(error)))) => {
                    return Err(error.into());
                }
                Err(error) => return Err(error),
            }
        }
        // Without a snapshot everything has to be in the log.
        if record.is_some_and(|record| record.base.is_some()) {
            let newest = damaged.into_iter().next();
            let error = newest.and_then(|(_, error)| Arc::try_unwrap(error).ok());
            let path = self.what.layout.shard(self.shard);
            return Err(error.unwrap_or(SnapshotError::Missing { path }).into());
        }
        let digest = self.what.digest.then(StateDigest::new);
        let (map, spilling) = (Map::new(), Spilling::new(self.what, self.shard));
        Ok(Loaded { map, spilling, missing: None, digest, end: None, time: Time(0), entries: 0, damaged })
    }

    /// Opens the cold files that a snapshot refers to. One that is not there costs its own values alone.
    fn open_cold(&self, files: &[ColdSeq]) -> Result<Open, DiskError> {
        let Replaying { disk, layout, manifest, .. } = self.what;
        let mut open = Open::new();
        for file in files {
            let id = ColdId { directory: manifest.directory, shard: self.shard, file: *file };
            match ColdFile::open(disk, layout, id) {
                Ok(opened) => _ = open.insert(*file, Arc::new(opened)),
                Err(ColdError::Disk(error)) => return Err(error),
                Err(error) => tracing::error!(shard = self.shard.0, %error, "a cold file is missing"),
            }
        }
        Ok(open)
    }

    fn load_one(&self, number: SnapshotSeq, record: &SnapshotRecord) -> Result<State<'a, M>, LogError> {
        let expected = Expected::recorded(self.what.manifest.directory, self.shard, number, record);
        let path = self.what.layout.snapshot(self.shard, number);
        let mut spilling = Spilling::new(self.what, self.shard);
        spilling.files = Arc::new(spilling.files.with(self.open_cold(&record.cold)?));
        // Entries come in the order of hashes.
        let (mut map, mut digest) = (Builder::new(record.entries), self.what.digest.then(StateDigest::new));
        let decoding = Decoding::new(self.what, self.shard);
        // Values in cold files are read in their order.
        let helpers = if digest.is_some() && !record.cold.is_empty() { 0 } else { self.helpers };
        let summary = snapshot::read_blocks(self.what.disk, &path, &expected, |blocks| {
            let decode = |block: Block<'_>| decoding.block(&block);
            in_order(
                helpers,
                || Ok(blocks.read_next()?),
                decode,
                |decoded| {
                    let decoded = decoded?;
                    if let (Some(digest), Some(taken)) = (&mut digest, &decoded.digest) {
                        digest.merge(taken);
                    }
                    decoded.entries.into_iter().try_for_each(|entry| Self::take(&mut map, &mut spilling, entry))
                },
            )
        })?;
        let recorded = record.digest.filter(|recorded| recorded.schema == M::SCHEMA);
        let differs = |digest: &StateDigest| recorded.is_some_and(|recorded| recorded.hash != digest.hash());
        if digest.as_ref().is_some_and(differs) {
            let reason = "its entries do not make the state whose digest was recorded";
            return Err(SnapshotError::Damaged { path, offset: 0, reason }.into());
        }
        Ok((map.finish(), spilling, digest, summary.header.time))
    }

    /// The next entry, within what memory there is.
    fn take(
        map: &mut Builder<M::Entity>,
        spilling: &mut Spilling<'a, M>,
        entry: Arc<Entry<M::Entity>>,
    ) -> Result<(), LogError> {
        if let Some(location) = entry.location() {
            spilling.uses.add(location);
        }
        map.push(entry);
        let (bytes, keys_bytes) = map.bytes();
        if spilling.is_needed(bytes, keys_bytes) {
            spilling.relieve(map.so_far());
        }
        spilling.ask(map.bytes().0)
    }
}
