//! Which versions are given up, and when a rewrite is due by itself.

use ractor::RpcReplyPort;

use super::{CoordinatorState, Reply, error};
use crate::actor::clock::Clock;
use crate::actor::keeper::Keeper;
use crate::actor::slot::Slot;
use crate::actor::snapshotter::prune::prune;
use crate::config::VersionOptions;
use crate::error::VersionError;
use crate::machine::StateMachine;
use crate::model::{Edit, EditOutcome, Manifest, Time, VersionId};
use crate::protocol::cut::{Failed, Kind};
use crate::sync::Arc;

/// How far the logs have grown since the last rewrite.
pub(super) struct Growth {
    /// Bytes of log then, and of the snapshots that it has written.
    log_bytes: u64,
    written: u64,
}

impl Growth {
    pub(super) fn new<M: StateMachine>(slots: &[Arc<Slot<M>>]) -> Self {
        Self { log_bytes: log_bytes(slots), written: 0 }
    }

    pub(super) fn rewritten<M: StateMachine>(&mut self, slots: &[Arc<Slot<M>>], manifest: &Manifest) {
        let newest = manifest.shards.iter().filter_map(|shard| shard.snapshots.values().next_back());
        (self.log_bytes, self.written) = (log_bytes(slots), newest.map(|snapshot| snapshot.bytes).sum());
    }

    fn is_due<M: StateMachine>(&self, slots: &[Arc<Slot<M>>], options: &VersionOptions) -> bool {
        let grown = log_bytes(slots).saturating_sub(self.log_bytes);
        let percent = (self.written / 100).saturating_mul(u64::from(options.rewrite_percent));
        options.rewrite_bytes > 0 && grown >= options.rewrite_bytes.max(percent)
    }
}

fn log_bytes<M: StateMachine>(slots: &[Arc<Slot<M>>]) -> u64 {
    slots.iter().map(|slot| slot.counters.wal_bytes.get()).sum()
}

/// The versions that the options do not keep, oldest first. The newest one always stays.
fn outdated(manifest: &Manifest, options: &VersionOptions, now: Time) -> Vec<VersionId> {
    let keep_for = u64::try_from(options.keep_for.as_micros()).unwrap_or(u64::MAX);
    let too_old = |time: Time| keep_for > 0 && now.0.saturating_sub(time.0) > keep_for;
    let beyond = manifest.versions.len().saturating_sub(options.keep as usize);
    let last = manifest.versions.len().saturating_sub(1);
    let versions = manifest.versions.iter().take(last).enumerate();
    versions.filter(|(at, (_, record))| *at < beyond || too_old(record.time)).map(|(_, (id, _))| *id).collect()
}

/// Retires what is outdated, then drops what nobody needs any more.
async fn tidy_up<M: StateMachine>(keeper: &Keeper, slots: &[Arc<Slot<M>>], options: &VersionOptions) {
    let outdated = outdated(&keeper.manifest(), options, Clock::wall());
    for version in outdated {
        if keeper.edit(Edit::Retire { version }).await != EditOutcome::Committed {
            return;
        }
        tracing::debug!(%version, "version retired");
    }
    for slot in slots {
        prune(keeper, slot).await;
    }
}

impl<M: StateMachine> CoordinatorState<M> {
    /// Tells whoever waits for a version when the old ones are gone, so that its disk does not grow meanwhile.
    pub(super) fn retain(&self, result: Result<VersionId, Failed>, reply: Option<Reply>) {
        let (commons, slots) = (Arc::clone(&self.commons), self.slots.clone());
        tokio::spawn(async move {
            tidy_up(&commons.keeper, &slots, &commons.options.versions).await;
            if let Some(reply) = reply {
                let _ = reply.send(result.map_err(error));
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
            let result = match commons.keeper.edit(Edit::Retire { version }).await {
                EditOutcome::Committed => Ok(()),
                EditOutcome::Declined(_) => Err(VersionError::Unknown(version)),
                EditOutcome::Failed => Err(VersionError::NotCommitted),
                EditOutcome::Indeterminate => Err(VersionError::Indeterminate),
            };
            if result.is_ok() {
                tidy_up(&commons.keeper, &slots, &commons.options.versions).await;
            }
            let _ = reply.send(result);
        });
    }

    pub(super) fn look(&mut self) {
        self.finish_rollback();
        let options = &self.commons.options.versions;
        if !self.core.is_busy() && !self.rollbacks.is_busy() && self.growth.is_due(&self.slots, options) {
            // A failed one is tried again when as much has come again.
            self.growth.log_bytes = log_bytes(&self.slots);
            return self.make(Kind::Rewrite, None);
        }
        let manifest = self.commons.keeper.manifest();
        if !options.keep_for.is_zero() && !outdated(&manifest, options, Clock::wall()).is_empty() {
            let (commons, slots) = (Arc::clone(&self.commons), self.slots.clone());
            tokio::spawn(async move { tidy_up(&commons.keeper, &slots, &commons.options.versions).await });
        }
    }
}
