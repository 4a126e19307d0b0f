//! Snapshots and versions: what is answered, what `INFO` tells, and what a later start finds. The words are those of
//! Redis 7.0.15.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use crate::info::Info;
use crate::resp::{Raw, Server, directory, versions};
use crate::{SHARDS, client, digest, until};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn last_save(raw: &mut Raw) -> u64 {
    raw.send("LASTSAVE\r\n");
    raw.read_number(':')
}

fn at_rest(raw: &mut Raw) {
    until(|| {
        let info = Info::ask(raw);
        info.number("rdb_bgsave_in_progress") + info.number("aof_rewrite_in_progress") == 0
    });
}

/// Names of this kind in all shards.
fn files(dir: &Path, ending: &str) -> Vec<String> {
    let shards = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = shards.flat_map(|shard| fs::read_dir(shard).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).filter(|name| name.ends_with(ending)).collect()
}

/// Guards against scripts for Redis that wait for words which never come.
#[test]
fn they_are_answered_in_the_words_of_redis() {
    let dir = directory();
    let before_s = now_s();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    let arity = |name: &str| format!("-ERR wrong number of arguments for '{name}' command");
    let started_s = last_save(&mut raw);
    assert!((before_s..=now_s()).contains(&started_s), "the start");
    for (request, reply) in [
        ("SET a 1", "+OK".to_owned()),
        ("save", "+OK".to_owned()),
        ("SAVE x", arity("save")),
        ("BGSAVE x", "-ERR syntax error".to_owned()),
        ("BGSAVE SCHEDULE x", "-ERR syntax error".to_owned()),
        ("LASTSAVE x", arity("lastsave")),
        ("BGREWRITEAOF x", arity("bgrewriteaof")),
        ("BGSAVE", "+Background saving started".to_owned()),
        ("MAINSTAY", arity("mainstay")),
        ("MAINSTAY BOGUS", "-ERR unknown subcommand 'BOGUS'. Try MAINSTAY HELP.".to_owned()),
        ("MAINSTAY ROLLBACK", arity("mainstay|rollback")),
        ("MAINSTAY ROLLBACK 1", "-ERR version 1 is not there".to_owned()),
        ("MAINSTAY BACKUP", arity("mainstay|backup")),
        (
            "MAINSTAY BACKUP /nowhere/at/all",
            "-ERR cannot create /nowhere/at/all: No such file or directory (os error 2)".to_owned(),
        ),
        ("MAINSTAY MARK x", arity("mainstay|mark")),
        ("MAINSTAY VERSIONS x", arity("mainstay|versions")),
        ("MAINSTAY RETIRE", arity("mainstay|retire")),
        ("MAINSTAY RETIRE -1", "-ERR value is not an integer or out of range".to_owned()),
        ("MAINSTAY RETIRE one", "-ERR value is not an integer or out of range".to_owned()),
        ("MAINSTAY RETIRE 1", "-ERR version 1 is not there".to_owned()),
        ("MAINSTAY VERSIONS", "*0".to_owned()),
        // The backup that came to nothing had a version of its own.
        ("mainstay mark", ":2".to_owned()),
        ("MAINSTAY RETIRE 2", "+OK".to_owned()),
        ("MAINSTAY HELP x", arity("mainstay|help")),
        ("BGREWRITEAOF", "+Background append only file rewriting started".to_owned()),
    ] {
        raw.line(request, &reply);
    }
    at_rest(&mut raw);
    raw.line("BGSAVE schedule", "+Background saving started");
    at_rest(&mut raw);
    assert!((started_s..=now_s()).contains(&last_save(&mut raw)));
    raw.send("MAINSTAY HELP\r\n");
    let lines: Vec<_> = (0..raw.read_number('*')).map(|_| raw.read_line().unwrap()).collect();
    assert_eq!(lines[0], "+MAINSTAY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    assert_eq!(lines[lines.len() - 2..], ["+HELP", "+    Prints this help."]);
}

/// Guards against a save that does not hold what was written before it on its own connection, and replies that change
/// places because one of them takes longer.
#[test]
fn a_pipeline_keeps_its_order_around_them() {
    let dir = directory();
    let server = Server::start(dir.path(), SHARDS);
    let mut raw = server.connect();
    for n in 1..=5 {
        raw.send(
            "INCR n\r\nSET a x\r\nSAVE\r\nGET a\r\nINCR m\r\nMAINSTAY MARK\r\nBGSAVE x\r\nMGET n m\r\n\
             BGREWRITEAOF x\r\nINFO persistence\r\nDEL a\r\n",
        );
        raw.expect(format!(":{n}\r\n+OK\r\n+OK\r\n$1\r\nx\r\n:{n}\r\n:{n}\r\n-ERR syntax error\r\n"));
        raw.expect(format!("*2\r\n$1\r\n{n}\r\n$1\r\n{n}\r\n"));
        raw.expect("-ERR wrong number of arguments for 'bgrewriteaof' command\r\n");
        let info = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
        assert!(info.starts_with("# Persistence\r\nloading:0\r\n"), "{info}");
        // The second increment alone came behind the save.
        let line = |text: &str| assert!(info.lines().any(|line| line == text), "{text}: {info}");
        line("rdb_changes_since_last_save:1");
        line(&format!("rdb_saves:{n}"));
        line(&format!("mainstay_versions:{n}"));
        raw.expect(":1\r\n");
    }
}

/// Guards F16, F18, F38: what was saved is loaded, and only what came later is replayed.
#[test]
fn what_was_saved_is_loaded_after_a_kill() {
    let dir = directory();
    // A snapshot for every start, and a log that is reclaimed.
    let flags = ["--shards", "2", "--segment-bytes", "8192"];
    let mut recovered = (0, 0);
    for round in 1..=3 {
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        let info = Info::ask(&mut raw);
        assert_eq!((info.number("recovered_entries"), info.number("recovered_commands")), recovered);
        assert_eq!(info.number("rdb_changes_since_last_save"), recovered.1, "of the start before, too");
        assert_eq!((info.number("rdb_saves"), info.text("rdb_last_bgsave_time_sec")), (0, "-1"));
        for n in 0..300 {
            raw.line(&format!("SET k{n} {}", "v".repeat(100 + round)), "+OK");
        }
        assert_eq!(Info::ask(&mut raw).number("rdb_changes_since_last_save"), recovered.1 + 300);
        raw.line("SAVE", "+OK");
        for n in 0..40 {
            raw.line(&format!("SET k{n} again"), "+OK");
        }
        let info = Info::ask(&mut raw);
        assert_eq!((info.number("rdb_changes_since_last_save"), info.number("rdb_saves")), (40, 1));
        assert_eq!((info.number("mainstay_snapshots"), info.number("mainstay_snapshots_failed")), (2, 0));
        recovered = (300, 40);
        assert_eq!(files(dir.path(), ".snap").len(), 2);
        let before = digest(&mut client(&server));
        server.kill();
        let server = Server::start(dir.path(), &[]);
        assert_eq!(digest(&mut client(&server)), before);
        server.kill();
    }
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Guards against a save that stops writers, or loses what they write meanwhile, and one that is called over before it
/// is.
#[test]
fn saves_in_the_background_go_on_beside_writes() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2", "--segment-bytes", "65536"]);
    let mut raw = server.connect();
    for n in 0..2_000 {
        raw.send(format!("SET k{n} {}\r\n", "v".repeat(200)));
    }
    raw.expect("+OK\r\n".repeat(2_000));
    let over = AtomicBool::new(false);
    let counted = thread::scope(|scope| {
        // Also if this one panics.
        let ends = Ends(&over);
        let counter = scope.spawn(|| {
            let mut raw = server.connect();
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                count += 1;
                raw.line("INCR count", &format!(":{count}"));
            }
            count
        });
        for (round, is_save) in [(1, true), (1, false), (2, true), (2, false), (3, true)] {
            let (command, number, running) = match is_save {
                true => ("BGSAVE", "rdb_saves", "rdb_bgsave_in_progress"),
                false => ("BGREWRITEAOF", "aof_rewrites", "aof_rewrite_in_progress"),
            };
            raw.send(format!("{command}\r\n"));
            assert!(raw.read_line().unwrap().ends_with(" started"));
            until(|| {
                let info = Info::ask(&mut raw);
                let is_over = info.number(number) == round;
                assert!(is_over || info.number(running) == 1, "{command} is running, or is over");
                is_over
            });
        }
        drop(ends);
        counter.join().unwrap()
    });
    let info = Info::ask(&mut raw);
    assert_eq!((info.text("rdb_last_bgsave_status"), info.text("aof_last_bgrewrite_status")), ("ok", "ok"));
    assert_eq!((info.number("rdb_saves"), info.number("aof_rewrites"), info.number("mainstay_versions")), (3, 2, 2));
    assert!(info.number("rdb_last_bgsave_time_sec") <= 60 && info.number("aof_last_rewrite_time_sec") <= 60);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    let mut raw = server.connect();
    raw.line("INCR count", &format!(":{}", counted + 1));
    raw.line("DBSIZE", ":2001");
    let info = Info::ask(&mut raw);
    assert!(info.number("recovered_entries") >= 2_000 && info.number("recovered_commands") <= counted);
}

/// Guards against flags that do nothing.
#[test]
fn snapshots_come_by_themselves_when_told() {
    for flags in [["--snapshot-commands", "50"], ["--snapshot-bytes", "4096"]] {
        let dir = directory();
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        for n in 0..60 {
            raw.line(&format!("SET k{n} {}", "v".repeat(100)), "+OK");
        }
        until(|| Info::ask(&mut raw).number("mainstay_snapshots") == 1);
        at_rest(&mut raw);
        let info = Info::ask(&mut raw);
        assert_eq!((info.number("rdb_saves"), info.number("rdb_last_bgsave_time_sec")), (1, 0));
        assert!(info.number("rdb_changes_since_last_save") < 60);
        assert!((info.number("rdb_last_save_time")..=now_s()).contains(&last_save(&mut raw)));
        assert_eq!(files(dir.path(), ".snap").len(), 1);
    }
}

/// Guards F41, F66: versions are told as they are, over starts, until they are given up or too many.
#[test]
fn versions_are_kept_until_they_are_retired() {
    let dir = directory();
    let server = Server::start(dir.path(), &["--shards", "2", "--keep-versions", "3"]);
    let mut raw = server.connect();
    let before_s = now_s();
    for version in 1..=5 {
        for n in 0..10 {
            raw.line(&format!("SET k{n} {version}"), "+OK");
        }
        raw.line("MAINSTAY MARK", &format!(":{version}"));
    }
    let made = versions(&mut raw);
    assert_eq!(made.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [3, 4, 5]);
    for (id, time, ends) in &made {
        let ends = ends.iter().map(|end| end.split_once(':').unwrap());
        let (epochs, lsns): (Vec<_>, Vec<u64>) =
            ends.map(|(epoch, lsn)| (epoch, lsn.parse::<u64>().unwrap() - 1)).unzip();
        assert_eq!((epochs, lsns.iter().sum::<u64>()), (vec!["1", "1"], id * 10));
        assert!((before_s..=now_s()).contains(&(time / 1_000_000)));
    }
    raw.line("MAINSTAY RETIRE 4", "+OK");
    raw.line("MAINSTAY RETIRE 4", "-ERR version 4 is not there");
    assert!(Info::ask(&mut raw).number("mainstay_longest_hold_us") < 60_000_000);
    server.kill();
    let server = Server::start(dir.path(), &["--max-reply-bytes", "100"]);
    let mut raw = server.connect();
    raw.line("MAINSTAY MARK", ":6");
    raw.line("MAINSTAY VERSIONS", "-ERR the reply is longer than 100 bytes");
    raw.line("MAINSTAY RETIRE 5", "+OK");
    raw.line("MAINSTAY RETIRE 6", "+OK");
    assert_eq!(versions(&mut raw), made[..1]);
}

/// `ROLLBACK` goes back in all shards, and a `BACKUP` serves what was there when it was made.
#[test]
fn versions_are_gone_back_to_and_backed_up() {
    let dir = directory();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let server = Server::start(&live, SHARDS);
    let mut raw = server.connect();
    for request in ["SET a 1", "SET b 1", "SET c 1"] {
        raw.line(request, "+OK");
    }
    raw.line("MAINSTAY MARK", ":1");
    raw.line("FLUSHALL", "+OK");
    raw.line("SET d 1", "+OK");
    raw.line(&format!("MAINSTAY BACKUP {}", backup.display()), ":2");
    raw.line("MAINSTAY ROLLBACK 1", "+OK");
    raw.line("DBSIZE", ":3");
    raw.line("INCR a", ":2");
    raw.line("MAINSTAY ROLLBACK 2", "-ERR version 2 is not there");
    let copy = Server::start(&backup, SHARDS);
    let mut raw = copy.connect();
    raw.line("DBSIZE", ":1");
    raw.line("INCR d", ":2");
}
