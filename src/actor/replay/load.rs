//! A shard's state from the newest snapshot that verifies.
//!
//! Only a damaged one may be passed over, for an older one or, as long as the log has its beginning, for none. What
//! this code cannot read, or the disk does not give, is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Replay, Until, entity_bytes};
use crate::machine::StateMachine;
use crate::model::{Lsn, Position, SnapshotRecord, SnapshotSeq, Time};
use crate::state::map::{Entry, Key, Map};
use crate::state::{KeyHasher, StateDigest};
use crate::storage::codec;
use crate::storage::error::{LogError, SnapshotError};
use crate::storage::snapshot::{self, Expected};
use crate::sync::Arc;

type State<E> = (Map<E>, Option<StateDigest>, Time);

/// See the module.
pub(super) struct Loaded<E> {
    pub(super) map: Map<E>,
    /// Of the map, if it was taken.
    pub(super) digest: Option<StateDigest>,
    /// What the snapshot holds; none: there was none to be used.
    pub(super) end: Option<Position>,
    pub(super) time: Time,
    pub(super) entries: u64,
    /// The ones that were passed over.
    pub(super) damaged: Vec<(SnapshotSeq, Arc<SnapshotError>)>,
}

impl<M: StateMachine> Replay<'_, M> {
    /// Loads the newest snapshot that verifies.
    pub(super) fn load(&self) -> Result<Loaded<M::Entity>, LogError> {
        let record = self.manifest.shard(self.shard);
        let snapshots = record.map(|record| record.snapshots_oldest_first()).unwrap_or_default();
        let at_most = match self.until {
            Until::End(_) => Lsn(u64::MAX),
            Until::Point(point) => point.end.lsn,
        };
        let mut damaged = Vec::new();
        for (number, snapshot) in snapshots.into_iter().rev().filter(|(_, record)| record.end.lsn <= at_most) {
            match self.load_one(number, snapshot) {
                Ok((map, digest, time)) => {
                    let (end, entries) = (Some(snapshot.end), snapshot.entries);
                    return Ok(Loaded { map, digest, end, time, entries, damaged });
                }
                Err(error) if error.is_damage() => {
                    tracing::error!(shard = self.shard.0, %number, %error, "a snapshot is damaged");
                    damaged.push((number, Arc::new(error)));
                }
                // As with the log: whoever gets it may try again.
                Err(SnapshotError::Disk(error)) => return Err(error.into()),
                Err(error) => return Err(error.into()),
            }
        }
        // Without a snapshot everything has to be in the log.
        if record.is_some_and(|record| record.base.is_some()) {
            let newest = damaged.into_iter().next();
            let error = newest.and_then(|(_, error)| Arc::try_unwrap(error).ok());
            let path = self.layout.shard(self.shard);
            return Err(error.unwrap_or(SnapshotError::Missing { path }).into());
        }
        let digest = self.digest.then(StateDigest::new);
        Ok(Loaded { map: Map::new(), digest, end: None, time: Time(0), entries: 0, damaged })
    }

    fn load_one(&self, number: SnapshotSeq, record: &SnapshotRecord) -> Result<State<M::Entity>, SnapshotError> {
        let hasher = KeyHasher::new(&self.manifest.routing, self.manifest.shards.len() as u32);
        let expected = Expected::recorded(self.manifest.directory, self.shard, number, record);
        let path = self.layout.snapshot(self.shard, number);
        let (mut map, mut digest) = (Map::new(), self.digest.then(StateDigest::new));
        let summary = snapshot::read(self.disk, &path, &expected, &mut |schema, key, value| {
            // The application's code: what panics in there is an entity that cannot be read.
            let entity = catch_unwind(AssertUnwindSafe(|| {
                let entity =
                    if schema == M::SCHEMA { codec::decode(value) } else { self.machine.upcast_entity(schema, value) };
                entity.map(|entity| (entity_bytes(self.machine, &entity), entity))
            }));
            let (bytes, entity) = entity.unwrap_or_else(|_| Err(codec::CodecError::new("a panic")))?;
            match &mut digest {
                Some(digest) if schema == M::SCHEMA => digest.add(key, value),
                Some(digest) => digest.add(key, &codec::encode(&entity)?),
                None => {}
            }
            map.insert(Arc::new(Entry::new(hasher.hash(key), Key::from_slice(key), entity, bytes)));
            Ok(())
        })?;
        let recorded = record.digest.filter(|recorded| recorded.schema == M::SCHEMA);
        let differs = |digest: &StateDigest| recorded.is_some_and(|recorded| recorded.hash != digest.hash());
        if digest.as_ref().is_some_and(differs) {
            let reason = "its entries do not make the state whose digest was recorded";
            return Err(SnapshotError::Damaged { path, offset: 0, reason });
        }
        Ok((map, digest, summary.header.time))
    }
}
