//! `INFO`: that its numbers are those of what happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::resp::{Raw, Server, directory};
use crate::{SEGMENT_HEADER_BYTES, until};

/// All lines of `INFO`.
pub struct Info(BTreeMap<String, String>);

impl Info {
    pub fn ask(raw: &mut Raw) -> Self {
        raw.send("INFO\r\n");
        let text = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        Self(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }

    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("INFO has no {name}: {:?}", self.0))
    }

    /// A field of `shardN:name=value,...`.
    fn of_shard(&self, shard: u32, name: &str) -> &str {
        let fields = self.text(&format!("shard{shard}")).split(',');
        let found = fields.filter_map(|field| field.split_once('=')).find(|(field, _)| *field == name);
        found.unwrap_or_else(|| panic!("shard{shard} has no {name}: {:?}", self.0)).1
    }

    fn shard_number(&self, shard: u32, name: &str) -> u64 {
        self.of_shard(shard, name).parse().unwrap()
    }
}

/// Guards F8, F9: what is called durable was synced, and under a policy that does not sync at once it is behind what
/// was answered.
#[test]
fn info_tells_what_is_durable() {
    const WRITES: u64 = 20;
    for policy in ["always", "interval:5", "never"] {
        let dir = directory();
        let server = Server::start(dir.path(), &["--sync", policy]);
        let mut raw = server.connect();
        let before = Info::ask(&mut raw);
        assert_eq!((before.number("wal_bytes"), before.number("wal_frames")), (0, 0));
        let values = "v".repeat(100);
        for n in 0..WRITES {
            raw.line(&format!("SET k{n} {values}"), "+OK");
        }
        let info = Info::ask(&mut raw);
        assert_eq!(info.text("sync"), policy);
        assert_eq!(info.of_shard(0, "status"), "ok");
        assert_eq!(info.of_shard(0, "answered"), format!("1/{}", WRITES + 1));
        // An idle writer writes one more, which holds no command.
        assert!(info.number("wal_frames") >= WRITES);
        assert!(info.number("wal_bytes") >= WRITES * 100);
        assert_eq!(info.number("wal_bytes"), info.shard_number(0, "wal_bytes"));
        assert_eq!(info.number("wal_syncs"), info.shard_number(0, "syncs"));
        match policy {
            "always" => {
                assert_eq!(info.of_shard(0, "durable"), info.of_shard(0, "answered"));
                assert!(info.number("wal_syncs") >= WRITES);
            }
            "never" => {
                assert_eq!(info.of_shard(0, "durable"), "1/1");
                assert_eq!((info.number("wal_syncs"), info.number("wal_frames")), (1, WRITES), "the header's");
            }
            // Also when nobody writes any more.
            _ => until(|| {
                let info = Info::ask(&mut raw);
                info.of_shard(0, "durable") == info.of_shard(0, "answered")
            }),
        }
        // Whoever reads has it published.
        raw.line("EXISTS k0", ":1");
        assert_eq!(Info::ask(&mut raw).of_shard(0, "published"), format!("1/{}", WRITES + 1));
    }
}

/// Guards against numbers that are always zero, or of another thing.
#[test]
fn info_counts_clients_keys_and_memory() {
    let dir = directory();
    let flags = ["--shards", "2", "--max-connections", "3", "--memory", "32000000"];
    let server = Server::start(dir.path(), &flags);
    let mut raw = server.connect();
    let info = Info::ask(&mut raw);
    assert_eq!(info.number("process_id"), u64::from(server.id()));
    assert_eq!(info.number("tcp_port"), u64::from(server.address.port()));
    assert_eq!((info.number("shards"), info.number("maxclients")), (2, 3));
    assert_eq!((info.number("used_memory"), info.number("maxmemory")), (0, 32_000_000));
    let parts =
        ["state", "lanes", "logs", "snapshot_overlap", "cache"].map(|part| info.number(&format!("maxmemory_{part}")));
    assert_eq!(parts, [22_000_000, 4_000_000, 2_000_000, 2_000_000, 2_000_000]);
    assert!(info.number("used_memory_rss") > 1_000_000);
    assert_eq!(info.number("total_commands_processed"), 1);
    assert!(!info.0.contains_key("db0"));
    let mut others: Vec<Raw> = (0..2).map(|_| server.connect()).collect();
    others.iter_mut().for_each(|other| other.line("PING", "+PONG"));
    server.connect().expect("-ERR max number of clients reached\r\n");
    for n in 0..50 {
        raw.line(&format!("SET k{n} {}", "v".repeat(100)), "+OK");
    }
    raw.line("DEL k0 k1", ":2");
    let info = Info::ask(&mut raw);
    assert_eq!((info.number("connected_clients"), info.number("total_connections_received")), (3, 4));
    assert_eq!(info.number("rejected_connections"), 1);
    assert_eq!(info.number("total_commands_processed"), 1 + 2 + 50 + 1 + 1);
    assert_eq!(info.text("db0"), "keys=48,expires=0,avg_ttl=0");
    assert_eq!(info.shard_number(0, "keys") + info.shard_number(1, "keys"), 48);
    assert!((48 * 200..48 * 1_000).contains(&info.number("used_memory")), "{}", info.number("used_memory"));
    raw.send("INFO clients keyspace\r\n");
    let some = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
    let titles: Vec<&str> = some.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(titles, ["# Clients", "# Keyspace"]);
}

/// The last byte of a log that is not zero is within its last frame.
fn last_frame(dir: &Path) -> (PathBuf, Vec<u8>, usize) {
    let files = fs::read_dir(dir.join("shard-0")).unwrap().map(|file| file.unwrap().path());
    let logs = files.map(|path| (fs::read(&path).unwrap(), path));
    let mut ends = logs.filter_map(|(bytes, path)| {
        let end = bytes.iter().rposition(|byte| *byte != 0)?;
        (end > SEGMENT_HEADER_BYTES).then_some((path, bytes, end))
    });
    ends.next().unwrap()
}

/// Guards F10, F12, F21: what a crash has torn is cut off and counted, and the server goes on behind it; the same
/// damage with good frames behind it would be refused.
#[test]
fn info_tells_what_was_torn() {
    let dir = directory();
    let flags = ["--sync", "never"];
    let server = Server::start(dir.path(), &flags);
    let mut raw = server.connect();
    for n in 0..10 {
        raw.line(&format!("SET k{n} v{n}"), "+OK");
    }
    server.kill();
    let (path, mut bytes, end) = last_frame(dir.path());
    bytes[end - 4..=end].fill(0);
    fs::write(&path, &bytes).unwrap();
    for start in 0..2 {
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        let info = Info::ask(&mut raw);
        // The file is left as it is; from the first command on the manifest says where it ends.
        assert_eq!(info.number("torn_bytes") > 0, start == 0, "{}", info.number("torn_bytes"));
        assert_eq!(info.number("recovered_commands"), 9 + start);
        assert_eq!(info.of_shard(0, "answered").rsplit('/').next(), Some(&*format!("{}", 10 + start)));
        raw.line("MGET k8 k9", if start == 0 { "*2\r\n$2\r\nv8\r\n$-1" } else { "*2\r\n$2\r\nv8\r\n$5\r\nagain" });
        raw.line("SET k9 again", "+OK");
        assert_eq!(server.signal("TERM").code(), Some(0));
    }
}

/// Guards F57: a server that has nothing to do takes little, whatever the machine has.
#[test]
fn an_idle_server_is_small() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "4"]);
    let mut raw = server.connect();
    let info = Info::ask(&mut raw);
    assert!(info.number("maxmemory") > 0, "a part of what this machine has");
    println!("{} bytes resident", info.number("used_memory_rss"));
    assert!(info.number("used_memory_rss") <= 30_000_000, "{}", info.number("used_memory_rss"));
    raw.send("CONFIG GET maxmemory\r\n");
    let limit = info.text("maxmemory");
    raw.expect(format!("*2\r\n$9\r\nmaxmemory\r\n${}\r\n{limit}\r\n", limit.len()));
    let dir = directory();
    let unlimited = Server::start(dir.path(), &["--memory", "unlimited"]);
    let info = Info::ask(&mut unlimited.connect());
    assert_eq!((info.number("maxmemory"), info.number("maxmemory_state")), (0, 0));
}
