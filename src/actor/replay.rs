//! From a shard's files to its state: the newest snapshot that verifies, and the commands behind it applied again.

mod all;
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::config::Poison;
use crate::machine::{At, StateMachine};
use crate::model::{Batch, Edit, Epoch, Lsn, Manifest, Point, Position, SegmentSeq, ShardId, Tail, Time};
use crate::state::map::Map;
use crate::state::{KeyHasher, Scratch, StateDigest, Txn};
use crate::storage::codec;
use crate::storage::disk::Disk;
use crate::storage::error::{LogError, SnapshotError};
use crate::storage::layout::Layout;
use crate::storage::recovery::{self, Recovered, Wanted};
use crate::sync::Arc;
pub(crate) use all::all;
use load::Loaded;

/// A shard's state, read from its files.
pub(crate) struct Replayed<E> {
    pub(crate) map: Map<E>,
    /// Of the map, if it was followed.
    pub(crate) digest: Option<StateDigest>,
    pub(crate) end: Lsn,
    pub(crate) time: Time,
    pub(crate) tail: Option<Tail>,
    /// Where each file of the log begins.
    pub(crate) begins: BTreeMap<SegmentSeq, Tail>,
    /// The manifest's when the files were read.
    pub(crate) timeline: u64,
    /// What was found now, and the manifest has to know before anybody sees the result: poison, damaged snapshots.
    pub(crate) findings: Vec<Edit>,
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
    /// The snapshot that was loaded holds everything below this; none: the whole log was replayed.
    pub snapshot: Option<Position>,
    /// Entries of that snapshot.
    pub entries: u64,
    /// Snapshots that are damaged and were passed over for an older one, or for the whole log, and why. They are given
    /// up.
    pub damaged_snapshots: Vec<Arc<SnapshotError>>,
    /// Commands that were replayed, those that were left out included: all of the log, or what the snapshot does not
    /// hold.
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
    pub(crate) until: Until,
    /// Follow the state with a digest, and compare that with what was recorded.
    pub(crate) digest: bool,
}

/// How far to replay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// To the end of the log, which this process may have chosen already.
    End(Option<Tail>),
    /// To where a version lies.
    Point(Point),
}

struct Applier<'a, M: StateMachine> {
    machine: &'a M,
    hasher: KeyHasher,
    shard: ShardId,
    policy: Poison,
    known_poison: &'a BTreeSet<Position>,
    /// What is below is in the map already.
    from: Lsn,
    map: Map<M::Entity>,
    digest: Option<StateDigest>,
    /// What was recorded about places further on.
    recorded: BTreeMap<Lsn, [u8; 32]>,
    scratch: Scratch<M::Entity>,
    time: Time,
    skipped: Vec<Position>,
    skipped_count: u64,
    progress: Instant,
}

impl<M: StateMachine> Replay<'_, M> {
    /// Loads a snapshot, if there is one, reads the log behind it and applies that.
    pub(crate) fn run(&self) -> Result<Replayed<M::Entity>, LogError> {
        let started = Instant::now();
        let none = BTreeSet::new();
        let record = self.manifest.shard(self.shard);
        let Loaded { map, digest, end, time, entries, damaged } = self.load()?;
        let from = end.map_or(Lsn::FIRST, |end| end.lsn);
        let mut applier = Applier {
            machine: self.machine,
            hasher: KeyHasher::new(&self.manifest.routing, self.manifest.shards.len() as u32),
            shard: self.shard,
            policy: self.poison,
            known_poison: record.map_or(&none, |record| &record.poison),
            from,
            map,
            digest,
            recorded: if self.digest { self.recorded() } else { BTreeMap::new() },
            scratch: Scratch::default(),
            time,
            skipped: Vec::new(),
            skipped_count: 0,
            progress: started,
        };
        applier.compare(from)?;
        let recovered = self.read(from, &mut |epoch, batch| applier.batch(epoch, &batch))?;
        let report = ShardRecovery {
            shard: self.shard,
            next: recovered.tail.map_or(Lsn::FIRST, |tail| tail.end),
            snapshot: end,
            entries,
            damaged_snapshots: damaged.iter().map(|(_, error)| Arc::clone(error)).collect(),
            commands: recovered.commands,
            bytes: recovered.bytes,
            torn_bytes: recovered.torn_bytes,
            poison_skipped: applier.skipped_count,
            duration: started.elapsed(),
            refused: None,
        };
        tracing::info!(
            shard = self.shard.0,
            entries,
            commands = report.commands,
            bytes = report.bytes,
            torn_bytes = report.torn_bytes,
            milliseconds = report.duration.as_millis() as u64,
            "log recovered"
        );
        let shard = self.shard;
        let skips = applier.skipped.iter().map(|position| Edit::Skip { shard, position: *position });
        let discards = damaged.iter().map(|(snapshot, _)| Edit::Discard { shard, snapshot: *snapshot });
        let findings = skips.chain(discards).collect();
        Ok(Replayed {
            map: applier.map,
            digest: applier.digest,
            end: report.next,
            time: applier.time,
            tail: recovered.tail,
            begins: recovered.begins,
            timeline: self.manifest.timeline,
            findings,
            report,
        })
    }
}

impl<M: StateMachine> Replay<'_, M> {
    /// Digests that versions have recorded of states of this schema.
    fn recorded(&self) -> BTreeMap<Lsn, [u8; 32]> {
        let points = self.manifest.versions.values().filter_map(|version| version.points.get(self.shard.0 as usize));
        let digests = points.filter_map(|point| Some((point.end.lsn, point.digest?)));
        digests.filter(|(_, digest)| digest.schema == M::SCHEMA).map(|(lsn, digest)| (lsn, digest.hash)).collect()
    }

    /// Reads what a snapshot does not hold.
    fn read(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>,
    ) -> Result<Recovered, LogError> {
        let Self { disk, layout, manifest, shard, .. } = *self;
        match self.until {
            Until::End(known_end) => {
                recovery::recover(disk, layout, manifest, shard, Wanted { from, known_end }, visit)
            }
            Until::Point(Point { tail: Some(tail), .. }) => {
                recovery::recover_up_to(disk, layout, manifest, shard, (from, tail), visit)
            }
            // Nothing was ever written there.
            Until::Point(Point { tail: None, .. }) => Ok(Recovered::default()),
        }
    }
}

impl<M: StateMachine> Applier<'_, M> {
    fn batch(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), LogError> {
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
            let Err(reason) = self.command(position, batch, bytes) else {
                self.compare(position.lsn.plus(1))?;
                continue;
            };
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
        if let Some(digest) = &mut self.digest {
            let followed = catch_unwind(AssertUnwindSafe(|| digest.follow(&txn, codec::encode)));
            followed.map_err(|_| "a panic".to_owned())?.map_err(|error| error.to_string())?;
        }
        txn.land();
        Ok(())
    }

    /// Holds the state in front of `next` against what a version has recorded there.
    fn compare(&mut self, next: Lsn) -> Result<(), LogError> {
        let (Some(digest), Some(recorded)) = (&self.digest, self.recorded.remove(&next)) else { return Ok(()) };
        if digest.hash() == recorded { Ok(()) } else { Err(LogError::Digest { shard: self.shard, lsn: next }) }
    }
}

/// What an entity counts for in the memory accounting.
pub(crate) fn entity_bytes<M: StateMachine>(machine: &M, entity: &M::Entity) -> usize {
    size_of::<M::Entity>() + machine.heap_bytes(entity)
}
