//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use mainstay::{Memory, Options, SyncPolicy};

use crate::server::{RequestLimits, Settings};

/// A server for the Redis protocol on top of mainstay's key-value machine.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// Data directory; made if its parent exists
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Port to listen on; 0: any that is free
    #[arg(long, value_name = "N", default_value_t = 6379)]
    port: u16,
    /// Listen on an address that other machines can reach. There is neither encryption nor a password
    #[arg(long)]
    allow_remote: bool,
    /// Number of shards of a new directory [default: what the directory has, or 1]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// When to sync: always, interval:MS or never
    #[arg(long, value_name = "POLICY", default_value = "always", value_parser = sync)]
    sync: SyncPolicy,
    /// Size of a log file. A small one bounds the longest command, too [default: 16 MiB]
    #[arg(long, value_name = "N")]
    segment_bytes: Option<u64>,
    /// Memory for all shards together: auto (80 % of what the process can have), unlimited or a number of bytes
    #[arg(long, value_name = "LIMIT", default_value = "auto", value_parser = memory)]
    memory: Memory,
    /// Write values to files when they are more than the memory: yes or no, which refuses what does not fit
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    spill: bool,
    /// Take a snapshot of a shard when its log has grown by so much, and by the length of the last one; 0: never for
    /// this reason [default: 64 MiB]
    #[arg(long, value_name = "N")]
    snapshot_bytes: Option<u64>,
    /// Take a snapshot of a shard after so many commands; 0: never for this reason
    #[arg(long, value_name = "N", default_value_t = 0)]
    snapshot_commands: u64,
    /// The most versions that are kept; with each new one the oldest beyond them are retired, at least 1 [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep_versions: Option<u32>,
    /// The most connections at a time
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    max_connections: usize,
    /// The longest request
    #[arg(long, value_name = "N", default_value_t = 16 * 1024 * 1024)]
    max_request_bytes: usize,
    /// The most arguments of a request, its name included
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    max_arguments: usize,
    /// The longest reply
    #[arg(long, value_name = "N", default_value_t = 64 * 1024 * 1024)]
    max_reply_bytes: usize,
}

fn sync(text: &str) -> Result<SyncPolicy, String> {
    match (text, text.strip_prefix("interval:")) {
        ("always", _) => Ok(SyncPolicy::Always),
        ("never", _) => Ok(SyncPolicy::Never),
        (_, Some(ms)) => match ms.parse() {
            Ok(ms) => Ok(SyncPolicy::Interval(Duration::from_millis(ms))),
            Err(error) => Err(format!("{ms} milliseconds: {error}")),
        },
        _ => Err("always, interval:MS or never".to_owned()),
    }
}

fn memory(text: &str) -> Result<Memory, String> {
    match text {
        "auto" => Ok(Memory::Auto),
        "unlimited" => Ok(Memory::Unlimited),
        _ => text.parse().map(Memory::Bytes).map_err(|_| "auto, unlimited or a number of bytes".to_owned()),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("yes or no".to_owned()),
    }
}

impl Arguments {
    /// Where to listen, unless that needs a permission that was not given.
    pub fn address(&self) -> Result<SocketAddr, String> {
        if self.bind.is_loopback() || self.allow_remote {
            return Ok(SocketAddr::new(self.bind, self.port));
        }
        Err(format!(
            "refusing to listen on {}: other machines could reach it, and there is neither encryption nor a password; \
             --allow-remote does it all the same",
            self.bind
        ))
    }

    pub fn options(&self) -> Options {
        let mut options = Options {
            shards: self.shards,
            sync: self.sync,
            memory: self.memory,
            spill: self.spill,
            // A server that was killed is gone with its lock; one that runs will not end soon.
            lock_wait: Duration::from_secs(1),
            ..Options::new(&self.dir)
        };
        if let Some(segment_bytes) = self.segment_bytes {
            options.segment_bytes = segment_bytes;
            options.command_bytes_max = Options::command_bytes_for(segment_bytes);
        }
        options.snapshots.log_bytes = self.snapshot_bytes.unwrap_or(options.snapshots.log_bytes);
        options.snapshots.commands = self.snapshot_commands;
        options.versions.keep = self.keep_versions.unwrap_or(options.versions.keep);
        options
    }

    pub fn settings(&self, address: SocketAddr) -> Settings {
        Settings {
            address,
            sync: self.sync,
            spill: self.spill,
            connections_max: self.max_connections,
            requests: RequestLimits { bytes: self.max_request_bytes, arguments: self.max_arguments },
            reply_bytes_max: self.max_reply_bytes,
        }
    }
}
