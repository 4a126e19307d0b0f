//! From a shard's files to its state: the newest snapshot that verifies, and the commands behind it applied again.

mod all;
mod allowance;
mod applier;
mod decoding;
mod in_order;
mod load;
mod reach;
mod spilling;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use super::cold_files::{Open, Pages};
use crate::config::Poison;
use crate::machine::StateMachine;
use crate::model::{
    Batch, ColdSeq, Edit, Epoch, Incarnation, Lsn, Manifest, Point, Position, SegmentSeq, ShardId, Tail, Time,
};
use crate::state::map::Map;
use crate::state::{ColdUse, KeyHasher, ReadCold, Scratch, StateDigest};
use crate::storage::disk::Disk;
use crate::storage::error::{LogError, SnapshotError};
use crate::storage::layout::Layout;
use crate::storage::recovery::{self, Recovered, Wanted};
use crate::sync::Arc;
pub(crate) use allowance::{Allowance, Each};
use applier::Applier;
use load::Loaded;
use spilling::Spilling;

/// Who reads a snapshot's blocks and puts their entries together is busy with a third of the work.
const HELPERS_MAX: usize = 3;

/// A shard's state, read from its files.
pub(crate) struct Replayed<E> {
    pub(crate) map: Map<E>,
    /// Reads what of it is not in memory.
    pub(crate) cold: Option<Arc<dyn ReadCold<E>>>,
    pub(crate) cold_files: Open,
    /// What of which of them it refers to.
    pub(crate) uses: ColdUse,
    /// Every cold file that it refers to is there.
    pub(crate) is_complete: bool,
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

impl<E> Replayed<E> {
    /// What it refers to is its own from now on, in this life or a later one of the shard; if there is anything.
    pub(crate) fn claim(&self, incarnation: Incarnation) -> Option<Edit> {
        let files: Vec<_> = self.uses.files().map(|(file, _)| file).collect();
        (!files.is_empty()).then_some(Edit::Claim { shard: self.report.shard, incarnation, files })
    }
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
pub(crate) struct Replaying<'a, M> {
    pub(crate) machine: &'a Arc<M>,
    pub(crate) disk: &'a dyn Disk,
    pub(crate) layout: &'a Layout,
    pub(crate) manifest: &'a Manifest,
    pub(crate) poison: Poison,
    /// Follow the state with a digest, and compare that with what was recorded.
    pub(crate) digest: bool,
    /// What is read from cold files.
    pub(crate) pages: &'a Arc<Pages>,
    /// None: nothing is spilled, or whoever reads it may not write.
    pub(crate) spill: Option<SpillTo<'a>>,
    /// None: it takes what it takes.
    pub(crate) allowance: Option<&'a dyn Allowance>,
    /// A state of which anything cannot be read is none.
    pub(crate) whole: bool,
}

/// How values of a state that is read go to cold files, where there is too much of them.
#[derive(Clone, Copy)]
pub(crate) struct SpillTo<'a> {
    /// From so many bytes of a shard's state on.
    pub(crate) from: u64,
    /// So many bytes at a time, about, at least.
    pub(crate) batch: u64,
    /// Gives a file its number.
    pub(crate) number: &'a (dyn Fn(ShardId) -> ColdSeq + Sync),
}

impl<M> Clone for Replaying<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Replaying<'_, M> {}

/// Of one shard.
struct Replay<'a, M> {
    what: Replaying<'a, M>,
    shard: ShardId,
    until: Until,
    /// So many threads help.
    helpers: usize,
}

impl<M: StateMachine> Replaying<'_, M> {
    /// A shard's state at a place of its log.
    pub(crate) fn shard(self, shard: ShardId, until: Until) -> Result<Replayed<M::Entity>, LogError> {
        self.one_of(1, shard, until)
    }

    /// The same, where so many shards are read at a time.
    fn one_of(self, shards: usize, shard: ShardId, until: Until) -> Result<Replayed<M::Entity>, LogError> {
        let helpers = (processors() / shards).saturating_sub(1).min(HELPERS_MAX);
        Replay { what: self, shard, until, helpers }.run()
    }
}

/// How far to replay.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// To the end of the log, which this process may have chosen already.
    End(Option<Tail>),
    /// To where a version lies.
    Point(Point),
}

impl<M: StateMachine> Replay<'_, M> {
    /// Loads a snapshot, if there is one, reads the log behind it and applies that.
    fn run(&self) -> Result<Replayed<M::Entity>, LogError> {
        let started = Instant::now();
        let none = BTreeSet::new();
        let record = self.what.manifest.shard(self.shard);
        let Loaded { map, spilling, missing, digest, end, time, entries, damaged } = self.load()?;
        self.has_all(missing)?;
        let from = end.map_or(Lsn::FIRST, |end| end.lsn);
        let mut applier = Applier {
            machine: &**self.what.machine,
            hasher: KeyHasher::new(&self.what.manifest.routing, self.what.manifest.shards.len() as u32),
            shard: self.shard,
            policy: self.what.poison,
            known_poison: record.map_or(&none, |record| &record.poison),
            from,
            map,
            spilling,
            digest,
            recorded: if self.what.digest { self.recorded() } else { BTreeMap::new() },
            scratch: Scratch::default(),
            time,
            skipped: Vec::new(),
            skipped_count: 0,
            progress: started,
        };
        applier.compare(from)?;
        let recovered = self.read(from, &mut |epoch, batch| applier.batch(epoch, &batch))?;
        self.reach(&applier.map, &applier.spilling)?;
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
        let Spilling { files, uses, made, .. } = applier.spilling;
        let findings = skips.chain(discards).chain(made).collect();
        Ok(Replayed {
            map: applier.map,
            cold_files: files.files().clone(),
            uses,
            cold: Some(files as Arc<dyn ReadCold<M::Entity>>),
            is_complete: missing.is_none(),
            digest: applier.digest,
            end: report.next,
            time: applier.time,
            tail: recovered.tail,
            begins: recovered.begins,
            timeline: self.what.manifest.timeline,
            findings,
            report,
        })
    }
}

impl<M: StateMachine> Replay<'_, M> {
    /// Digests that versions have recorded of states of this schema.
    fn recorded(&self) -> BTreeMap<Lsn, [u8; 32]> {
        let points =
            self.what.manifest.versions.values().filter_map(|version| version.points.get(self.shard.0 as usize));
        let digests = points.filter_map(|point| Some((point.end.lsn, point.digest?)));
        digests.filter(|(_, digest)| digest.schema == M::SCHEMA).map(|(lsn, digest)| (lsn, digest.hash)).collect()
    }

    /// Reads what a snapshot does not hold.
    fn read(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Epoch, Batch) -> Result<(), LogError>,
    ) -> Result<Recovered, LogError> {
        let Self { what: Replaying { disk, layout, manifest, .. }, shard, .. } = *self;
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

/// How many there are to be used.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// What an entity counts for in the memory accounting.
pub(crate) fn entity_bytes<M: StateMachine>(machine: &M, entity: &M::Entity) -> usize {
    size_of::<M::Entity>() + machine.heap_bytes(entity)
}
