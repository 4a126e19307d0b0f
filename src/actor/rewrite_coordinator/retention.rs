//! Gives versions up, drops what nobody needs, and begins rewrites by itself.

use ractor::RpcReplyPort;

use super::{CoordinatorState, Reply};
use crate::actor::clock::Clock;
use crate::actor::shard_supervisor::Commons;
use crate::actor::slot::Slot;
use crate::actor::snapshotter::prune::prune;
use crate::error::VersionError;
use crate::machine::StateMachine;
use crate::model::{Edit, EditOutcome, VersionId};
use crate::protocol::cut::Kind;
use crate::sync::Arc;

/// Bytes written to all logs so far.
pub(super) fn log_bytes<M: StateMachine>(slots: &[Arc<Slot<M>>]) -> u64 {
    slots.iter().map(|slot| slot.counters.wal_bytes.get()).sum()
}

/// Edits that retire what is outdated. Declined as soon as the newest version is another one: after a rollback others
/// are outdated, or none.
fn outdated<M: StateMachine>(commons: &Commons<M>) -> Vec<Edit> {
    let (retention, manifest) = (commons.options.versions.retention(), commons.keeper.manifest());
    let Some(newest) = manifest.versions.keys().next_back().copied() else { return Vec::new() };
    let versions = retention.outdated(&manifest, &commons.upkeep.aside.lock(), Clock::wall());
    versions.into_iter().map(|version| Edit::Outdate { version, newest }).collect()
}

/// Retires what is outdated, then drops what nobody needs any more.
async fn tidy_up<M: StateMachine>(commons: &Commons<M>, slots: &[Arc<Slot<M>>]) {
    let keeper = &commons.keeper;
    for edit in outdated(commons) {
        tracing::debug!(?edit, "a version is outdated");
        if keeper.edit(edit).await != EditOutcome::Committed {
            return;
        }
    }
    for slot in slots {
        prune(keeper, slot).await;
    }
}

impl<M: StateMachine> CoordinatorState<M> {
    /// Tells whoever waits for a version when the old ones are gone, so that its disk does not grow meanwhile.
    pub(super) fn retain(&self, version: VersionId, reply: Option<Reply>) {
        let (commons, slots) = (Arc::clone(&self.commons), self.slots.clone());
        tokio::spawn(async move {
            tidy_up(&commons, &slots).await;
            if let Some(reply) = reply {
                let _ = reply.send(Ok(version));
            }
        });
    }

    /// What snapshots have made superfluous while nothing was dropped.
    pub(super) fn drop_unneeded(&self) {
        let (keeper, slots) = (self.commons.keeper.clone(), self.slots.clone());
        tokio::spawn(async move {
            for slot in slots {
                prune(&keeper, &slot).await;
            }
        });
    }

    pub(super) fn retire(&self, version: VersionId, reply: RpcReplyPort<Result<(), VersionError>>) {
        let (commons, slots) = (Arc::clone(&self.commons), self.slots.clone());
        tokio::spawn(async move {
            let outcome = commons.keeper.edit(Edit::Retire { version }).await;
            // What could not be retired now is retention's.
            commons.upkeep.aside.lock().remove(&version);
            let result = match outcome {
                EditOutcome::Committed => Ok(()),
                EditOutcome::Declined(_) => Err(VersionError::Unknown(version)),
                EditOutcome::Failed => Err(VersionError::NotCommitted),
                EditOutcome::Indeterminate => Err(VersionError::Indeterminate),
            };
            if result.is_ok() {
                tidy_up(&commons, &slots).await;
            }
            let _ = reply.send(result);
        });
    }

    pub(super) fn look(&mut self) {
        self.finish_rollback();
        let (retention, log_bytes) = (self.commons.options.versions.retention(), log_bytes(&self.slots));
        if !self.is_busy() && self.commons.upkeep.growth.lock().take_due(&retention, log_bytes) {
            return self.make(Kind::Rewrite, false, None);
        }
        if !outdated(&self.commons).is_empty() {
            let (commons, slots) = (Arc::clone(&self.commons), self.slots.clone());
            tokio::spawn(async move { tidy_up(&commons, &slots).await });
        }
    }
}
