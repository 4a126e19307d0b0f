//! `kill -9` while the log is rewritten, snapshots are taken and versions made: counters stay exact, nothing is applied
//! twice, and a version that was told is there.
//!
//! `RESP_REWRITE_SEED` repeats the same choices, `RESP_REWRITE_ROUNDS` makes it run longer.

use std::thread;

use crate::book::Book;
use crate::random::Random;
use crate::resp::{Raw, Server, directory, versions};
use crate::{CLIENTS, POLICIES, end_at_work, number, seed};

const ROUNDS: u32 = 36;
/// Then a new directory and the next policy.
const ROUNDS_A_DIRECTORY: u32 = 12;

/// What was asked for beside the writes.
#[derive(Debug, Default)]
struct Asked {
    saved: u64,
    rewritten: u64,
    marked: u64,
    /// Starts that found a snapshot.
    loaded: u64,
    /// The last version that was told.
    newest: u64,
}

/// Asks for one after the other until the server is gone.
fn keep_saving(mut raw: Raw, mut random: Random) -> Asked {
    let mut asked = Asked::default();
    loop {
        let request = ["BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE", "SAVE", "MAINSTAY MARK"][random.below(5) as usize];
        if std::io::Write::write_all(&mut raw.writer(), format!("{request}\r\n").as_bytes()).is_err() {
            return asked;
        }
        let Some(reply) = raw.read_line() else { return asked };
        match reply.split_at(1) {
            ("+", "OK") => asked.saved += 1,
            ("+", "Background saving started") => {}
            ("+", _) => asked.rewritten += 1,
            (":", version) => (asked.marked, asked.newest) = (asked.marked + 1, version.parse().unwrap()),
            // The server may be ending in good order.
            _ => {
                let busy = ["-ERR Background ", "-BUSY another version ", "-ERR no snapshot of ", "-ERR the runtime "];
                assert!(busy.iter().any(|busy| reply.starts_with(busy)), "{reply}");
            }
        }
    }
}

/// Guards F16, F18, F25, F38, F41.
#[test]
fn counters_stay_exact_while_the_log_is_rewritten() {
    let seed = seed("RESP_REWRITE_SEED");
    println!("RESP_REWRITE_SEED={seed}");
    let mut random = Random(seed);
    let rounds = number("RESP_REWRITE_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
    let (mut dir, mut books, mut newest) = (directory(), Vec::new(), 0);
    let mut all = Asked::default();
    for round in 0..rounds {
        let policy = POLICIES[(round / ROUNDS_A_DIRECTORY) as usize % POLICIES.len()];
        let small = ["--shards", "2", "--segment-bytes", "16384", "--snapshot-commands", "200", "--keep-versions", "2"];
        let flags = [&small[..], &["--sync", policy]].concat();
        if round % ROUNDS_A_DIRECTORY == 0 {
            (dir, books, newest) = (directory(), (0..CLIENTS).map(Book::new).collect(), 0);
        }
        let server = Server::start(dir.path(), &flags);
        let mut raw = server.connect();
        let keys: usize = books.iter_mut().map(|book: &mut Book| book.check(&mut raw)).sum();
        raw.line("DBSIZE", &format!(":{keys}"));
        let found = versions(&mut raw);
        // A kill between a version and the retirement of the oldest leaves one more, until the next one is made.
        assert!(found.is_sorted_by_key(|(id, time, _)| (*id, *time)), "{found:?}");
        // Beyond what was told, one may have been made.
        assert!(found.last().map_or(0, |(id, ..)| *id) >= newest, "{newest} is not in {found:?}");
        all.loaded += u64::from(loaded(&mut raw) > 0);
        let (saver, choices) = (server.connect(), Random(random.below(u64::MAX)));
        let saver = thread::spawn(move || keep_saving(saver, choices));
        (_, books) = end_at_work(server, books, &mut random);
        let asked = saver.join().unwrap();
        newest = newest.max(asked.newest);
        all.saved += asked.saved;
        all.rewritten += asked.rewritten;
        all.marked += asked.marked;
    }
    println!("{rounds} rounds: {all:?}");
    assert!(all.saved.min(all.rewritten).min(all.marked) > 0 && all.loaded >= u64::from(rounds) / 3, "{all:?}");
}

/// Entries that the server has loaded from snapshots.
fn loaded(raw: &mut Raw) -> u64 {
    raw.send("INFO mainstay\r\n");
    let info = String::from_utf8(raw.read_bulk().unwrap()).unwrap();
    info.lines().find_map(|line| line.strip_prefix("recovered_entries:")).unwrap().parse().unwrap()
}
