//! Reading a shard's files for its next life, while others may still drop some of them.

use super::Commons;
use crate::actor::replay::{Replay, Replayed, Until};
use crate::actor::slot::Entity;
use crate::machine::StateMachine;
use crate::model::{Manifest, ShardId, Tail};
use crate::storage::error::LogError;

/// Reads a shard's files, again if some of them were dropped meanwhile: then a newer snapshot has taken their place,
/// and that they are missing says nothing. Returns the timeline of the manifest that was followed, too.
pub(super) fn replay<M: StateMachine>(
    commons: &Commons<M>,
    shard: ShardId,
    known_end: Option<Tail>,
) -> (u64, Result<Replayed<Entity<M>>, LogError>) {
    loop {
        let manifest = commons.keeper.manifest();
        let (machine, disk, layout) = (&*commons.machine, commons.disk.as_ref(), &commons.layout);
        let (poison, digest) = (commons.options.poison, commons.options.digest);
        let until = Until::End(known_end);
        let recovered = Replay { machine, disk, layout, manifest: &manifest, poison, shard, until, digest }.run();
        let is_sound = recovered.as_ref().is_ok_and(|replayed| replayed.findings.is_empty());
        let files = |manifest: &Manifest| {
            let record = manifest.shard(shard)?;
            Some((manifest.timeline, record.base, record.snapshots.keys().copied().collect::<Vec<_>>()))
        };
        if is_sound || files(&manifest) == files(&commons.keeper.manifest()) {
            return (manifest.timeline, recovered);
        }
    }
}
