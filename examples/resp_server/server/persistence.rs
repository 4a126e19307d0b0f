//! `INFO persistence`, in the names of Redis where they mean the same. What cannot be told is not there: sizes of the
//! log, which `aof_current_size` and `aof_base_size` would be.

use std::time::{Duration, Instant};

use mainstay::{Lsn, ShardStats};

use super::info::Lines;
use super::settings::Shared;

pub fn section(shared: &Shared, lines: &mut Lines) {
    let page = shared.ledger.look();
    let shards = shared.runtime.stats().shards;
    let sum = |number: fn(&ShardStats) -> u64| shards.iter().map(number).sum::<u64>();
    // Also those that nobody asked for.
    let running_s = shards.iter().filter_map(|shard| shard.snapshot_running_for).max().map(|running| running.as_secs());
    let running_s = elapsed_s(page.saves.since).max(running_s);
    let has_failed = page.saves.failed || shards.iter().any(|shard| shard.last_snapshot_failed);
    // It listens only when everything is there.
    lines.put("loading", 0);
    lines.put("rdb_changes_since_last_save", changes(&shards));
    lines.put("rdb_bgsave_in_progress", u8::from(running_s.is_some()));
    lines.put("rdb_last_save_time", page.last_save_s);
    lines.put("rdb_last_bgsave_status", status(has_failed));
    lines.put("rdb_last_bgsave_time_sec", seconds(page.saves.took));
    lines.put("rdb_current_bgsave_time_sec", or_none(running_s));
    lines.put("rdb_saves", page.saves.count);
    lines.put("aof_enabled", 1);
    lines.put("aof_rewrite_in_progress", u8::from(page.rewrites.since.is_some()));
    lines.put("aof_last_rewrite_time_sec", seconds(page.rewrites.took));
    lines.put("aof_current_rewrite_time_sec", or_none(elapsed_s(page.rewrites.since)));
    lines.put("aof_last_bgrewrite_status", status(page.rewrites.failed));
    lines.put("aof_rewrites", page.rewrites.count);
    lines.put("mainstay_versions", shared.runtime.versions().len());
    lines.put("mainstay_snapshots", sum(|shard| shard.snapshots));
    lines.put("mainstay_snapshots_failed", sum(|shard| shard.snapshots_failed));
    let longest = shards.iter().map(|shard| shard.longest_hold).max().unwrap_or_default();
    lines.put("mainstay_longest_hold_us", longest.as_micros());
}

/// Commands in the log that no snapshot holds: what changed nothing counts too.
fn changes(shards: &[ShardStats]) -> u64 {
    let new = |shard: &ShardStats| shard.answered.lsn.since(shard.newest_snapshot.map_or(Lsn::FIRST, |end| end.lsn));
    shards.iter().map(new).sum()
}

fn status(failed: bool) -> &'static str {
    if failed { "err" } else { "ok" }
}

fn elapsed_s(since: Option<Instant>) -> Option<u64> {
    since.map(|since| since.elapsed().as_secs())
}

fn seconds(took: Option<Duration>) -> String {
    or_none(took.map(|took| took.as_secs()))
}

/// -1, if there is none.
fn or_none(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "-1".to_owned(), |seconds| seconds.to_string())
}
