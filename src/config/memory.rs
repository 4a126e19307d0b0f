//! How much memory a runtime may take, and how that is divided.
//!
//! One limit for the whole runtime, divided once, when a directory is opened: what has a bound of its own gets a part,
//! the state gets the rest, in equal shares for the shards. The parts do not depend on how many shards there are, so
//! neither does how many keys there is room for.

use super::Options;
use super::available;
use crate::protocol::headroom::SPARE_PART;

/// Memory that a runtime may take, all shards together: for the state, for commands on their way, for what the logs'
/// writers keep, for what running snapshots keep alive, and for what was read from cold files.
/// [`Stats::memory`](crate::Stats::memory) has the parts.
///
/// It is held as accounted (see [`StateMachine::heap_bytes`](crate::StateMachine::heap_bytes)), which follows what the
/// allocator takes and is not the same. Not in it: what views keep alive, a look back
/// ([`Runtime::view_at`](crate::Runtime::view_at)) with all that it has in memory, the buffers of a recovery, and
/// whatever the application takes itself.
///
/// - **The state** gets what the others leave: eleven sixteenths, and more of a large limit, in equal shares for the
///   shards. From seven eighths of its share on a shard [spills](crate::Options::spill), and so does a recovery; or
///   from a sixteenth of it above its keys, where that is more. What was replaced since readers were last shown a new
///   state is kept for them, beside a full share a sixteenth of it at most. Where spilling is off, does not help or
///   fails, a command that would grow the shard beyond its share is `NotExecuted(OutOfMemory)`; reads, and commands
///   that free memory, go on. A recovery then replays what was logged, and a shard beyond its share takes what does not
///   make it larger. A rollback has two states in the share of one while it reads; where nothing is spilled the second
///   one is beside it.
/// - **Commands on their way** get an eighth, but no more than 16 times [`Options::lane_bytes`]. A shard has its part
///   of that or `lane_bytes`, whichever is less, and never less than the longest command takes.
/// - **Frames that a log's writer keeps** until they are synced get a sixteenth, but no more than 16 times
///   [`Options::segment_bytes`]. A shard has its part of that or one segment, whichever is less; with so much it syncs,
///   also under [`SyncPolicy::Never`](crate::SyncPolicy::Never).
/// - **What running snapshots keep alive** gets a sixteenth, in equal shares, which is then the default of
///   [`SnapshotOptions::overlap_bytes`](crate::SnapshotOptions::overlap_bytes).
/// - **The cache of what was read from cold files** gets a sixteenth, but no more than 1 GiB.
///
/// A limit of less than 8 times [`Options::command_bytes_max`] for each shard (8 MiB by default) has no room for the
/// longest command: opening is refused with [`OpenError::Memory`](crate::OpenError::Memory).
///
/// ```
/// use mainstay::{Memory, Options};
///
/// let options = Options { memory: Memory::Bytes(512 << 20), ..Options::new("/var/lib/app") };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// 80 % of what the process can have: the memory of the machine, or the limit of the process's control group and
    /// of those that it is in (version 1 or 2), whichever is least. Read once, when a directory is opened. Where
    /// nothing can be read there is no limit, and a warning event says so. The default.
    #[default]
    Auto,
    /// No limit: for the state and for what snapshots keep alive as much as it takes, for commands on their way
    /// [`Options::lane_bytes`].
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

/// The limit on memory of a running runtime and its parts, in bytes. They are fixed when it is opened; what is in use
/// is in [`ShardStats`](crate::ShardStats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimits {
    /// For the whole runtime, see [`Memory`]; `None`: no limit.
    pub limit: Option<u64>,
    /// For the state of each shard, to be held against [`ShardStats::memory_bytes`](crate::ShardStats::memory_bytes);
    /// `None`: no limit.
    pub state_bytes: Option<u64>,
    /// For the commands of each shard that are on their way, from `submit` to the answer.
    pub lane_bytes: u32,
    /// For what the writer of each shard's log keeps until it is synced, and one frame more: to be held against
    /// [`ShardStats::log_kept_bytes`](crate::ShardStats::log_kept_bytes). Without a limit
    /// [`Options::segment_bytes`](crate::Options::segment_bytes).
    pub log_bytes: u64,
    /// For the cache of what was read from cold files, of all shards together. Without a limit 64 MiB.
    pub cache_bytes: u64,
    /// For what each running snapshot of a shard keeps alive, to be held against
    /// [`ShardStats::snapshot_overlap_bytes`](crate::ShardStats::snapshot_overlap_bytes); `None`: no limit.
    pub overlap_bytes: Option<u64>,
}

/// A limit has no room for the longest command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLittle {
    pub(crate) limit: u64,
    pub(crate) needed: u64,
}

/// [`Memory::Auto`] takes so much of what can be had.
const AUTO_PERCENT: u64 = 80;
/// The lanes of all shards together have one part of so many.
const LANES_PART: u64 = 8;
/// What the logs' writers keep has one part of so many.
const LOGS_PART: u64 = 16;
/// Lanes and logs have no more than is used by so many shards: the state has more use for what lies idle in a large
/// limit. The number is the same for all directories, or the state's part would depend on how many shards there are.
const FULL: u64 = 16;
/// What snapshots keep alive has one part of so many.
const OVERLAP_PART: u64 = 16;
/// The cache of cold values has one part of so many.
const CACHE_PART: u64 = 16;
/// But no more than this: the kernel has a cache of its own. Without a limit it is a sixteenth of that.
const CACHE_BYTES_MAX: u64 = 1 << 30;
/// A cold file has so many bytes of values, about, but no more than one part of so many of the share. Of a large share
/// it has one part of so many: each is held open, so there should not be more of them because memory is larger.
pub(crate) const SPILL_BATCH_BYTES: u64 = 8 << 20;
const SPILL_BATCH_PART: u64 = 16;
const SPILL_FILES: u64 = 64;

impl Memory {
    /// The limit in bytes, if there is one. Looks at the machine if it has to.
    pub(crate) fn limit(self) -> Option<u64> {
        match self {
            Self::Auto => {
                let limit = available::bytes().map(|bytes| (u128::from(bytes) * u128::from(AUTO_PERCENT) / 100) as u64);
                if limit.is_none() {
                    tracing::warn!("neither the machine's memory nor a control group's limit can be read: no limit");
                }
                limit
            }
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

impl MemoryLimits {
    /// From so many bytes of a shard's state on, values go to cold files: seven eighths of its share.
    pub(crate) fn spill_from(&self, options: &Options) -> Option<u64> {
        self.state_bytes.filter(|_| options.spill).map(|share| share - share / SPARE_PART)
    }

    /// The same for a state that is read beside the one that serves: the eighth that this one leaves.
    pub(crate) fn spill_beside_from(&self, options: &Options) -> Option<u64> {
        self.state_bytes.filter(|_| options.spill).map(|share| share / SPARE_PART)
    }

    /// A cold file has so many bytes of values, about.
    pub(crate) fn spill_batch(&self) -> u64 {
        let share = self.state_bytes.unwrap_or(0);
        (share / SPILL_FILES).max(SPILL_BATCH_BYTES.min(share / SPILL_BATCH_PART)).max(1)
    }

    /// Divides a limit among so many shards.
    pub(crate) fn new(limit: Option<u64>, shards: u32, options: &Options) -> Result<Self, TooLittle> {
        let given = Some(options.snapshots.overlap_bytes).filter(|bytes| *bytes > 0);
        let Some(limit) = limit else {
            let (lane_bytes, log_bytes) = (options.lane_bytes, options.segment_bytes);
            let cache_bytes = CACHE_BYTES_MAX / CACHE_PART;
            return Ok(Self { limit, state_bytes: None, lane_bytes, log_bytes, cache_bytes, overlap_bytes: given });
        };
        let shards = u64::from(shards.max(1));
        let longest = u64::from(options.command_bytes_max);
        let needed = shards * longest * LANES_PART;
        if limit < needed {
            return Err(TooLittle { limit, needed });
        }
        let full = u64::from(options.lane_bytes);
        let lanes = (limit / LANES_PART).min((full * FULL).max(shards * longest));
        let lane = (lanes / shards).min(full);
        let logs = (limit / LOGS_PART).min(options.segment_bytes * FULL);
        let overlap = limit / OVERLAP_PART;
        let cache_bytes = (limit / CACHE_PART).min(CACHE_BYTES_MAX);
        let state = (limit - lanes - logs - overlap - cache_bytes) / shards;
        Ok(Self {
            limit: Some(limit),
            state_bytes: Some(state),
            lane_bytes: u32::try_from(lane).unwrap_or(options.lane_bytes),
            log_bytes: (logs / shards).clamp(1, options.segment_bytes),
            cache_bytes,
            // A share of nothing would be no limit.
            overlap_bytes: given.or(Some((overlap / shards).max(1))),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn divided(limit: u64, shards: u32, change: impl FnOnce(&mut Options)) -> Result<MemoryLimits, TooLittle> {
        let mut options = Options::new("x");
        change(&mut options);
        MemoryLimits::new(Some(limit), shards, &options)
    }

    #[test]
    fn each_use_has_its_part() {
        let limits = divided(1024 * MIB, 4, |_| {}).unwrap();
        assert_eq!(limits.limit, Some(1024 * MIB));
        assert_eq!(u64::from(limits.lane_bytes), 32 * MIB);
        assert_eq!(limits.overlap_bytes, Some(16 * MIB));
        assert_eq!(limits.state_bytes, Some((1024 - 128 - 64 - 64 - 64) * MIB / 4));
        assert_eq!(limits.cache_bytes, 64 * MIB);
        assert_eq!(limits.log_bytes, 16 * MIB);
    }

    #[test]
    fn all_parts_together_are_the_limit_at_most() {
        for limit in [8 * MIB, 64 * MIB, 1 << 30, 20 << 30, 1 << 40, u64::MAX] {
            for shards in [1, 2, 3, 8, 64, 1024, 4096] {
                let Ok(limits) = divided(limit, shards, |_| {}) else {
                    assert!(limit < u64::from(shards) * 8 * MIB);
                    continue;
                };
                let (state, overlap) = (limits.state_bytes.unwrap(), limits.overlap_bytes.unwrap());
                let one = state + u64::from(limits.lane_bytes) + limits.log_bytes + overlap;
                let all = u128::from(one) * u128::from(shards) + u128::from(limits.cache_bytes);
                assert!(all <= u128::from(limit), "{limit} {shards}");
                let all = u128::from(state) * u128::from(shards);
                assert!(all * 16 + 65_536 >= u128::from(limit) * 11, "{limit} {shards}");
                assert!(u64::from(limits.lane_bytes) >= MIB && limits.lane_bytes <= 64 << 20);
            }
        }
    }

    /// Otherwise a directory with more shards would have room for fewer keys.
    #[test]
    fn the_state_has_the_same_whatever_the_shards() {
        for limit in [64 * MIB, 300 * MIB, 2 << 30, 20 << 30, 200 << 30] {
            let state = |shards: u32| divided(limit, shards, |_| {}).unwrap().state_bytes.unwrap() * u64::from(shards);
            for shards in [2, 4, 8] {
                assert!(state(1).abs_diff(state(shards)) < 8, "{limit} {shards}");
            }
        }
    }

    #[test]
    fn a_large_limit_is_for_the_state() {
        let limits = divided(160 << 30, 1, |_| {}).unwrap();
        assert_eq!(limits.lane_bytes, 64 << 20);
        assert_eq!(limits.state_bytes, Some((160 << 30) - (1 << 30) - (256 << 20) - (10 << 30) - (1 << 30)));
    }

    /// Guards F52: how many files there are depends on how much larger than its memory a state is.
    #[test]
    fn a_larger_share_has_larger_files() {
        let batch = |limit| divided(limit, 1, |_| {}).unwrap().spill_batch();
        assert_eq!(batch(16 * MIB), 11 * MIB / 16);
        assert_eq!([256 * MIB, 512 * MIB].map(batch), [8 * MIB; 2]);
        let limits = divided(64 << 30, 1, |_| {}).unwrap();
        assert_eq!(limits.spill_batch(), limits.state_bytes.unwrap() / 64);
    }

    #[test]
    fn too_little_says_how_much_is_needed() {
        assert_eq!(divided(0, 1, |_| {}), Err(TooLittle { limit: 0, needed: 8 * MIB }));
        let error = divided(30 * MIB, 4, |_| {}).unwrap_err();
        assert_eq!(error, TooLittle { limit: 30 * MIB, needed: 32 * MIB });
        let limits = divided(error.needed, 4, |_| {}).unwrap();
        assert_eq!(u64::from(limits.lane_bytes), MIB, "the longest command");
    }

    #[test]
    fn what_was_given_is_kept() {
        let limits = divided(64 * MIB, 1, |options| options.snapshots.overlap_bytes = 5).unwrap();
        assert_eq!(limits.overlap_bytes, Some(5));
        let limits = divided(1 << 40, 1, |options| options.lane_bytes = 2 << 20).unwrap();
        assert_eq!(limits.lane_bytes, 2 << 20);
        let limits = MemoryLimits::new(None, 4, &Options::new("x")).unwrap();
        assert_eq!((limits.limit, limits.state_bytes, limits.overlap_bytes), (None, None, None));
        assert_eq!(limits.lane_bytes, 64 << 20);
    }

    #[test]
    fn this_machine_can_be_read() {
        let limit = Memory::Auto.limit().unwrap();
        assert!((64 * MIB..1 << 50).contains(&limit), "{limit}");
        assert_eq!(Memory::Unlimited.limit(), None);
        assert_eq!(Memory::Bytes(0).limit(), Some(0));
    }
}
