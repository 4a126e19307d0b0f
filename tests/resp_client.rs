//! The example server as clients see it: every command, its words, its limits, and how it ends.

#![cfg(not(loom))]
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "support/resp.rs"]
mod resp;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use redis::{Commands, Connection, FromRedisValue, ToRedisArgs};

use resp::{Raw, Server, bulk, directory, refused, request};

const SHARDS: &[&str] = &["--shards", "3"];
/// Frames lie behind it.
const SEGMENT_HEADER_BYTES: usize = 256;

fn client(server: &Server) -> Connection {
    let url = format!("redis://{}", server.address);
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[impl ToRedisArgs]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(connection).unwrap()
}

fn digest(connection: &mut Connection) -> String {
    ask(connection, &["DEBUG", "DIGEST"])
}

/// Asks again and again, and leaves the processor to others in between.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_client_library_finds_every_command_about_values() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut connection = client(&server);
    let c = &mut connection;
    assert_eq!(ask::<String>(c, &["SET", "a", "1"]), "OK");
    assert_eq!(ask::<Option<String>>(c, &["SET", "a", "2", "NX"]), None);
    assert_eq!(ask::<Option<String>>(c, &["SET", "none", "2", "XX"]), None);
    assert_eq!(ask::<String>(c, &["SET", "a", "2", "XX", "GET"]), "1");
    assert!(ask::<bool>(c, &["SETNX", "b", "1"]));
    assert!(!ask::<bool>(c, &["SETNX", "b", "2"]));
    assert_eq!(ask::<String>(c, &["GETSET", "b", "3"]), "1");
    assert_eq!(ask::<String>(c, &["GETDEL", "b"]), "3");
    assert_eq!(ask::<Option<String>>(c, &["GET", "b"]), None);
    assert_eq!(ask::<i64>(c, &["INCR", "n"]), 1);
    assert_eq!(ask::<i64>(c, &["INCRBY", "n", "41"]), 42);
    assert_eq!(ask::<i64>(c, &["DECR", "n"]), 41);
    assert_eq!(ask::<i64>(c, &["DECRBY", "n", "50"]), -9);
    assert_eq!(ask::<i64>(c, &["APPEND", "n", "5"]), 3);
    assert_eq!(ask::<i64>(c, &["INCR", "n"]), -94);
    assert_eq!(ask::<usize>(c, &["STRLEN", "n"]), 3);
    assert_eq!(ask::<String>(c, &["TYPE", "n"]), "string");
    assert_eq!(ask::<String>(c, &["TYPE", "none"]), "none");

    let binary: Vec<u8> = (0..=255).collect();
    c.set::<_, _, ()>(&binary, &binary).unwrap();
    assert_eq!(c.get::<_, Vec<u8>>(&binary).unwrap(), binary);
    let pairs: Vec<(String, usize)> = (0..50).map(|n| (format!("m{n}"), n)).collect();
    c.mset::<_, _, ()>(&pairs).unwrap();
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).chain(["none"]).collect();
    let values: Vec<Option<usize>> = c.mget(&keys).unwrap();
    assert_eq!(values, (0..50).map(Some).chain([None]).collect::<Vec<_>>());
    assert_eq!(c.exists::<_, usize>(&keys).unwrap(), 50);
    assert_eq!(c.del::<_, usize>(&keys).unwrap(), 50);
    assert_eq!(ask::<usize>(c, &["UNLINK", "a", "a", "n", "none"]), 2);
    assert_eq!(ask::<usize>(c, &["DBSIZE"]), 1);
    assert_eq!(ask::<String>(c, &["FLUSHALL"]), "OK");
    assert_eq!(ask::<usize>(c, &["DBSIZE"]), 0);
    assert_eq!(digest(c), "0".repeat(64));
}

#[test]
fn keys_expire() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut connection = client(&server);
    let c = &mut connection;
    c.set_ex::<_, _, ()>("a", "1", 100).unwrap();
    assert!((99..=100).contains(&ask::<i64>(c, &["TTL", "a"])));
    assert_eq!(ask::<String>(c, &["SET", "a", "2", "KEEPTTL"]), "OK");
    assert!((90_000..=100_000).contains(&ask::<i64>(c, &["PTTL", "a"])));
    assert!(ask::<bool>(c, &["PERSIST", "a"]));
    assert_eq!(ask::<i64>(c, &["TTL", "a"]), -1);
    assert!(ask::<bool>(c, &["EXPIREAT", "a", "33177117420"]));
    assert!(ask::<i64>(c, &["TTL", "a"]) > 1_000_000_000);
    assert!(ask::<bool>(c, &["PEXPIRE", "a", "50000"]));
    assert!((40_000..=50_000).contains(&ask::<i64>(c, &["PTTL", "a"])));
    assert!(ask::<bool>(c, &["EXPIRE", "a", "70"]));
    assert!((69..=70).contains(&ask::<i64>(c, &["TTL", "a"])));
    assert_eq!(ask::<String>(c, &["SET", "a", "2", "EX", "90"]), "OK");
    assert!((89..=90).contains(&ask::<i64>(c, &["TTL", "a"])));
    assert_eq!(ask::<String>(c, &["SET", "a", "2", "PXAT", "33177117420000"]), "OK");
    assert!(ask::<i64>(c, &["TTL", "a"]) > 1_000_000_000);
    assert!(ask::<bool>(c, &["EXPIRE", "a", "0"]));
    assert_eq!(ask::<i64>(c, &["TTL", "a"]), -2);
    assert_eq!(ask::<String>(c, &["SET", "a", "1", "EXAT", "1"]), "OK");
    assert_eq!(ask::<Option<String>>(c, &["GET", "a"]), None);
    for n in 0..100 {
        assert_eq!(ask::<String>(c, &["SET", &format!("soon{n}"), "x", "PX", "300"]), "OK");
    }
    assert!(ask::<bool>(c, &["SETNX", "stays", "x"]));
    assert_eq!(ask::<String>(c, &["PSETEX", "later", "1000000", "x"]), "OK");
    // First nobody sees them any more, then their memory is freed, and that is logged.
    until(|| ask::<Vec<String>>(c, &["KEYS", "soon*"]).is_empty());
    assert_eq!(ask::<usize>(c, &["EXISTS", "soon99"]), 0);
    until(|| ask::<usize>(c, &["DBSIZE"]) == 2);
    let before = digest(c);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let mut connection = client(&server);
    assert_eq!(digest(&mut connection), before);
    assert_eq!(ask::<usize>(&mut connection, &["DBSIZE"]), 2);
}

#[test]
fn scans_find_every_key() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut connection = client(&server);
    let c = &mut connection;
    let keys: BTreeSet<String> = (0..2_000).map(|n| format!("key:{n}")).collect();
    let mut pipeline = redis::pipe();
    for key in &keys {
        pipeline.set(key, key).ignore();
    }
    pipeline.query::<()>(c).unwrap();
    for count in ["1", "7", "10000"] {
        let mut found = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let words = ["SCAN", &cursor, "COUNT", count];
            let (next, page): (String, Vec<String>) = ask(c, &words);
            found.extend(page);
            // A key that comes while others are scanned must not disturb them.
            c.set::<_, _, ()>(format!("other:{next}"), 1).unwrap();
            cursor = next;
            if cursor == "0" {
                break;
            }
        }
        assert!(found.is_superset(&keys));
    }
    let all: BTreeSet<String> = c.scan_match::<_, String>("key:?[5-9]").unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 45);
    assert_eq!(ask::<Vec<String>>(c, &["KEYS", "key:1234"]), ["key:1234"]);
    assert_eq!(ask::<BTreeSet<String>>(c, &["KEYS", "key:*"]), keys);
    let (_, none): (String, Vec<String>) = ask(c, &["SCAN", "0", "TYPE", "list", "COUNT", "99"]);
    assert!(none.is_empty());
}

#[test]
fn clients_find_what_they_ask_for_at_connect() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let url = format!("redis://{}/?protocol=resp3", server.address);
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let c = &mut connection;
    c.set::<_, _, ()>("a", 1).unwrap();
    assert_eq!(c.get::<_, Option<i64>>("none").unwrap(), None);
    assert_eq!(ask::<Vec<(String, String)>>(c, &["CONFIG", "GET", "append*"]).len(), 2);
    let info: redis::InfoDict = ask(c, &["INFO"]);
    assert_eq!(info.get::<String>("redis_version").as_deref(), Some("7.0.15"));

    let mut raw = server.connect();
    raw.line(
        "HELLO 3 SETNAME me",
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n\
         $5\r\nproto\r\n:3\r\n$2\r\nid\r\n:2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n\
         $4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0",
    );
    raw.line("GET none", "_");
    raw.line("MGET none a", "*2\r\n_\r\n$1\r\n1");
    raw.line("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n");
    raw.line("CLIENT GETNAME", "$2\r\nme");
    raw.line("CLIENT ID", ":2");
    raw.line("CLIENT SETINFO LIB-NAME x", "+OK");
    raw.line("COMMAND COUNT", ":42");
    raw.line("COMMAND DOCS", "%0");
    raw.line("COMMAND INFO get none", "*2\r\n*6\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n_");
    raw.line("SELECT 0", "+OK");
    raw.line("PING", "+PONG");
    raw.line("ECHO \"a b\"", "$3\r\na b");
    raw.send("INFO clients\r\n");
    raw.expect("=");
    raw.send("QUIT\r\nPING\r\n");
    while raw.read_line().is_some_and(|line| line != "+OK") {}
    raw.expect_end();
    let time: (u64, u64) = ask(c, &["TIME"]);
    assert!(time.0 > 1_600_000_000 && time.1 < 1_000_000);
}

/// Compared with Redis 7.0.15 word by word.
#[test]
fn mistakes_are_answered_in_the_words_of_redis() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    raw.line("SET text abc", "+OK");
    raw.line("SET most 9223372036854775807", "+OK");
    let integer = "-ERR value is not an integer or out of range";
    let overflow = "-ERR increment or decrement would overflow";
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command");
    let expire = |name: &str| format!("-ERR invalid expire time in '{name}' command");
    for (request, reply) in [
        ("BOGUS a b", "-ERR unknown command 'BOGUS', with args beginning with: 'a' 'b' ".to_owned()),
        ("GET", arity("get")),
        ("mset a 1 b", arity("mset")),
        ("PING a b", arity("ping")),
        ("CONFIG GET", arity("config|get")),
        ("CONFIG BOGUS", "-ERR unknown subcommand 'BOGUS'. Try CONFIG HELP.".to_owned()),
        ("SET a b NX XX", "-ERR syntax error".to_owned()),
        ("SET a b EX", "-ERR syntax error".to_owned()),
        ("SET a b EX x", integer.to_owned()),
        ("SET a b EX 0", expire("set")),
        ("SETEX a -1 b", expire("setex")),
        ("EXPIRE a 9223372036854775807", expire("expire")),
        ("EXPIRE a 1 GT", "-ERR Unsupported option GT".to_owned()),
        ("INCR text", integer.to_owned()),
        ("INCRBY n 1.5", integer.to_owned()),
        ("INCR most", overflow.to_owned()),
        ("DECRBY n -9223372036854775808", "-ERR decrement would overflow".to_owned()),
        ("SELECT 1", "-ERR DB index is out of range".to_owned()),
        ("SCAN x", "-ERR invalid cursor".to_owned()),
        ("SCAN 0 COUNT 0", "-ERR syntax error".to_owned()),
        ("FLUSHALL x", "-ERR syntax error".to_owned()),
        ("HELLO 4", "-NOPROTO unsupported protocol version".to_owned()),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress.".to_owned()),
    ] {
        raw.line(request, &reply);
    }
    raw.line("DBSIZE", ":2");
}

#[test]
fn a_pipeline_keeps_its_order_across_shards() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for n in 0..500_usize {
        let key = format!("k{}", n % 20);
        let value = "v".repeat(n);
        requests.extend(request(&[b"SET", key.as_bytes(), value.as_bytes()]));
        replies.extend(b"+OK\r\n");
        requests.extend(request(&[b"GET", b"another"]));
        replies.extend(b"$-1\r\n");
        requests.extend(request(&[b"GET", key.as_bytes()]));
        replies.extend(bulk(value.as_bytes()));
        requests.extend(request(&[b"INCR", b"count"]));
        replies.extend(format!(":{}\r\n", n + 1).as_bytes());
        requests.extend(request(&[b"MSET", b"x", key.as_bytes(), b"y", b"2", b"z", b"3"]));
        replies.extend(b"+OK\r\n");
        requests.extend(request(&[b"MGET", b"x", key.as_bytes(), b"none"]));
        replies.extend([b"*3\r\n", &bulk(key.as_bytes())[..], &bulk(value.as_bytes()), b"$-1\r\n"].concat());
        requests.extend(b"NONSENSE\r\n");
        replies.extend(b"-ERR unknown command 'NONSENSE', with args beginning with: \r\n");
        requests.extend(request(&[b"DEL", b"x", b"y", b"z", b"none"]));
        replies.extend(b":3\r\n");
    }
    let mut writer = raw.writer();
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &requests).unwrap());
    raw.expect(replies);
    sender.join().unwrap();
}

#[test]
fn limits_hold() {
    let dir = directory();
    let flags = [
        "--max-arguments",
        "4",
        "--max-request-bytes",
        "2000",
        "--max-reply-bytes",
        "1000",
        "--memory-bytes",
        "20000",
        "--segment-bytes",
        "8192",
    ];
    let server = Server::start(dir.path(), &flags);
    let mut raw = server.connect();
    raw.line("MGET a b c", "*3\r\n$-1\r\n$-1\r\n$-1");
    let value = vec![b'x'; 600];
    raw.send(request(&[b"SET", b"a", &value]));
    raw.expect("+OK\r\n");
    raw.line("MGET a a", "-ERR the reply is longer than 1000 bytes");
    raw.send(request(&[b"SET", b"a", &[b'x'; 1_900]]));
    let said = raw.read_line().unwrap();
    assert!(said.starts_with("-ERR it has 19") && said.contains("the limit is"), "{said}");
    let full = (0..100).find_map(|n| {
        raw.send(request(&[b"SET", format!("{n}").as_bytes(), &value]));
        raw.read_line().filter(|line| line != "+OK")
    });
    assert_eq!(full.as_deref(), Some("-OOM the shard's memory is full"));
    raw.line("DEL a", ":1");

    for (sent, said) in [
        (request(&[b"MGET", b"a", b"b", b"c", b"d"]), "invalid multibulk length"),
        (request(&[b"SET", b"a", &[b'x'; 2_001]]), "invalid bulk length"),
        (request(&[b"SET", &[b'a'; 1_001], &[b'x'; 1_001]]), "too big request"),
        (b"*1\r\n*1\r\n".repeat(100_000), "expected '$', got '*'"),
        (vec![b'x'; 70_000], "too big inline request"),
    ] {
        let mut raw = server.connect();
        let mut writer = raw.writer();
        // The server may close before it has read all.
        let _ = std::io::Write::write_all(&mut writer, &sent);
        raw.expect(format!("-ERR Protocol error: {said}\r\n"));
        raw.expect_end();
    }
}

#[test]
fn connections_are_counted() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--max-connections", "3"]);
    let mut open: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
    for connection in &mut open {
        connection.line("PING", "+PONG");
    }
    let mut one_too_many = server.connect();
    one_too_many.expect("-ERR max number of clients reached\r\n");
    one_too_many.expect_end();
    let mut left = open.remove(0);
    left.line("QUIT", "+OK");
    left.expect_end();
    // The place is free once the server has noticed, too.
    until(|| {
        let mut next = server.connect();
        next.send("PING\r\n");
        next.read_line().as_deref() == Some("+PONG")
    });
}

/// A peer that asks for much and reads late costs the server little.
#[test]
#[cfg(target_os = "linux")]
fn what_waits_for_a_slow_peer_is_bounded() {
    const VALUE: usize = 256 * 1024;
    const READS: usize = 800;
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    raw.send(request(&[b"SET", b"a", &vec![b'x'; VALUE]]));
    raw.expect("+OK\r\n");
    raw.send("GET a\r\n".repeat(READS));
    for _ in 0..READS {
        assert_eq!(raw.read_bulk().map(|bytes| bytes.len()), Some(VALUE));
    }
    let peak_kb = peak_kb(&server);
    assert!(peak_kb < 100 * 1024, "{peak_kb} kB; the replies were {} kB", READS * VALUE / 1024);
}

/// The most memory that the server has ever taken.
fn peak_kb(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Also where the replies are those of writes, whose values are in memory already.
#[test]
fn what_writes_return_to_a_slow_peer_is_bounded() {
    const VALUE: usize = 256 * 1024;
    const TAKEN: usize = 300;
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    for n in 0..TAKEN {
        raw.send(request(&[b"SET", format!("k{n}").as_bytes(), &vec![b'x'; VALUE]]));
        raw.expect("+OK\r\n");
    }
    let before_kb = peak_kb(&server);
    raw.send((0..TAKEN).map(|n| format!("GETDEL k{n}\r\n")).collect::<String>());
    for _ in 0..TAKEN {
        assert_eq!(raw.read_bulk().map(|bytes| bytes.len()), Some(VALUE));
    }
    let grown_kb = peak_kb(&server) - before_kb;
    assert!(grown_kb < TAKEN * VALUE / 1024 / 2, "{grown_kb} kB more; the replies were {} kB", TAKEN * VALUE / 1024);
}

#[test]
fn a_browser_is_turned_away() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    for sent in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET bad 1\r\n",
        "POST /x HTTP/1.1\r\n\r\nSET bad 1\r\n",
        "Host: localhost\r\nSET bad 1\r\n",
        "OPTIONS * HTTP/1.1\r\nSET bad 1\r\n",
    ] {
        let mut raw = server.connect();
        raw.line("PING", "+PONG");
        raw.send(sent);
        raw.expect_end();
    }
    server.connect().line("EXISTS bad", ":0");
    server.connect().line("DBSIZE", ":0");
}

#[test]
fn it_ends_in_good_order_and_finds_everything_again() {
    let dir = directory();
    let flags = ["--shards", "3", "--segment-bytes", "8192"];
    let mut digests = Vec::new();
    for how in ["TERM", "INT", "SHUTDOWN"] {
        let server = Server::start(dir.path(), &flags);
        let mut connection = client(&server);
        digests.push(digest(&mut connection));
        for n in 0..300 {
            connection.set::<_, _, ()>(format!("{how}{n}"), "x".repeat(n)).unwrap();
        }
        digests.push(digest(&mut connection));
        let status = if how == "SHUTDOWN" {
            let mut raw = server.connect();
            raw.send("SET last 1\r\nSHUTDOWN\r\nPING\r\n");
            raw.expect("+OK\r\n");
            raw.expect_end();
            server.wait()
        } else {
            server.signal(how)
        };
        assert_eq!(status.code(), Some(0), "{how}");
    }
    assert_eq!(digests[1], digests[2]);
    assert_eq!(digests[3], digests[4]);
    let server = Server::start(dir.path(), &[]);
    let mut connection = client(&server);
    assert_eq!(ask::<usize>(&mut connection, &["DBSIZE"]), 901);
    let info: redis::InfoDict = ask(&mut connection, &["INFO", "mainstay"]);
    let number = |name: &str| info.get::<u64>(name).unwrap();
    assert_eq!(number("recovered_commands"), 901);
    assert_eq!((number("shards"), number("torn_bytes"), number("fenced_shards")), (3, 0, 0));
    assert_eq!((number("moves"), number("wal_bytes")), (0, 0));
    assert_eq!(info.get::<String>("sync").as_deref(), Some("always"));
    assert!(info.get::<String>("shard2").unwrap().starts_with("status=ok,answered="));
    assert!(number("recovery_ms") < 60_000);
}

fn must_refuse(dir: &Path, flags: &[&str], code: i32, says: &str) {
    let (found, said) = refused(dir, flags);
    assert_eq!(found, Some(code), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let dir = directory();
    let data = dir.path().join("data");
    must_refuse(&data, &["--bogus"], 2, "--bogus");
    must_refuse(&data, &["--sync", "sometimes"], 2, "interval:MS");
    must_refuse(&data, &["--bind", "0.0.0.0"], 2, "--allow-remote");
    must_refuse(&data, &["--shards", "0"], 2, "shards");
    must_refuse(&dir.path().join("no/data"), &[], 5, "no/data");
    assert!(!data.exists());

    let server = Server::start(&data, &["--shards", "2", "--sync", "interval:5"]);
    server.connect().line("SET a b", "+OK");
    must_refuse(&data, &[], 4, "in use");
    let port = server.address.port().to_string();
    must_refuse(&dir.path().join("other"), &["--port", &port], 5, "in use");
    assert_eq!(server.signal("TERM").code(), Some(0));
    must_refuse(&data, &["--shards", "3"], 2, "2 shards");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    must_refuse(&file, &[], 2, "not a directory");
}

#[test]
fn damage_is_told_and_nothing_is_touched() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2"]);
    server.connect().line("SET a b", "+OK");
    assert_eq!(server.signal("TERM").code(), Some(0));
    for path in [dir.path().join("CURRENT"), segment_with_frames(dir.path())] {
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        // The first byte of the first frame, if it is a segment.
        let at = if damaged.len() > SEGMENT_HEADER_BYTES { SEGMENT_HEADER_BYTES } else { 1 };
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        must_refuse(dir.path(), &[], 3, &name);
        assert_eq!(fs::read(&path).unwrap(), damaged);
        fs::write(&path, &whole).unwrap();
    }
    Server::start(dir.path(), &[]).connect().line("GET a", "$1\r\nb");
}

/// The segment that has something behind its header.
fn segment_with_frames(dir: &Path) -> PathBuf {
    let shards = [dir.join("shard-0"), dir.join("shard-1")];
    let files = shards.iter().flat_map(|shard| fs::read_dir(shard).unwrap());
    let mut paths = files.map(|file| file.unwrap().path());
    let has_frames = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes.iter().skip(SEGMENT_HEADER_BYTES).any(|byte| *byte != 0)
    };
    paths.find(has_frames).unwrap()
}

/// What other people's tools make of it, where they are installed.
#[test]
fn the_tools_of_redis_are_content() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2"]);
    let port = server.address.port().to_string();
    let run = |tool: &str, arguments: &str| {
        let arguments = arguments.split(' ');
        match Command::new(tool).args(["-p", &port]).args(arguments).output() {
            Ok(output) => {
                let text = [output.stdout, output.stderr].concat();
                let text = String::from_utf8_lossy(&text).into_owned();
                assert!(output.status.success() && !text.contains("rror"), "{tool}: {text}");
                Some(text)
            }
            Err(_) => None,
        }
    };
    let Some(text) = run("redis-cli", "--raw incrby n 41") else {
        return;
    };
    assert_eq!(text, "41\n");
    assert!(run("redis-cli", "-3 config get maxclients").unwrap().contains("1024"));
    let bench = "-t set,get,incr,mset -P 16 -c 50 -n 3200 -d 100 -r 1000 -q";
    assert!(run("redis-benchmark", bench).unwrap().contains("MSET"));
}
