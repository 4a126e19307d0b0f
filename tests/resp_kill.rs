//! `kill -9` in a loop: whatever the example server has acknowledged is there after the next start, under every sync
//! policy.
//!
//! Two clients send pipelines of unique values and increments and record outside of the data directory what was sent
//! and what was acknowledged. The server is killed after a random number of acknowledgements, while more requests are
//! under way, or at a random moment of its start; now and then it is asked to end instead. Guards against acknowledging
//! before the write, losing or inventing commands in recovery, half-applied frames, and going back behind what a reader
//! has seen.
//!
//! The seed is printed; `RESP_KILL_SEED` repeats the same choices, `RESP_KILL_ROUNDS` makes it run longer.

#![cfg(not(loom))]
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "resp_kill/book.rs"]
mod book;
#[path = "support/random.rs"]
mod random;
#[path = "support/resp.rs"]
mod resp;
#[path = "resp_kill/rewriting.rs"]
mod rewriting;

use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use book::Book;
use random::Random;
use resp::{Server, directory};

const ROUNDS: u32 = 140;
/// In at least so many of them the server is killed while some requests are acknowledged and others under way.
const KILLS_AT_WORK: u64 = 100;
/// Then a new directory and the next policy, so that replay stays short.
const ROUNDS_A_DIRECTORY: u32 = 8;
const POLICIES: [&str; 3] = ["always", "interval:5", "never"];
const CLIENTS: usize = 2;

/// What the environment says.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// That of the environment, or another one each time. To be printed.
fn seed(name: &str) -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    number(name).unwrap_or(clock.as_nanos() as u64)
}

/// How a round ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Asked,
}

/// Ends the server while both clients work, mostly by force.
fn end_at_work(server: Server, books: Vec<Book>, random: &mut Random) -> (End, Vec<Book>) {
    let (told, heard) = channel();
    let workers: Vec<_> = books
        .into_iter()
        .map(|book| {
            let told = told.clone();
            let raw = server.connect();
            let random = Random(random.below(u64::MAX));
            thread::spawn(move || book.work(raw, random, &told))
        })
        .collect();
    drop(told);
    // Fewer only if a worker has failed, which its end will tell.
    for _ in 0..random.below(120) {
        if heard.recv().is_err() {
            break;
        }
    }
    let end = if random.below(8) == 0 {
        assert_eq!(server.signal("TERM").code(), Some(0));
        End::Asked
    } else {
        server.kill();
        End::Killed
    };
    (end, workers.into_iter().map(|worker| worker.join().unwrap()).collect())
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Counts {
    /// Rounds that ended by force, and those of them in which something was acknowledged and something else was not.
    killed: u64,
    killed_at_work: u64,
    asked: u64,
    killed_at_start: u64,
    sent: u64,
    acknowledged: u64,
}

impl Counts {
    fn add(&mut self, end: End, sent: u64, acknowledged: u64) {
        self.sent += sent;
        self.acknowledged += acknowledged;
        match end {
            End::Asked => self.asked += 1,
            End::Killed => {
                self.killed += 1;
                self.killed_at_work += u64::from(acknowledged > 0 && sent > acknowledged);
            }
        }
    }
}

/// Guards F1, F11, F12, F14, F18, F60, and the test itself: a run in which the server was idle when it was killed would
/// show nothing.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = seed("RESP_KILL_SEED");
    println!("RESP_KILL_SEED={seed}");
    let rounds = number("RESP_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
    let started = Instant::now();
    let mut random = Random(seed);
    let mut counts = Counts::default();
    let mut dir = directory();
    let mut books: Vec<Book> = Vec::new();
    for round in 0..rounds {
        let policy = POLICIES[(round / ROUNDS_A_DIRECTORY) as usize % POLICIES.len()];
        let flags = ["--shards", "2", "--segment-bytes", "16384", "--sync", policy];
        if round % ROUNDS_A_DIRECTORY == 0 {
            dir = directory();
            books = (0..CLIENTS).map(Book::new).collect();
        }
        if random.below(4) == 0 {
            let mut child = Server::spawn_only(dir.path(), &flags);
            thread::sleep(Duration::from_micros(random.below(30_000)));
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap().signal(), Some(9), "it has ended by itself");
            counts.killed_at_start += 1;
        }
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        let keys: usize = books.iter_mut().map(|book| book.check(&mut raw)).sum();
        raw.line("DBSIZE", &format!(":{keys}"));
        let before: u64 = books.iter().map(|book| book.sent).sum();
        let end;
        (end, books) = end_at_work(server, books, &mut random);
        let sent: u64 = books.iter().map(|book| book.sent).sum();
        let acknowledged: u64 = books.iter().map(|book| book.acknowledged).sum();
        counts.add(end, sent - before, acknowledged - before);
    }
    let each_ms = started.elapsed().as_millis() / u128::from(rounds);
    println!("{rounds} rounds of {each_ms} ms: {counts:?}");
    assert!(counts.acknowledged > u64::from(rounds) * 10);
    // With the usual number of rounds: a hundred.
    let least = u64::from(rounds) * KILLS_AT_WORK / u64::from(ROUNDS);
    assert!(counts.killed_at_work >= least, "killed at work in {} rounds, not in {least}", counts.killed_at_work);
}
