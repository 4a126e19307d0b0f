//! Many connections at a time: what one was told holds for all, and nothing is done twice or not at all.

use std::collections::BTreeSet;
use std::thread;

use crate::SHARDS;
use crate::resp::{Raw, Server, directory, request};

const CLIENTS: usize = 8;

/// Runs as many clients at a time, and returns what each of them found.
fn all<T: Send>(server: &Server, work: impl Fn(usize, Raw) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || work(n, server.connect()))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Guards F37, F60: every increment counts once, each has a number of its own, and a lock has one holder.
#[test]
fn increments_and_locks_are_atomic() {
    const TURNS: usize = 200;
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let found = all(&server, |n, mut raw| {
        let (mut numbers, mut locks) = (Vec::new(), 0);
        for turn in 0..TURNS {
            raw.send("INCR count\r\n".to_owned() + &format!("SET lock{turn} {n} NX\r\n"));
            numbers.push(raw.read_line().unwrap());
            locks += usize::from(raw.read_line().unwrap() == "+OK");
            // Takes places and gives them back.
            raw.send("DECRBY places 3\r\nINCRBY places 3\r\n");
            raw.read_line();
            raw.read_line();
        }
        (numbers, locks)
    });
    let numbers: BTreeSet<String> = found.iter().flat_map(|(numbers, _)| numbers.iter().cloned()).collect();
    assert_eq!(numbers, (1..=CLIENTS * TURNS).map(|number| format!(":{number}")).collect());
    assert_eq!(found.iter().map(|(_, locks)| locks).sum::<usize>(), TURNS);
    server.connect().line("MGET count places", "*2\r\n$4\r\n1600\r\n$1\r\n0");
    server.kill();
    Server::start(dir.path(), &[]).connect().line("MGET count places", "*2\r\n$4\r\n1600\r\n$1\r\n0");
}

/// Guards against a reader that is behind what another connection was told, under every policy.
#[test]
fn what_one_was_told_every_other_finds() {
    for policy in ["always", "interval:1000", "never"] {
        let dir = directory();
        let server = Server::start(dir.path(), &["--shards", "3", "--sync", policy]);
        let mut readers: Vec<Raw> = (0..3).map(|_| server.connect()).collect();
        let mut writer = server.connect();
        for n in 0..100 {
            let value = n.to_string();
            writer.send(request(&[b"MSET", b"a", value.as_bytes(), b"b", value.as_bytes(), b"c", value.as_bytes()]));
            writer.expect("+OK\r\n");
            let found = format!("${}\r\n{value}", value.len());
            for reader in &mut readers {
                reader.line("MGET a b c", &format!("*3\r\n{found}\r\n{found}\r\n{found}"));
            }
        }
        writer.line("FLUSHALL", "+OK");
        readers.iter_mut().for_each(|reader| reader.line("EXISTS a b c", ":0"));
        // What was cleared stays cleared, and what came behind stays.
        writer.line("SET d 1", "+OK");
        server.kill();
        let server = Server::start(dir.path(), &["--sync", policy]);
        server.connect().line("MGET a b c d", "*4\r\n$-1\r\n$-1\r\n$-1\r\n$1\r\n1");
        server.connect().line("DBSIZE", ":1");
    }
}
