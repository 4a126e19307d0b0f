//! `COMMAND` and `CONFIG GET`: what clients ask about the server when they connect.

use mainstay::SyncPolicy;

use super::glob;
use super::reply::Output;
use super::settings::Shared;
use super::table::{self, COMMANDS, Spec};

/// `COMMAND INFO`, of all commands or of some.
pub fn info(names: Option<&[&[u8]]>, output: &mut Output) {
    match names {
        None => {
            output.array(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| describe(spec, output));
        }
        Some(names) => {
            output.array(names.len());
            for name in names {
                match table::find(name) {
                    Some(spec) => describe(spec, output),
                    None => output.null(),
                }
            }
        }
    }
}

/// `COMMAND LIST`
pub fn list(output: &mut Output) {
    output.array(COMMANDS.len());
    for spec in &COMMANDS {
        output.bulk(spec.name.to_ascii_lowercase().as_bytes());
    }
}

fn describe(spec: &Spec, output: &mut Output) {
    output.array(6);
    output.bulk(spec.name.to_ascii_lowercase().as_bytes());
    output.integer(i64::from(spec.arity));
    output.array(spec.flags.len());
    spec.flags.iter().for_each(|flag| output.simple(flag));
    let (first, last, step) = spec.keys;
    [first, last, step].into_iter().for_each(|number| output.integer(i64::from(number)));
}

/// `CONFIG GET`: those that clients and `redis-benchmark` look at.
pub fn config(patterns: &[&[u8]], shared: &Shared, output: &mut Output) {
    let settings = &shared.settings;
    let sync = match settings.sync {
        SyncPolicy::Always => "always",
        SyncPolicy::Interval(_) => "everysec",
        SyncPolicy::Never => "no",
    };
    let connections = settings.connections_max.to_string();
    let request_bytes = settings.requests.bytes.to_string();
    // As Redis: 0 where there is no limit.
    let memory_bytes = shared.runtime.stats().memory.limit.unwrap_or(0).to_string();
    let spill = if settings.spill { "yes" } else { "no" };
    let all = [
        ("appendfsync", sync),
        ("appendonly", "yes"),
        ("databases", "1"),
        ("maxclients", connections.as_str()),
        ("maxmemory", memory_bytes.as_str()),
        ("maxmemory-policy", "noeviction"),
        // The only one that is not one of Redis's.
        ("mainstay-spill", spill),
        ("proto-max-bulk-len", request_bytes.as_str()),
        ("save", ""),
    ];
    let is_wanted = |name: &str| {
        let matches = |pattern: &&[u8]| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes());
        patterns.iter().any(matches)
    };
    let wanted: Vec<_> = all.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    output.map(wanted.len());
    for (name, value) in wanted {
        output.bulk(name.as_bytes());
        output.bulk(value.as_bytes());
    }
}
