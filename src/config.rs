//! Options, checked once when a directory is opened.

mod available;
mod memory;
mod snapshots;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use memory::{Memory, MemoryLimits};
pub(crate) use memory::{SPILL_BATCH_BYTES, TooLittle};
pub use snapshots::SnapshotOptions;
pub use versions::VersionOptions;

use crate::model::SyncPolicy;
use crate::protocol::commit::Limits;
use crate::protocol::restart::Budget;
use crate::storage::{frame, segment};

/// How a directory is opened. Plain fields with defaults; [`Options::new`] and struct update syntax are all there is.
///
/// Sizes are in bytes. Opening refuses what is out of range, as [`Options::validate`] does. No time may be longer than
/// 365 days, and times count in whole milliseconds: give at least one where zero is refused. Everything but `shards`
/// may differ from one opening of a directory to the next.
///
/// ```
/// use std::time::Duration;
/// use mainstay::{Options, SyncPolicy};
///
/// let options = Options {
///     shards: Some(4),
///     sync: SyncPolicy::Interval(Duration::from_millis(100)),
///     ..Options::new("/var/lib/app")
/// };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory, on a local file system. Made if its parent exists.
    pub dir: PathBuf,
    /// How many shards; fixed when the directory is made, 1 to 4096. `None`, the default: what the directory has, or 1
    /// for a new one. One shard is fastest on a few cores: its log is the unit of group commit.
    pub shards: Option<u32>,
    /// When the log is synced. Default: [`SyncPolicy::Always`].
    pub sync: SyncPolicy,
    /// Size of a new log file, zero-filled ahead of use: a multiple of 64, from 4 KiB to 1 GiB. Default 16 MiB. A shard
    /// that is written to has two on the disk beside its full ones: the one being written and a spare.
    pub segment_bytes: u64,
    /// The longest encoded command; longer ones are `NotExecuted(TooLarge)`. Default 1 MiB. At least 1, and at most
    /// about `segment_bytes / 4 - 220`, which leaves room for headers: 804 for segments of 4 KiB; never more than
    /// 4,194,148. Beside small segments set it to [`Options::command_bytes_for`].
    pub command_bytes_max: u32,
    /// How many commands of one shard may be on their way at once, from `submit` to the answer: at least 1, default
    /// 65,536. Beyond it `submit` waits and `try_submit` answers `Busy`.
    ///
    /// It is counted in bytes: a command takes its length of `lane_bytes`, and at least `lane_bytes / lane_commands`,
    /// rounded down. So it is exact where `lane_commands` divides `lane_bytes`, and otherwise up to twice as many fit.
    pub lane_commands: u32,
    /// The same in encoded bytes: at least `command_bytes_max`, default 64 MiB. Less where `memory` has no room for so
    /// much, and then for as many fewer commands.
    pub lane_bytes: u32,
    /// A command that no shard has taken up after this long is `NotExecuted(DeadlineBeforeAccept)`. At least 1 ms;
    /// default 10 s. It covers waiting for room in the lane and waiting in it. In a lane that stalls the answer may
    /// come a sixty-fourth of it late. One that was taken up and waits, for room in the log or for memory, may do that
    /// as long again.
    pub submit_deadline: Duration,
    /// A command that was taken up and not answered after this long is `Unconfirmed`. At least 1 ms; default 2 s. It
    /// begins when the command's batch has been applied and handed to the log's writer. Before that, a command that
    /// waits as long for one read of a cold file is `NotExecuted(Unreadable)`.
    pub sync_deadline: Duration,
    /// How long `view` waits for a shard to publish before its keys are `Stale`. At least 1 ms; default 2 s.
    pub view_deadline: Duration,
    /// How long opening waits for another holder of the directory's lock, trying every 10 ms. Default 5 s. Zero: one
    /// attempt, which may meet the threads of a runtime that has just been shut down or dropped.
    pub lock_wait: Duration,
    /// How long an orderly shutdown waits for the shards to drain and sync. Default 30 s. Zero: what is on
    /// its way is given up at once.
    pub shutdown_deadline: Duration,
    /// Memory for all shards together: their state, commands on their way and what snapshots keep alive. Default:
    /// [`Memory::Auto`], 80 % of what the process can have. With less than 8 times `command_bytes_max` for each shard
    /// opening is refused.
    pub memory: Memory,
    /// Let a state outgrow its memory: from seven eighths of its share on a shard writes entities that nobody has used
    /// for a while to files, and keeps their keys. [`View::read`](crate::View::read) and
    /// [`Txn::get`](crate::Txn::get) read them there. `false`: nothing new is written there, and commands that would
    /// grow the state of a shard beyond its share are `NotExecuted(OutOfMemory)`, as they are if that does not help or
    /// fails. Default `true`.
    pub spill: bool,
    /// How fast a shard rewrites cold files of which less than half is still live, in bytes a second; 0: as fast as the
    /// disk does. It does not wait while there is too much in memory, which a spill behind it would free. Default:
    /// 16 MiB.
    pub compaction_bytes_per_second: u64,
    /// Follow the state with a digest: marks, snapshots and versions record it, and recovery, rollback and backup
    /// compare it. Every command then costs a microsecond or more for each entry that it writes, and reads what it
    /// overwrites; an entry that a recovery loads costs half of that. An entity must always have the same encoding.
    /// Default `false`: only backups, and rewrites of shards that have nothing in cold files, take a digest, by a scan
    /// of their own.
    pub digest: bool,
    /// What to do with a logged command that cannot be replayed. Default: [`Poison::Refuse`].
    pub poison: Poison,
    /// How often a shard's actors may die. Default: 5 times in 60 s, with pauses from 10 ms to 1 s.
    pub restarts: RestartBudget,
    /// When snapshots are taken, and what they may cost. Default: when the log has grown by 64 MiB and doubled the last
    /// snapshot.
    pub snapshots: SnapshotOptions,
    /// How long versions are kept, and how long making one may hold the shards up. Default: 8 versions, 100 ms.
    pub versions: VersionOptions,
}

/// What to do with a logged command that cannot be decoded, or whose `apply` panics in a replay: when a directory is
/// opened, or when a shard is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poison {
    /// Refuse the shard and name the position: [`LogError::Poison`](crate::LogError::Poison) in
    /// [`Runtime::recovery`](crate::Runtime::recovery). A shard that is restarted is fenced instead. The default: it
    /// may be the code that is wrong, and then other code opens the directory.
    #[default]
    Refuse,
    /// Leave the command out, now and in every later replay, whatever the code can do by then; the manifest remembers
    /// it. It was answered and is in the log, but not in the state: [`Runtime::outcome`](crate::Runtime::outcome) says
    /// `NotExecuted` from then on.
    ///
    /// There is no limit on how many: a schema that `upcast_command` does not know leaves out every command of it, and
    /// with them the state. Look at [`ShardRecovery::poison_skipped`](crate::ShardRecovery::poison_skipped) after every
    /// opening with this option; each command that is left out for the first time is also an error event with its
    /// position.
    Skip,
}

/// How many deaths of a shard's actors are answered with a restart. None of the numbers has a range, but for the 365
/// days of every time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartBudget {
    /// So many deaths... Default 5. 0: the first death fences the shard.
    pub restarts: u32,
    /// ...within this time. One more, and the shard is fenced until the directory is opened again: writes are
    /// `NotExecuted(Fenced)`, reads go on. Default 60 s. Zero: deaths are forgotten at once, and restarts never end.
    pub within: Duration,
    /// The pause before the first restart. It doubles with every further death within that time. Default 10 ms; zero:
    /// no pause.
    pub pause: Duration,
    /// The longest pause, also if `pause` is longer. Default 1 s.
    pub pause_max: Duration,
}

/// An option is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option `{option}`: {reason}")]
#[non_exhaustive]
pub struct OptionsError {
    /// The field.
    pub option: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

const SEGMENT_BYTES: (u64, u64) = (4 * 1024, 1024 * 1024 * 1024);
const SHARDS_MAX: u32 = 4096;
/// Clocks count whole milliseconds.
const TIME_MIN: Duration = Duration::from_millis(1);
/// Longer times would overflow what clocks can add.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Larger batches gain nothing and make one caller wait for another's bytes.
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;

impl Default for RestartBudget {
    fn default() -> Self {
        Self {
            restarts: 5,
            within: Duration::from_secs(60),
            pause: Duration::from_millis(10),
            pause_max: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// The defaults, for a directory.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        Self {
            dir: dir.as_ref().to_owned(),
            shards: None,
            sync: SyncPolicy::default(),
            segment_bytes: 16 * 1024 * 1024,
            command_bytes_max: 1024 * 1024,
            lane_commands: 65_536,
            lane_bytes: 64 * 1024 * 1024,
            submit_deadline: Duration::from_secs(10),
            sync_deadline: Duration::from_secs(2),
            view_deadline: Duration::from_secs(2),
            lock_wait: Duration::from_secs(5),
            shutdown_deadline: Duration::from_secs(30),
            memory: Memory::default(),
            spill: true,
            compaction_bytes_per_second: 16 << 20,
            digest: false,
            poison: Poison::default(),
            restarts: RestartBudget::default(),
            snapshots: SnapshotOptions::default(),
            versions: VersionOptions::default(),
        }
    }

    /// Checks every option. Opening does it too.
    ///
    /// # Errors
    /// The first option that is out of range.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let refuse = |option, reason: String| Err(OptionsError { option, reason });
        if self.shards.is_some_and(|shards| shards == 0 || shards > SHARDS_MAX) {
            return refuse("shards", format!("must be from 1 to {SHARDS_MAX}"));
        }
        let (least, most) = SEGMENT_BYTES;
        if self.segment_bytes < least || self.segment_bytes > most {
            return refuse("segment_bytes", format!("must be from {least} to {most}"));
        }
        if !self.segment_bytes.is_multiple_of(frame::ALIGNMENT) {
            return refuse("segment_bytes", format!("must be a multiple of {}", frame::ALIGNMENT));
        }
        if self.command_bytes_max == 0 {
            return refuse("command_bytes_max", "must be at least 1".to_owned());
        }
        let needed = self.batch_bytes(1, self.command_bytes_max as usize);
        let limit = self.limits().batch_bytes_max;
        if needed > limit {
            let reason = format!(
                "with segments of {} bytes a batch has at most {limit} bytes, \
                 and this takes {needed}",
                self.segment_bytes
            );
            return refuse("command_bytes_max", reason);
        }
        if self.lane_commands == 0 {
            return refuse("lane_commands", "must be at least 1".to_owned());
        }
        if self.lane_bytes < self.command_bytes_max {
            return refuse("lane_bytes", "must be at least command_bytes_max".to_owned());
        }
        if let SyncPolicy::Interval(interval) = self.sync
            && (interval < Duration::from_millis(1) || interval > Duration::from_secs(3600))
        {
            return refuse("sync", "the interval must be from 1 ms to 1 hour".to_owned());
        }
        if self.versions.keep == 0 {
            return refuse("versions.keep", "must be at least 1".to_owned());
        }
        self.validate_times()
    }

    fn validate_times(&self) -> Result<(), OptionsError> {
        let refuse = |option, reason: &str| Err(OptionsError { option, reason: reason.to_owned() });
        for (option, deadline, may_be_zero) in [
            ("submit_deadline", self.submit_deadline, false),
            ("sync_deadline", self.sync_deadline, false),
            ("view_deadline", self.view_deadline, false),
            ("lock_wait", self.lock_wait, true),
            ("shutdown_deadline", self.shutdown_deadline, true),
            ("versions.hold_max", self.versions.hold_max, false),
            ("versions.sync_deadline", self.versions.sync_deadline, false),
            ("versions.write_deadline", self.versions.write_deadline, false),
            ("versions.keep_for", self.versions.keep_for, true),
            ("snapshots.deadline", self.snapshots.deadline, false),
            ("snapshots.interval", self.snapshots.interval, true),
            ("restarts.within", self.restarts.within, true),
            ("restarts.pause", self.restarts.pause, true),
            ("restarts.pause_max", self.restarts.pause_max, true),
        ] {
            if deadline < TIME_MIN && !may_be_zero {
                return refuse(option, "must be at least 1 ms");
            }
            if deadline > TIME_MAX {
                return refuse(option, "must be at most 365 days");
            }
        }
        Ok(())
    }

    /// The longest command that segments of this size can take, in bytes, up to 1 MiB: for `command_bytes_max` beside a
    /// small `segment_bytes`.
    #[must_use]
    pub fn command_bytes_for(segment_bytes: u64) -> u32 {
        let frame = (segment_bytes.saturating_sub(segment::HEADER_BYTES as u64) / 4)
            .next_multiple_of(frame::ALIGNMENT)
            .saturating_sub(2 * frame::ALIGNMENT);
        let overhead = frame::HEADER_BYTES + frame::batch_bytes(1, 0);
        u32::try_from(frame.saturating_sub(overhead as u64)).unwrap_or(u32::MAX).min(1024 * 1024)
    }

    /// Sizes for the commit protocol.
    pub(crate) fn limits(&self) -> Limits {
        let capacity = self.segment_bytes.saturating_sub(segment::HEADER_BYTES as u64);
        let batch_bytes_max = (capacity / 4).min(BATCH_BYTES_MAX);
        Limits {
            frame_payload_max: BATCH_BYTES_MAX,
            batch_bytes_max,
            frame_overhead: frame::HEADER_BYTES as u64,
            alignment: frame::ALIGNMENT,
            segment_overhead: segment::HEADER_BYTES as u64,
            kept_bytes_max: self.segment_bytes,
        }
    }

    /// What a batch of commands takes as a frame of its own.
    pub(crate) fn batch_bytes(&self, commands: usize, command_bytes: usize) -> u64 {
        frame::frame_bytes(frame::batch_bytes(commands, command_bytes) as u64)
    }

    pub(crate) fn budget(&self) -> Budget {
        Budget {
            restarts: self.restarts.restarts,
            within_ms: millis(self.restarts.within),
            pause_ms: millis(self.restarts.pause),
            pause_max_ms: millis(self.restarts.pause_max),
        }
    }
}

/// Whole milliseconds, as far as they go.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Options::new("x").validate(), Ok(()));
    }

    #[test]
    fn each_option_is_checked() {
        let with = |change: &dyn Fn(&mut Options)| {
            let mut options = Options::new("x");
            change(&mut options);
            options.validate().map_err(|error| error.option)
        };
        assert_eq!(with(&|o| o.shards = Some(0)), Err("shards"));
        assert_eq!(with(&|o| o.segment_bytes = 100), Err("segment_bytes"));
        assert_eq!(with(&|o| o.segment_bytes = 5000), Err("segment_bytes"));
        assert_eq!(with(&|o| o.segment_bytes = 8192), Err("command_bytes_max"));
        assert_eq!(with(&|o| o.lane_commands = 0), Err("lane_commands"));
        assert_eq!(with(&|o| o.lane_bytes = 5), Err("lane_bytes"));
        assert_eq!(with(&|o| o.sync = SyncPolicy::Interval(Duration::ZERO)), Err("sync"));
        assert_eq!(with(&|o| o.sync_deadline = Duration::ZERO), Err("sync_deadline"));
        assert_eq!(with(&|o| o.sync_deadline = Duration::from_micros(999)), Err("sync_deadline"));
        assert_eq!(with(&|o| o.submit_deadline = Duration::MAX), Err("submit_deadline"));
        assert_eq!(with(&|o| o.sync_deadline = Duration::MAX), Err("sync_deadline"));
        assert_eq!(with(&|o| o.view_deadline = Duration::MAX), Err("view_deadline"));
        assert_eq!(with(&|o| o.lock_wait = Duration::MAX), Err("lock_wait"));
        assert_eq!(with(&|o| o.shutdown_deadline = Duration::MAX), Err("shutdown_deadline"));
        assert_eq!(with(&|o| o.restarts.pause_max = Duration::MAX), Err("restarts.pause_max"));
    }

    #[test]
    fn the_suggested_command_size_is_accepted() {
        for segment_bytes in [4096, 8192, 64 * 1024, 1024 * 1024, 16 * 1024 * 1024] {
            let command_bytes_max = Options::command_bytes_for(segment_bytes);
            let options = Options { segment_bytes, command_bytes_max, ..Options::new("x") };
            assert_eq!(options.validate(), Ok(()), "{segment_bytes}");
            assert!(command_bytes_max > 500);
        }
    }
}
