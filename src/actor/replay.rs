//! From a shard's log to its state: recovery reads the frames, the machine applies their commands again.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::config::Poison;
use crate::machine::{At, StateMachine};
use crate::model::{Batch, Epoch, Lsn, Manifest, Position, ShardId, Tail, Time};
use crate::state::map::Map;
use crate::state::{KeyHasher, Scratch, Txn};
use crate::storage::codec;
use crate::storage::disk::Disk;
use crate::storage::error::LogError;
use crate::storage::layout::Layout;
use crate::storage::recovery;
use crate::sync::Arc;

/// A shard's state, read from its log.
pub(crate) struct Replayed<E> {
    pub(crate) map: Map<E>,
    pub(crate) end: Lsn,
    pub(crate) time: Time,
    pub(crate) tail: Option<Tail>,
    /// Poison that was found now and is not in the manifest yet.
    pub(crate) skipped: Vec<Position>,
    pub(crate) report: ShardRecovery,
}

/// What recovery found in one shard. Of a refused one nothing is known: its numbers are 0, and `next` is 1.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardRecovery {
    /// The shard.
    pub shard: ShardId,
    /// The first lsn that is free: the next command's.
    pub next: Lsn,
    /// Commands in the log, which were replayed, those that were left out included.
    pub commands: u64,
    /// Bytes of frames that were read, headers and padding included.
    pub bytes: u64,
    /// Bytes behind the log's end that a crash has torn, left in place, or that the file has lost.
    pub torn_bytes: u64,
    /// Commands that were left out because they cannot be replayed, now or when that was found out, see
    /// [`Poison::Skip`](crate::Poison::Skip).
    pub poison_skipped: u64,
    /// How long reading and replaying took.
    pub duration: Duration,
    /// Why the shard takes no reads or writes, if its log was refused.
    pub refused: Option<Arc<LogError>>,
}

/// What to replay, and how.
pub(crate) struct Replay<'a, M> {
    pub(crate) machine: &'a M,
    pub(crate) disk: &'a dyn Disk,
    pub(crate) layout: &'a Layout,
    pub(crate) manifest: &'a Manifest,
    pub(crate) poison: Poison,
    pub(crate) shard: ShardId,
    pub(crate) known_end: Option<Tail>,
}

struct Applier<'a, M: StateMachine> {
    machine: &'a M,
    hasher: KeyHasher,
    shard: ShardId,
    policy: Poison,
    known_poison: &'a BTreeSet<Position>,
    map: Map<M::Entity>,
    scratch: Scratch<M::Entity>,
    time: Time,
    skipped: Vec<Position>,
    skipped_count: u64,
    progress: Instant,
}

impl<M: StateMachine> Replay<'_, M> {
    /// Reads the log and applies it.
    pub(crate) fn run(&self) -> Result<Replayed<M::Entity>, LogError> {
        let started = Instant::now();
        let none = BTreeSet::new();
        let record = self.manifest.shard(self.shard);
        let mut applier = Applier {
            machine: self.machine,
            hasher: KeyHasher::new(&self.manifest.routing, self.manifest.shards.len() as u32),
            shard: self.shard,
            policy: self.poison,
            known_poison: record.map_or(&none, |record| &record.poison),
            map: Map::new(),
            scratch: Scratch::default(),
            time: Time(0),
            skipped: Vec::new(),
            skipped_count: 0,
            progress: started,
        };
        let recovered = recovery::recover(
            self.disk,
            self.layout,
            self.manifest,
            self.shard,
            self.known_end,
            &mut |epoch, batch| applier.batch(epoch, &batch),
        )?;
        let report = ShardRecovery {
            shard: self.shard,
            next: recovered.tail.map_or(Lsn::FIRST, |tail| tail.end),
            commands: recovered.commands,
            bytes: recovered.bytes,
            torn_bytes: recovered.torn_bytes,
            poison_skipped: applier.skipped_count,
            duration: started.elapsed(),
            refused: None,
        };
        tracing::info!(
            shard = self.shard.0,
            commands = report.commands,
            bytes = report.bytes,
            torn_bytes = report.torn_bytes,
            milliseconds = report.duration.as_millis() as u64,
            "log recovered"
        );
        Ok(Replayed {
            map: applier.map,
            end: report.next,
            time: applier.time,
            tail: recovered.tail,
            skipped: applier.skipped,
            report,
        })
    }
}

impl<M: StateMachine> Applier<'_, M> {
    fn batch(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), LogError> {
        self.time = self.time.max(batch.time);
        for (at, bytes) in batch.commands().enumerate() {
            let position = Position { epoch, lsn: batch.first.plus(at as u64) };
            if self.known_poison.contains(&position) {
                self.skipped_count += 1;
                continue;
            }
            let Err(reason) = self.command(position, batch, bytes) else { continue };
            if self.policy == Poison::Refuse {
                return Err(LogError::Poison { position, reason });
            }
            tracing::error!(shard = self.shard.0, %position, reason, "a command is left out");
            self.skipped.push(position);
            self.skipped_count += 1;
        }
        if self.progress.elapsed() >= Duration::from_secs(1) {
            self.progress = Instant::now();
            tracing::info!(shard = self.shard.0, next = batch.end().0, "replaying");
        }
        Ok(())
    }

    fn command(&mut self, position: Position, batch: &Batch, bytes: &[u8]) -> Result<(), String> {
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
            machine.apply(at, &mut txn, command).map(drop).map_err(|abort| abort.never())
        }));
        applied.unwrap_or_else(|_| Err("a panic".to_owned()))?;
        txn.land();
        Ok(())
    }
}

/// What an entity counts for in the memory accounting.
pub(crate) fn entity_bytes<M: StateMachine>(machine: &M, entity: &M::Entity) -> usize {
    size_of::<M::Entity>() + machine.heap_bytes(entity)
}
