//! Applies logged commands, one after the other, to the state that a replay makes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::entity_bytes;
use super::spilling::Spilling;
use crate::config::Poison;
use crate::machine::{At, StateMachine};
use crate::model::{Batch, ColdFault, Epoch, Lsn, Position, ShardId, Time, Unreadable};
use crate::state::map::Map;
use crate::state::{ColdUse, KeyHasher, ReadCold, Scratch, StateDigest, Txn};
use crate::storage::codec;
use crate::storage::error::LogError;

/// See the module.
pub(super) struct Applier<'a, M: StateMachine> {
    pub(super) machine: &'a M,
    pub(super) hasher: KeyHasher,
    pub(super) shard: ShardId,
    pub(super) policy: Poison,
    pub(super) known_poison: &'a BTreeSet<Position>,
    /// What is below is in the map already.
    pub(super) from: Lsn,
    pub(super) map: Map<M::Entity>,
    /// What of it is not in memory.
    pub(super) spilling: Spilling<'a, M>,
    pub(super) digest: Option<StateDigest>,
    /// What was recorded about places further on.
    pub(super) recorded: BTreeMap<Lsn, [u8; 32]>,
    pub(super) scratch: Scratch<M::Entity>,
    pub(super) time: Time,
    pub(super) skipped: Vec<Position>,
    pub(super) skipped_count: u64,
    pub(super) progress: Instant,
}

/// Why a command cannot be applied again.
#[derive(Debug, thiserror::Error)]
enum NotApplied {
    /// It is poison.
    #[error("{0}")]
    Poison(String),
    /// What it reads cannot be read.
    #[error("it reads what cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
}

impl<M: StateMachine> Applier<'_, M> {
    pub(super) fn batch(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), LogError> {
        self.time = self.time.max(batch.time);
        for (at, bytes) in batch.commands().enumerate() {
            let position = Position { epoch, lsn: batch.first.plus(at as u64) };
            if position.lsn < self.from {
                continue;
            }
            if self.known_poison.contains(&position) {
                self.skipped_count += 1;
                continue;
            }
            let reason = match self.command(position, batch, bytes) {
                Ok(()) => {
                    self.compare(position.lsn.plus(1))?;
                    continue;
                }
                Err(NotApplied::Unreadable(error)) if matches!(error.why, ColdFault::Disk(_)) => {
                    // As with the log: whoever gets it may try again.
                    return Err(LogError::Cold(error));
                }
                Err(error) => error.to_string(),
            };
            if self.policy == Poison::Refuse {
                return Err(LogError::Poison { position, reason });
            }
            tracing::error!(shard = self.shard.0, %position, reason, "a command is left out");
            self.skipped.push(position);
            self.skipped_count += 1;
        }
        if self.spilling.is_needed(self.map.bytes(), self.map.keys_bytes()) {
            self.spilling.relieve(&mut self.map);
        }
        self.spilling.ask(self.map.bytes())?;
        if self.progress.elapsed() >= Duration::from_secs(1) {
            self.progress = Instant::now();
            tracing::info!(shard = self.shard.0, next = batch.end().0, "replaying");
        }
        Ok(())
    }

    /// Runs a command until it has had everything that it reads.
    fn command(&mut self, position: Position, batch: &Batch, bytes: &[u8]) -> Result<(), NotApplied> {
        while !self.run(position, batch, bytes)? {
            for entry in std::mem::take(self.scratch.wanted()) {
                let here = self.spilling.files.read(&entry)?;
                self.scratch.thawed.insert(entry, here);
            }
        }
        self.scratch.thawed.clear();
        Ok(())
    }

    /// Has it landed? If not it lacks something.
    fn run(&mut self, position: Position, batch: &Batch, bytes: &[u8]) -> Result<bool, NotApplied> {
        let at = At { shard: self.shard, position, time: batch.time, schema: batch.schema };
        let machine = self.machine;
        let measure = |entity: &M::Entity| entity_bytes(machine, entity);
        let mut txn = Txn::new(&mut self.map, &self.hasher, &mut self.scratch, &measure);
        // The application's code, all of it: what panics in there is a command that cannot be replayed.
        let applied = catch_unwind(AssertUnwindSafe(|| {
            let command = if batch.schema == M::SCHEMA {
                codec::decode(bytes)
            } else {
                machine.upcast_command(batch.schema, bytes)
            };
            let command = command.map_err(|error| error.to_string())?;
            machine.apply(at, &mut txn, command).map(drop).map_err(|_| "an abort without a reason".to_owned())
        }));
        if !txn.is_complete() || self.digest.is_some() && !txn.has_old() {
            return Ok(false);
        }
        applied.unwrap_or_else(|_| Err("a panic".to_owned())).map_err(NotApplied::Poison)?;
        if let Some(digest) = &mut self.digest {
            let followed = catch_unwind(AssertUnwindSafe(|| digest.follow(&txn, codec::encode)));
            let followed = followed.map_err(|_| NotApplied::Poison("a panic".to_owned()))?;
            followed.map_err(|error| NotApplied::Poison(error.to_string()))?;
        }
        match txn.land() {
            Some(_) => self.spilling.uses = ColdUse::default(),
            None => self.scratch.freed().iter().for_each(|location| self.spilling.uses.remove(*location)),
        }
        Ok(true)
    }

    /// Holds the state in front of `next` against what a version has recorded there.
    pub(super) fn compare(&mut self, next: Lsn) -> Result<(), LogError> {
        let (Some(digest), Some(recorded)) = (&self.digest, self.recorded.remove(&next)) else { return Ok(()) };
        if digest.hash() == recorded { Ok(()) } else { Err(LogError::Digest { shard: self.shard, lsn: next }) }
    }
}
