//! The example server as clients see it: every command, its words, its limits, and how it ends.

#![cfg(not(loom))]
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "resp_client/abuse.rs"]
mod abuse;
#[path = "resp_client/cold.rs"]
mod cold;
#[path = "resp_client/info.rs"]
mod info;
#[path = "resp_client/limits.rs"]
mod limits;
#[path = "resp_client/options.rs"]
mod options;
#[path = "support/resp.rs"]
mod resp;
#[path = "resp_client/saving.rs"]
mod saving;
#[path = "resp_client/start.rs"]
mod start;
#[path = "resp_client/together.rs"]
mod together;
#[path = "resp_client/tools.rs"]
mod tools;

use std::collections::BTreeSet;

use redis::{Commands, Connection, FromRedisValue, ToRedisArgs};

use resp::{Server, bulk, directory, request};

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
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < resp::PATIENCE, "it never happens");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Guards against a command that does, or returns, something else than its name says to Redis's clients.
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

/// Guards F51: what has expired is gone for every reader, also after a kill and a replay, and its memory is freed.
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

/// Guards against a scan that passes over keys that are there all the time.
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

/// Guards against a client library that gives up, or misreads, because of what it asks at connect.
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
    raw.line("COMMAND COUNT", ":47");
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

/// Guards against clients that look for words which are not there: compared with Redis 7.0.15 word by word.
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

/// Guards against replies that change places because shards are not equally fast.
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

/// Guards F1, F14, F18: an orderly end keeps everything, and the next start adds nothing to it.
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
