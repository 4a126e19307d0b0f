//! Drops what no version and no recovery of a shard needs any more.

use crate::actor::keeper::Keeper;
use crate::actor::slot::Slot;
use crate::error::NotExecuted;
use crate::machine::StateMachine;
use crate::model::{Edit, EditOutcome};
use crate::sync::atomic::Ordering;

/// Asks the manifest to drop the snapshots and the log files that are not needed. What it declines stays: the next
/// snapshot asks again.
///
/// Not of a shard that was refused or is fenced: its files may be what it takes to repair it. And not while a version
/// or a snapshot is made, which may need what the manifest does not know to be needed yet; whoever makes it asks
/// afterwards, whatever has become of it.
pub(crate) async fn prune<M: StateMachine>(keeper: &Keeper, slot: &Slot<M>) {
    // Looked at first: a cut that begins behind that lies behind every snapshot that is in there.
    let (shard, manifest) = (slot.shard, keeper.manifest());
    let repairable = matches!(slot.refusal(), Some(NotExecuted::Refused | NotExecuted::Fenced));
    if repairable || slot.pins.load(Ordering::SeqCst) > 0 {
        return;
    }
    let life = slot.life().clone();
    let superfluous = manifest.superfluous(shard, life.begins.lock().values().copied());
    let Some(base) = superfluous else { return };
    let outcome = keeper.edit(Edit::Prune { shard, base }).await;
    tracing::debug!(shard = shard.0, ?base, ?outcome, "prune");
    if let (EditOutcome::Committed, Some(base)) = (outcome, base) {
        // The file that follows the last dropped one stays, and with it the end that it follows.
        life.begins.lock().retain(|segment, _| *segment > base.segment);
    }
}
