//! `INFO`: sections of `name:value` lines.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use mainstay::{NotExecuted, Position, ShardStats, SyncPolicy};

use super::persistence;
use super::settings::{REDIS_VERSION, Shared};

type Section = fn(&Shared, &mut Lines);

const SECTIONS: [(&str, Section); 7] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
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
    let shards = shared.runtime.stats().shards;
    lines.put("used_memory", shards.iter().map(|shard| shard.memory_bytes).sum::<u64>());
    lines.put("maxmemory", shared.settings.memory_bytes);
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
