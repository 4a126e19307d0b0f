//! The options of `SET`, alone and together, and what `HELLO` makes of a connection. Replies are those of Redis
//! 7.0.15, but where the server says that it does not do something.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::SHARDS;
use crate::resp::{Raw, Server, directory};

/// The time to live in milliseconds.
fn pttl(raw: &mut Raw, key: &str) -> i64 {
    raw.send(format!("PTTL {key}\r\n"));
    raw.read_line().unwrap().strip_prefix(':').unwrap().parse().unwrap()
}

/// Guards against a condition that is looked at and a value that is returned not being of the same moment.
#[test]
fn conditions_of_set_and_what_it_returns() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    for (request, reply) in [
        ("SET a 1 XX", "$-1"),
        ("SET a 1 XX GET", "$-1"),
        ("EXISTS a", ":0"),
        ("SET a 1 NX GET", "$-1"),
        ("SET a 2 NX GET", "$1\r\n1"),
        ("SET a 2 NX", "$-1"),
        ("SET a 2 nx nx", "$-1"),
        ("GET a", "$1\r\n1"),
        ("SET a 3 XX GET", "$1\r\n1"),
        ("SET a 4 GET GET", "$1\r\n3"),
        ("SET a 5 xx", "+OK"),
        ("SET a 6 NX XX", "-ERR syntax error"),
        ("SET a 6 GET XX NX", "-ERR syntax error"),
        ("SET a 6 BOGUS", "-ERR syntax error"),
        ("SET a 6 EX 9 PX 9", "-ERR syntax error"),
        ("SET a 6 EXAT 9 KEEPTTL", "-ERR syntax error"),
        ("SET a 6 KEEPTTL PX 9", "-ERR syntax error"),
        ("SET a 6 EX", "-ERR syntax error"),
        ("SET a 6 PX 1.5", "-ERR value is not an integer or out of range"),
        ("SET a 6 PXAT 0", "-ERR invalid expire time in 'set' command"),
        ("SET a 6 EXAT -1", "-ERR invalid expire time in 'set' command"),
        ("SET a 6 EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("SET a 6 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("GET a", "$1\r\n5"),
        ("TTL a", ":-1"),
        // A key that has expired counts for nothing, and a value that would be gone at once is not stored.
        ("SET a 7 PXAT 1 GET", "$1\r\n5"),
        ("SET a 8 XX", "$-1"),
        ("SET a 8 NX GET", "$-1"),
        ("GET a", "$1\r\n8"),
    ] {
        raw.line(request, reply);
    }
}

/// Guards against a unit or a point of reference being mistaken for another one, and against an expiry that stays or
/// goes when it should not.
#[test]
fn expiries_of_set() {
    const HOUR_MS: i64 = 3_600_000;
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let at_ms = now_ms + HOUR_MS;
    for option in [
        format!("EX {}", HOUR_MS / 1_000),
        format!("px {HOUR_MS}"),
        format!("EXAT {}", at_ms / 1_000),
        format!("PXAT {at_ms}"),
        format!("NX EX {}", HOUR_MS / 1_000),
        format!("GET PX {HOUR_MS} NX"),
        format!("EX {0} EX {0}", HOUR_MS / 1_000),
    ] {
        raw.send(format!("DEL a\r\nSET a 1 {option}\r\n"));
        raw.read_line();
        assert!(raw.read_line().is_some_and(|reply| reply == "+OK" || reply == "$-1"));
        let left_ms = pttl(&mut raw, "a");
        assert!((HOUR_MS - 100_000..=HOUR_MS).contains(&left_ms), "{option}: {left_ms}");
        for (request, reply) in [
            // What keeps it and what does not.
            ("SET a 2 KEEPTTL", "+OK"),
            ("SET a 3 XX GET KEEPTTL", "$1\r\n2"),
            ("SET a 4 NX", "$-1"),
            ("APPEND a 5", ":2"),
            ("INCR a", ":36"),
        ] {
            raw.line(request, reply);
            assert!(pttl(&mut raw, "a") > HOUR_MS - 100_000, "{request}");
        }
        raw.line("SET a 6", "+OK");
        assert_eq!(pttl(&mut raw, "a"), -1);
    }
    for request in ["GETSET a 1", "MSET a 1", "SET a 1 GET"] {
        raw.line("SETEX a 1000 1", "+OK");
        raw.send(format!("{request}\r\n"));
        if raw.read_line().is_some_and(|line| line.starts_with('$')) {
            raw.read_line();
        }
        assert_eq!(pttl(&mut raw, "a"), -1, "{request}");
    }
    raw.line("SET none 1 KEEPTTL", "+OK");
    assert_eq!(pttl(&mut raw, "none"), -1);
}

fn greeting(protocol: u8, id: u8) -> String {
    let map = if protocol == 3 { "%7" } else { "*14" };
    format!(
        "{map}\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:{protocol}\r\n\
         $2\r\nid\r\n:{id}\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0"
    )
}

/// Guards against replies in another protocol than the client reads: it changes with a `HELLO` that succeeds, from that
/// reply on, and with nothing else.
#[test]
fn hello_chooses_the_protocol() {
    let dir = directory();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    let no_users = "-ERR AUTH is not supported: there are no users";
    for (request, reply) in [
        ("GET none", "$-1".to_owned()),
        ("HELLO", greeting(2, 1)),
        // None of these gets as far as the protocol, or as the name.
        ("HELLO 3 AUTH default secret", no_users.to_owned()),
        ("HELLO 3 AUTH default secret SETNAME me", no_users.to_owned()),
        ("HELLO 3 SETNAME me AUTH default secret", no_users.to_owned()),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'".to_owned()),
        ("HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'".to_owned()),
        ("HELLO 3 SETNAME me BOGUS", "-ERR Syntax error in HELLO option 'BOGUS'".to_owned()),
        (
            "HELLO 3 SETNAME \"a b\"",
            "-ERR Client names cannot contain spaces, newlines or special characters.".to_owned(),
        ),
        ("HELLO 1", "-NOPROTO unsupported protocol version".to_owned()),
        ("HELLO 4 SETNAME me", "-NOPROTO unsupported protocol version".to_owned()),
        ("HELLO three", "-ERR Protocol version is not an integer or out of range".to_owned()),
        ("GET none", "$-1".to_owned()),
        ("CLIENT GETNAME", "$-1".to_owned()),
        ("HELLO 3 SETNAME me", greeting(3, 1)),
        ("CLIENT GETNAME", "$2\r\nme".to_owned()),
        ("GET none", "_".to_owned()),
        ("SET none 1 XX", "_".to_owned()),
        ("SET none 1 XX GET", "_".to_owned()),
        ("GETDEL none", "_".to_owned()),
        ("CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n".to_owned()),
        ("HELLO", greeting(3, 1)),
        ("HELLO 4", "-NOPROTO unsupported protocol version".to_owned()),
        ("MGET none", "*1\r\n_".to_owned()),
        ("HELLO 2", greeting(2, 1)),
        ("CLIENT GETNAME", "$2\r\nme".to_owned()),
        ("MGET none", "*1\r\n$-1".to_owned()),
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n".to_owned()),
    ] {
        raw.line(request, &reply);
    }
    // In one pipeline, and beside another connection.
    let mut other = server.connect();
    raw.send("SET a 1\r\nGET none\r\nHELLO 3\r\nSET a 2\r\nGET none\r\nHELLO 2\r\nGET none\r\n");
    raw.expect(format!("+OK\r\n$-1\r\n{}\r\n+OK\r\n_\r\n{}\r\n$-1\r\n", greeting(3, 1), greeting(2, 1)));
    other.line("GET none", "$-1");
    other.line("HELLO 3", &greeting(3, 2));
}
