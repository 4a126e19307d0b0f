//! What a peer can make the server do, hold or serve at most.

use crate::resp::{Raw, Server, directory, request};
use crate::until;

/// Guards F57: what a request, a reply and the memory may be is bounded, and whoever goes beyond is told.
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
        "--memory",
        "20000",
        "--spill",
        "no",
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
    let full = full.unwrap();
    assert!(full.starts_with("-OOM the shard's memory is full: of "), "{full}");
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

/// Guards F57: connections are bounded, and a place comes back with whoever leaves.
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

/// Guards F57: a peer that asks for much and reads late costs the server little.
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

/// The most memory that the server has ever taken. The kernel counts a little late, so it may even shrink.
#[cfg(target_os = "linux")]
fn peak_kb(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Guards F57: also where the replies are those of writes, whose values are in memory already.
#[test]
#[cfg(target_os = "linux")]
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
    let grown_kb = peak_kb(&server).saturating_sub(before_kb);
    assert!(grown_kb < TAKEN * VALUE / 1024 / 2, "{grown_kb} kB more; the replies were {} kB", TAKEN * VALUE / 1024);
}

/// Guards against a page in a browser that has the server of its machine do something.
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
