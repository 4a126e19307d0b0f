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

#[path = "support/resp.rs"]
mod resp;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use resp::{Raw, Server, directory, request};

const ROUNDS: u32 = 140;
/// Then a new directory and the next policy, so that replay stays short.
const ROUNDS_A_DIRECTORY: u32 = 8;
const POLICIES: [&str; 3] = ["always", "interval:5", "never"];
const CLIENTS: usize = 2;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What one client knows of its own keys. Its n-th request follows from n alone, so numbers are all there is to
/// record.
#[derive(Clone)]
struct Book {
    name: usize,
    /// Keys and values that have to be there: acknowledged, or seen.
    certain: BTreeMap<String, String>,
    /// The counter has at least this, and the marker.
    count: u64,
    marker: Option<u64>,
    /// Requests of earlier rounds.
    base: u64,
    /// Requests so far that were sent, and that were acknowledged.
    sent: u64,
    acknowledged: u64,
}

/// What the n-th request does.
enum Deed {
    Put(String, String),
    Increment,
    Mark(u64),
}

impl Book {
    fn new(name: usize) -> Self {
        let certain = BTreeMap::new();
        Self { name, certain, count: 0, marker: None, base: 0, sent: 0, acknowledged: 0 }
    }

    fn deed(&self, number: u64) -> Deed {
        match number % 3 {
            0 => Deed::Put(format!("{}:{number}", self.name), format!("{number}").repeat(9)),
            1 => Deed::Increment,
            _ => Deed::Mark(number),
        }
    }

    fn counter(&self) -> String {
        format!("{}:count", self.name)
    }

    fn marker_key(&self) -> String {
        format!("{}:marker", self.name)
    }

    /// The n-th request as bytes.
    fn request(&self, number: u64) -> Vec<u8> {
        match self.deed(number) {
            Deed::Put(key, value) => request(&[b"SET", key.as_bytes(), value.as_bytes()]),
            Deed::Increment => request(&[b"INCR", self.counter().as_bytes()]),
            Deed::Mark(number) => {
                let number = number.to_string();
                request(&[b"SET", self.marker_key().as_bytes(), number.as_bytes()])
            }
        }
    }

    /// Sends pipelines until the server is gone.
    fn work(mut self, mut raw: Raw, mut random: Random, told: &Sender<()>) -> Self {
        let mut incremented = self.count;
        loop {
            let requests = 1 + random.below(24);
            let bytes: Vec<u8> = (0..requests).flat_map(|n| self.request(self.sent + n)).collect();
            self.sent += requests;
            let failed = raw.writer().write_all(&bytes).is_err();
            for _ in 0..requests {
                let Some(reply) = raw.read_line() else {
                    return self;
                };
                let expected = match self.deed(self.acknowledged) {
                    Deed::Increment => {
                        incremented += 1;
                        format!(":{incremented}")
                    }
                    Deed::Put(..) | Deed::Mark(_) => "+OK".to_owned(),
                };
                assert_eq!(reply, expected);
                self.acknowledged += 1;
                let _ = told.send(());
            }
            if failed {
                return self;
            }
        }
    }

    /// Compares with what is there, which is certain from now on. Returns how many keys that are.
    fn check(&mut self, raw: &mut Raw) -> usize {
        let (mut least, mut most) = (self.count, self.count);
        let (mut marker, mut markers) = (self.marker, vec![self.marker]);
        let mut possible = Vec::new();
        for number in self.base..self.sent {
            let is_acknowledged = number < self.acknowledged;
            match self.deed(number) {
                Deed::Put(key, value) if is_acknowledged => drop(self.certain.insert(key, value)),
                Deed::Put(key, value) => possible.push((key, value)),
                Deed::Increment => {
                    least += u64::from(is_acknowledged);
                    most += 1;
                }
                Deed::Mark(number) => {
                    markers.push(Some(number));
                    marker = if is_acknowledged { Some(number) } else { marker };
                }
            }
        }
        let certain: Vec<_> = self.certain.clone().into_iter().collect();
        for ((key, value), found) in certain.iter().zip(get(raw, &certain)) {
            assert_eq!(found.as_ref(), Some(value), "acknowledged: {key}");
        }
        for ((key, value), found) in possible.iter().zip(get(raw, &possible)) {
            if let Some(found) = found {
                assert_eq!(&found, value, "whole or absent: {key}");
                self.certain.insert(key.clone(), found);
            }
        }
        let numbers = [self.counter(), self.marker_key()].map(|key| (key, String::new()));
        let found = get(raw, &numbers);
        let numbers: Vec<Option<u64>> =
            found.into_iter().map(|found| found.map(|text| text.parse().unwrap())).collect();
        let count = numbers[0].unwrap_or(0);
        assert!((least..=most).contains(&count), "counted {count}, not from {least} to {most}");
        assert!(numbers[1] >= marker && markers.contains(&numbers[1]), "{:?}", numbers[1]);
        (self.count, self.marker) = (count, numbers[1]);
        (self.base, self.acknowledged) = (self.sent, self.sent);
        self.certain.len() + numbers.iter().flatten().count()
    }
}

fn get(raw: &mut Raw, entries: &[(String, String)]) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for entries in entries.chunks(500) {
        let keys = entries.iter().map(|(key, _)| key.as_bytes());
        let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys).collect();
        raw.send(request(&words));
        raw.expect(format!("*{}\r\n", entries.len()));
        let found = entries.iter().map(|_| raw.read_bulk());
        values.extend(found.map(|found| found.map(|bytes| String::from_utf8(bytes).unwrap())));
    }
    values
}

/// Ends the server while both clients work, mostly by force.
fn end_at_work(server: Server, books: Vec<Book>, random: &mut Random) -> Vec<Book> {
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
    if random.below(8) == 0 {
        assert_eq!(server.signal("TERM").code(), Some(0));
    } else {
        server.kill();
    }
    workers.into_iter().map(|worker| worker.join().unwrap()).collect()
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("RESP_KILL_SEED").unwrap_or(clock.as_nanos() as u64);
    let rounds = number("RESP_KILL_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
    println!("RESP_KILL_SEED={seed}");
    let started = Instant::now();
    let mut random = Random(seed);
    let (mut acknowledged, mut sent) = (0, 0);
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
            child.wait().unwrap();
        }
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        let keys: usize = books.iter_mut().map(|book| book.check(&mut raw)).sum();
        raw.line("DBSIZE", &format!(":{keys}"));
        let before: u64 = books.iter().map(|book| book.sent).sum();
        books = end_at_work(server, books, &mut random);
        sent += books.iter().map(|book| book.sent).sum::<u64>() - before;
        acknowledged += books.iter().map(|book| book.acknowledged).sum::<u64>() - before;
    }
    let each_ms = started.elapsed().as_millis() / u128::from(rounds);
    println!("{rounds} rounds of {each_ms} ms, {acknowledged} of {sent} requests acknowledged");
    assert!(acknowledged > u64::from(rounds) * 10 && sent > acknowledged);
}
