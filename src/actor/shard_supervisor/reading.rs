//! Reading a shard's files for its next life, while others may still drop some of them.

use super::Commons;
use crate::actor::replay::{Replayed, Replaying, SpillTo, Until};
use crate::actor::slot::{Entity, Slot};
use crate::machine::StateMachine;
use crate::model::{Incarnation, Tail};
use crate::storage::error::LogError;

/// Reads a shard's files, again if some of them were dropped meanwhile: then a newer snapshot has taken their place,
/// and that they are missing says nothing. What is dropped after that is noticed by what was found: the life claims its
/// cold files. Returns the timeline of the manifest that was followed, too.
pub(super) fn replay<M: StateMachine>(
    commons: &Commons<M>,
    slot: &Slot<M>,
    known_end: Option<Tail>,
    incarnation: Incarnation,
) -> (u64, Result<Replayed<Entity<M>>, LogError>) {
    let shard = slot.shard;
    // A rollback that is given up meanwhile leaves numbers behind that were read already.
    let number = |_| slot.next_cold(&commons.keeper.manifest());
    let (from, batch) = (commons.memory.spill_from(&commons.options), commons.memory.spill_batch());
    loop {
        let manifest = commons.keeper.manifest();
        let replaying = Replaying {
            machine: &commons.machine,
            disk: commons.disk.as_ref(),
            layout: &commons.layout,
            manifest: &manifest,
            poison: commons.options.poison,
            digest: commons.options.digest,
            pages: &commons.pages,
            spill: from.map(|from| SpillTo { from, batch, number: &number }),
            allowance: None,
            whole: false,
        };
        let mut recovered = replaying.shard(shard, Until::End(known_end));
        let is_sound = recovered.as_ref().is_ok_and(|replayed| replayed.findings.is_empty() && replayed.is_complete);
        if is_sound || manifest.kept_files(shard) == commons.keeper.manifest().kept_files(shard) {
            let recorded = manifest.shard(shard).map_or(Incarnation(0), |record| record.incarnation);
            if let Ok(replayed) = &mut recovered {
                replayed.findings.extend(replayed.claim(recorded.next().max(incarnation)));
            }
            return (manifest.timeline, recovered);
        }
    }
}
