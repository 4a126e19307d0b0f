//! Numbers about a running runtime.

use std::time::Duration;

use super::{Runtime, Shared};
use crate::actor::slot::{LostRange, Slot, SnapshotStats};
use crate::config::MemoryLimits;
use crate::error::NotExecuted;
use crate::machine::StateMachine;
use crate::model::{Manifest, Position, ShardId, ShardRecord};
use crate::sync::atomic::Ordering;
use crate::sync::published::Positioned;

/// Numbers about a running runtime.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// One a shard, in order.
    pub shards: Vec<ShardStats>,
    /// The limit on memory and its parts: what [`Options::memory`](crate::Options::memory) has come to.
    pub memory: MemoryLimits,
    /// Pages that were read from cold files for readers, commands and replays, of all shards, since the directory was
    /// opened; what compacting and digests of snapshots read is not among them. A page has one value or more, and about
    /// 4 KiB unless a value is longer.
    pub cold_reads: u64,
    /// How often a page was in the cache instead, since the directory was opened.
    pub cache_hits: u64,
    /// What the cache of pages holds, in bytes, overhead included, now. At most [`MemoryLimits::cache_bytes`].
    pub cache_bytes: u64,
}

/// Numbers about a shard, each as of its own moment. Counts begin with 0 when the directory is opened, and go on over
/// restarts of the shard.
///
/// The three positions are exclusive ends in the timeline of the shard's present life. Compare them with positions of
/// the same epoch only: one of an older epoch may be lost though it is less. [`Runtime::outcome`] knows about all.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStats {
    /// The shard.
    pub shard: ShardId,
    /// Why it refuses commands, if it does: the first reason stays.
    pub refusal: Option<NotExecuted>,
    /// Everything below has been answered, under the policy. Raised before its callers hear of it.
    pub answered: Position,
    /// Everything below is synced. Raised after every good sync: before the answer under `Always`, later under the
    /// others.
    pub durable: Position,
    /// Everything below is visible to readers. Behind `answered` while nobody reads: [`Runtime::view`] brings it up.
    pub published: Position,
    /// Commands in the lane that the shard has not taken up, given up ones included, now.
    pub waiting: usize,
    /// Batches and requests that wait for the log's writer, which sits in a write or sync meanwhile, now.
    pub waiting_batches: usize,
    /// Frames written to the log, failed writes and the empty frames of an idle writer included; not those that a move
    /// writes again. Counted after the write.
    pub frames: u64,
    /// Bytes of those frames, headers and padding included.
    pub wal_bytes: u64,
    /// Syncs of log files by the writer, failed ones included: for frames, for a new file's header, for a move. Counted
    /// after the sync.
    pub syncs: u64,
    /// How often the log moved to a fresh file after a failed write or sync.
    pub moves: u64,
    /// How often the shard's actors were restarted.
    pub restarts: u64,
    /// Entries in the working state, as of the last batch with commands.
    pub entries: u64,
    /// Memory of the working state in bytes, as accounted (see [`StateMachine::heap_bytes`]), as of the same batch
    /// or what was spilled or came back after it.
    pub memory_bytes: u64,
    /// What of that no spill frees: the keys, the places of entities that are in cold files, and what an entry takes
    /// beside them, as of the same moment. When it reaches [`MemoryLimits::state_bytes`] there is no room for more
    /// keys.
    pub keys_bytes: u64,
    /// Memory of a state that a rollback reads, beside `memory_bytes`, in bytes as accounted; the shard spills to make
    /// room for it. 0 when none does.
    pub rollback_bytes: u64,
    /// Entries of the working state whose entity is in a cold file, and not in memory, as of the same batch or the
    /// spill after it. Part of `entries`.
    pub cold_entries: u64,
    /// Cold files that the manifest names, now: those that the working state refers to, and those that only a retained
    /// snapshot needs or that wait for their removal.
    pub cold_files: u64,
    /// The length of those files, in bytes.
    pub cold_bytes: u64,
    /// All values in those files, also those that were overwritten or removed since.
    pub cold_values: u64,
    /// The values of those files that the working state refers to, one for each cold entry, as of the same batch as
    /// `cold_entries`. Divided by `cold_values` it is the live ratio.
    pub cold_live: u64,
    /// Spills that came to their end: values were written to a cold file and their memory was given up.
    pub spills: u64,
    /// Values that came back to memory since the directory was opened, because they were read again.
    pub returns: u64,
    /// Compactions that came to their end: what was live in some cold files was copied to a new one.
    pub compactions: u64,
    /// Spills and compactions that failed: the disk, or the manifest's edit. An error event says why. Those that found
    /// nothing to write do not count.
    pub spill_failures: u64,
    /// Bytes of frames that the log's writer keeps in memory until the next sync, now.
    pub log_kept_bytes: u64,
    /// The longest turn of the shard's actor: from taking commands up to handing them over, at most 512 of them.
    pub longest_turn: Duration,
    /// How long the last cut has held the shard's lane.
    pub last_hold: Duration,
    /// How long any cut since the opening has held it, at most.
    pub longest_hold: Duration,
    /// Is a snapshot being written, for itself or for a rewrite?
    pub snapshot_running: bool,
    /// How long that has been so.
    pub snapshot_running_for: Option<Duration>,
    /// Bytes that the running snapshot has so far, or the last one had in the end.
    pub snapshot_bytes: u64,
    /// Memory that running snapshots keep alive, in bytes as accounted: entries that were overwritten or removed since,
    /// and that they have not written yet.
    pub snapshot_overlap_bytes: u64,
    /// Snapshots that were adopted.
    pub snapshots: u64,
    /// Snapshots that failed or were given up.
    pub snapshots_failed: u64,
    /// Did the last attempt end without one?
    pub last_snapshot_failed: bool,
    /// The last one that was adopted since the directory was opened.
    pub last_snapshot: Option<SnapshotStats>,
    /// Everything below is in the newest snapshot there is. A rollback may go back behind the last one that was taken.
    pub newest_snapshot: Option<Position>,
    /// Commands that were answered before they were durable, and lost. Added to when the log is sealed or read again
    /// after a failure; always empty under `Always`.
    pub lost: Vec<LostRange>,
}

impl<M: StateMachine> Runtime<M> {
    /// Numbers as of now. Never waits, also after the end.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let manifest = self.shared.keeper.manifest();
        let shards = self.shared.slots.iter().map(|slot| shard_stats(slot, &manifest)).collect();
        let Shared { memory, pages, .. } = &*self.shared;
        let (cold_reads, cache_hits, cache_bytes) = (pages.reads.get(), pages.hits.get(), pages.bytes());
        Stats { shards, memory: *memory, cold_reads, cache_hits, cache_bytes }
    }
}

fn shard_stats<M: StateMachine>(slot: &Slot<M>, manifest: &Manifest) -> ShardStats {
    let life = slot.life();
    let counters = &slot.counters;
    let snapshots = slot.snapshots.lock().clone();
    let running = snapshots.running.into_iter().chain(slot.overlaps.since()).min();
    let newest = manifest.shard(slot.shard).and_then(ShardRecord::newest_snapshot);
    let files = || manifest.shard(slot.shard).into_iter().flat_map(|record| record.cold.values());
    ShardStats {
        shard: slot.shard,
        refusal: slot.refusal(),
        answered: life.answered(),
        durable: Position { epoch: life.epoch, lsn: life.tenure.durable() },
        published: slot.published.latest().end(),
        waiting: slot.lane.len(),
        waiting_batches: life.log.len(),
        frames: counters.frames.get(),
        wal_bytes: counters.wal_bytes.get(),
        syncs: counters.syncs.get(),
        moves: counters.moves.get(),
        restarts: counters.restarts.get(),
        entries: counters.entries.get(),
        memory_bytes: counters.memory_bytes.get(),
        keys_bytes: counters.keys_bytes.get(),
        rollback_bytes: slot.beside.load(Ordering::Acquire),
        cold_entries: counters.cold_entries.get(),
        cold_files: files().count() as u64,
        cold_bytes: files().map(|file| file.bytes).sum(),
        cold_values: files().map(|file| file.values).sum(),
        cold_live: counters.cold_live.get(),
        spills: counters.spills.get(),
        returns: counters.returns.get(),
        compactions: counters.compactions.get(),
        spill_failures: counters.spill_failures.get(),
        log_kept_bytes: counters.kept_bytes.get(),
        longest_turn: Duration::from_micros(counters.longest_turn_us.get()),
        last_hold: Duration::from_micros(counters.last_hold_us.get()),
        longest_hold: Duration::from_micros(counters.longest_hold_us.get()),
        snapshot_running: running.is_some(),
        snapshot_running_for: running.map(|since| since.elapsed()),
        snapshot_bytes: counters.snapshot_bytes.get(),
        snapshot_overlap_bytes: slot.overlaps.bytes(),
        snapshots: snapshots.taken,
        snapshots_failed: snapshots.failed,
        last_snapshot_failed: snapshots.last_failed,
        last_snapshot: snapshots.last,
        newest_snapshot: newest.map(|(_, record)| record.end),
        lost: slot.lost.lock().clone(),
    }
}
