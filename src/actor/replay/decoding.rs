//! The entries of a snapshot's blocks: verified, decoded, hashed and, with a digest, taken in. Any number of threads
//! may do so at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Replaying, entity_bytes};
use crate::machine::StateMachine;
use crate::model::{Location, ShardId};
use crate::state::map::{Entry, Key};
use crate::state::{KeyHasher, StateDigest};
use crate::storage::codec::{self, CodecError};
use crate::storage::cold::{ColdError, Shelf};
use crate::storage::error::SnapshotError;
use crate::storage::snapshot::{Block, Value};
use crate::sync::{Arc, Mutex};

/// See the module.
pub(super) struct Decoding<'a, M> {
    what: Replaying<'a, M>,
    hasher: KeyHasher,
    /// Of values in cold files only the digest knows.
    shelf: Mutex<Shelf<'a>>,
}

/// What a block has.
pub(super) struct Decoded<E> {
    pub(super) entries: Vec<Arc<Entry<E>>>,
    /// Of these, if one is wanted.
    pub(super) digest: Option<StateDigest>,
}

impl<'a, M: StateMachine> Decoding<'a, M> {
    pub(super) fn new(what: Replaying<'a, M>, shard: ShardId) -> Self {
        let hasher = KeyHasher::new(&what.manifest.routing, what.manifest.shards.len() as u32);
        let shelf = Mutex::new(Shelf::new(what.disk, what.layout, what.manifest.directory, shard));
        Self { what, hasher, shelf }
    }

    /// The entries of a block, in their order.
    pub(super) fn block(&self, block: &Block<'_>) -> Result<Decoded<M::Entity>, SnapshotError> {
        let (mut entries, mut digest) = (Vec::new(), self.what.digest.then(StateDigest::new));
        let mut unreadable = None;
        let visited = block.visit(&mut |schema, key, value| {
            let hash = self.hasher.hash(key);
            let entry = match value {
                Value::Here(value) => {
                    let (entity, bytes) = self.entity(key, (schema, value), digest.as_mut())?;
                    Entry::new(hash, Key::from_slice(key), entity, bytes)
                }
                Value::Cold(location) => {
                    if let Some(digest) = &mut digest {
                        self.take_cold(key, location, digest, &mut unreadable)?;
                    }
                    Entry::cold(hash, Key::from_slice(key), location)
                }
            };
            entries.push(Arc::new(entry));
            Ok(())
        });
        match visited {
            Ok(()) => Ok(Decoded { entries, digest }),
            Err(error) => Err(unreadable.map_or(error, SnapshotError::Cold)),
        }
    }

    fn take_cold(
        &self,
        key: &[u8],
        location: Location,
        digest: &mut StateDigest,
        unreadable: &mut Option<ColdError>,
    ) -> Result<(), CodecError> {
        // Many a page is read for one block.
        if self.what.allowance.is_some_and(|allowance| allowance.is_given_up()) {
            return Err(CodecError::new("nobody wants it any more"));
        }
        let mut shelf = self.shelf.lock();
        let value = shelf.value(key, location).map_err(|error| {
            *unreadable = Some(error);
            CodecError::new("its value cannot be read")
        })?;
        self.entity(key, value, Some(digest)).map(drop)
    }

    /// An entity, and what it counts for.
    fn entity(
        &self,
        key: &[u8],
        (schema, value): (u32, &[u8]),
        digest: Option<&mut StateDigest>,
    ) -> Result<(M::Entity, usize), CodecError> {
        // The application's code: what panics in there is an entity that cannot be read.
        let entity = catch_unwind(AssertUnwindSafe(|| {
            let entity =
                if schema == M::SCHEMA { codec::decode(value) } else { self.what.machine.upcast_entity(schema, value) };
            entity.map(|entity| (entity_bytes(&**self.what.machine, &entity), entity))
        }));
        let (bytes, entity) = entity.unwrap_or_else(|_| Err(CodecError::new("a panic")))?;
        match digest {
            Some(digest) if schema == M::SCHEMA => digest.add(key, value),
            Some(digest) => digest.add(key, &codec::encode(&entity)?),
            None => {}
        }
        Ok((entity, bytes))
    }
}
