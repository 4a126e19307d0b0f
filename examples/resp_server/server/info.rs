//! `INFO`: sections of `name:value` lines.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use mainstay::{NotExecuted, Position, ShardStats, Stats, SyncPolicy};

use super::persistence;
use super::settings::{REDIS_VERSION, Shared};

type Section = fn(&Shared, &mut Lines);

const SECTIONS: [(&str, Section); 8] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Cold", cold),
    ("Persistence", persistence::section),
    ("Stats", counters),
    ("mainstay", mainstay),
    ("Keyspace", keyspace),
];

/// Lines that were put so far.
pub struct Lines(String);

impl Lines {
    pub fn put(&mut self, name: &str, value: impl Display) {
        // A string takes whatever is written to it.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

/// The sections that were asked for; all, if none was.
pub fn info(shared: &Shared, wanted: &[&[u8]]) -> String {
    let is_wanted = |title: &str| {
        let names = [title, "all", "default", "everything"];
        let matches = |section: &&[u8]| names.iter().any(|name| section.eq_ignore_ascii_case(name.as_bytes()));
        wanted.is_empty() || wanted.iter().any(matches)
    };
    let mut lines = Lines(String::new());
    for (title, section) in SECTIONS {
        if is_wanted(title) {
            if !lines.0.is_empty() {
                lines.0.push_str("\r\n");
            }
            let _ = write!(lines.0, "# {title}\r\n");
            section(shared, &mut lines);
        }
    }
    lines.0
}

fn server(shared: &Shared, lines: &mut Lines) {
    // Clients look at it to decide what they may ask for.
    lines.put("redis_version", REDIS_VERSION);
    lines.put("redis_mode", "standalone");
    lines.put("mainstay_version", env!("CARGO_PKG_VERSION"));
    lines.put("process_id", std::process::id());
    lines.put("tcp_port", shared.settings.address.port());
    lines.put("uptime_in_seconds", shared.started.elapsed().as_secs());
}

fn clients(shared: &Shared, lines: &mut Lines) {
    lines.put("connected_clients", shared.counters.connected.load(Ordering::Relaxed));
    lines.put("maxclients", shared.settings.connections_max);
}

fn memory(shared: &Shared, lines: &mut Lines) {
    let Stats { shards, memory, cache_bytes, .. } = shared.runtime.stats();
    let sum = |number: fn(&ShardStats) -> u64| shards.iter().map(number).sum::<u64>();
    // Of each shard, for all of them; as Redis: 0 where there is no limit.
    let all = |bytes: Option<u64>| bytes.unwrap_or(0) * shards.len() as u64;
    lines.put("used_memory", sum(|shard| shard.memory_bytes));
    lines.put("used_memory_keys", sum(|shard| shard.keys_bytes));
    lines.put("used_memory_rss", resident_bytes().unwrap_or(0));
    lines.put("used_memory_logs", sum(|shard| shard.log_kept_bytes));
    lines.put("used_memory_snapshot_overlap", sum(|shard| shard.snapshot_overlap_bytes));
    lines.put("used_memory_cache", cache_bytes);
    lines.put("maxmemory", memory.limit.unwrap_or(0));
    lines.put("maxmemory_policy", "noeviction");
    lines.put("maxmemory_state", all(memory.state_bytes));
    lines.put("maxmemory_lanes", all(Some(memory.lane_bytes.into())));
    lines.put("maxmemory_logs", all(Some(memory.log_bytes)));
    lines.put("maxmemory_snapshot_overlap", all(memory.overlap_bytes));
    lines.put("maxmemory_cache", memory.cache_bytes);
}

/// What is in files and not in memory, of all shards.
fn cold(shared: &Shared, lines: &mut Lines) {
    let Stats { shards, cold_reads, cache_hits, .. } = shared.runtime.stats();
    let sum = |number: fn(&ShardStats) -> u64| shards.iter().map(number).sum::<u64>();
    let (live, values) = (sum(|shard| shard.cold_live), sum(|shard| shard.cold_values));
    lines.put("spill", if shared.settings.spill { "yes" } else { "no" });
    lines.put("cold_keys", sum(|shard| shard.cold_entries));
    lines.put("cold_files", sum(|shard| shard.cold_files));
    lines.put("cold_bytes", sum(|shard| shard.cold_bytes));
    lines.put("cold_values", values);
    lines.put("cold_values_live", live);
    // Without any file nothing is dead.
    lines.put("cold_live_ratio", format_args!("{:.2}", if values > 0 { live as f64 / values as f64 } else { 1.0 }));
    lines.put("cold_reads", cold_reads);
    lines.put("cold_cache_hits", cache_hits);
    lines.put("spills", sum(|shard| shard.spills));
    lines.put("cold_returns", sum(|shard| shard.returns));
    lines.put("compactions", sum(|shard| shard.compactions));
    lines.put("spill_failures", sum(|shard| shard.spill_failures));
}

/// What the process has in memory, where `/proc` tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes * 1024)
}

fn counters(shared: &Shared, lines: &mut Lines) {
    let counters = &shared.counters;
    lines.put("total_connections_received", counters.connections.load(Ordering::Relaxed));
    lines.put("rejected_connections", counters.rejected.load(Ordering::Relaxed));
    lines.put("total_commands_processed", counters.requests.load(Ordering::Relaxed));
}

fn mainstay(shared: &Shared, lines: &mut Lines) {
    let shards = shared.runtime.stats().shards;
    let recovery = shared.runtime.recovery();
    let sum = |number: fn(&ShardStats) -> u64| shards.iter().map(number).sum::<u64>();
    lines.put("shards", shards.len());
    let sync = match shared.settings.sync {
        SyncPolicy::Always => "always".to_owned(),
        SyncPolicy::Interval(interval) => format!("interval:{}", interval.as_millis()),
        SyncPolicy::Never => "never".to_owned(),
    };
    lines.put("sync", sync);
    lines.put("wal_bytes", sum(|shard| shard.wal_bytes));
    lines.put("wal_frames", sum(|shard| shard.frames));
    lines.put("wal_syncs", sum(|shard| shard.syncs));
    lines.put("moves", sum(|shard| shard.moves));
    lines.put("restarts", sum(|shard| shard.restarts));
    let fenced = |shard: &&ShardStats| matches!(shard.refusal, Some(NotExecuted::Fenced | NotExecuted::Refused));
    lines.put("fenced_shards", shards.iter().filter(fenced).count());
    let lost = |shard: &ShardStats| shard.lost.iter().map(|lost| lost.end.since(lost.first)).sum();
    lines.put("lost_commands", sum(lost));
    lines.put("recovered_entries", recovery.shards.iter().map(|shard| shard.entries).sum::<u64>());
    lines.put("recovered_commands", recovery.shards.iter().map(|shard| shard.commands).sum::<u64>());
    lines.put("recovery_ms", recovery.duration.as_millis());
    lines.put("torn_bytes", recovery.shards.iter().map(|shard| shard.torn_bytes).sum::<u64>());
    for shard in &shards {
        describe(shard, lines);
    }
}

/// `shard0:status=ok,answered=2/17,...`; a position is `epoch/lsn`, and an exclusive end.
fn describe(shard: &ShardStats, lines: &mut Lines) {
    let position = |position: Position| format!("{}/{}", position.epoch.0, position.lsn.0);
    let status = match &shard.refusal {
        None => "ok",
        Some(NotExecuted::Fenced) => "fenced",
        Some(NotExecuted::Refused) => "refused",
        Some(NotExecuted::ShuttingDown) => "stopping",
        Some(_) => "closed",
    };
    let value = format!(
        "status={status},answered={},durable={},published={},wal_bytes={},syncs={},moves={},keys={}",
        position(shard.answered),
        position(shard.durable),
        position(shard.published),
        shard.wal_bytes,
        shard.syncs,
        shard.moves,
        shard.entries,
    );
    lines.put(&format!("shard{}", shard.shard.0), value);
}

fn keyspace(shared: &Shared, lines: &mut Lines) {
    let keys: u64 = shared.runtime.stats().shards.iter().map(|shard| shard.entries).sum();
    if keys > 0 {
        lines.put("db0", format_args!("keys={keys},expires=0,avg_ttl=0"));
    }
}
