//! Values that outgrow the memory: every command finds them wherever they are.

use std::collections::BTreeSet;

use crate::info::Info;
use crate::resp::{Raw, Server, directory, request};
use crate::{ask, client, digest, until};

const KEYS: usize = 6_000;
const NUMBERS: usize = 600;
const SMALL: &[&str] = &["--sync", "never", "--segment-bytes", "1048576", "--memory", "4000000"];

fn value(number: usize) -> String {
    format!("{number:05}").repeat(240)
}

fn number(number: usize) -> i64 {
    1_000_000_000_000 + number as i64
}

fn set(key: &str, value: &str) -> Vec<u8> {
    request(&[b"SET", key.as_bytes(), value.as_bytes()])
}

/// Sets them all. So that nobody waits for long, some at a time.
fn fill(raw: &mut Raw) {
    for from in (0..KEYS).step_by(100) {
        let requests = (from..from + 100).map(|n| match n % 3 {
            0 => request(&[b"SET", format!("k{n}").as_bytes(), value(n).as_bytes(), b"EX", b"7000"]),
            _ => set(&format!("k{n}"), &value(n)),
        });
        raw.send(requests.collect::<Vec<_>>().concat());
        raw.expect("+OK\r\n".repeat(100));
    }
    raw.send((0..NUMBERS).flat_map(|n| set(&format!("i{n}"), &number(n).to_string())).collect::<Vec<_>>());
    raw.expect("+OK\r\n".repeat(NUMBERS));
}

/// Pages that were looked for so far: they were read, or in the cache.
fn looked(raw: &mut Raw) -> u64 {
    let info = Info::ask(raw);
    info.number("cold_reads") + info.number("cold_cache_hits")
}

/// Guards F45, F46: no command takes a key that is not in memory for one that is not there.
#[test]
fn every_command_works_on_cold_keys() {
    let dir = directory();
    let server = Server::start(dir.path(), SMALL);
    let mut raw = server.connect();
    fill(&mut raw);
    let info = Info::ask(&mut raw);
    assert!(info.number("cold_keys") > KEYS as u64 / 2, "{} cold keys", info.number("cold_keys"));
    let mut connection = client(&server);
    let c = &mut connection;
    // Each command has keys of its own, so many that some are cold.
    let mut next = 0;
    for (command, arguments) in [
        ("GET", ""),
        ("STRLEN", ""),
        ("TTL", ""),
        ("EXISTS", ""),
        ("TYPE", ""),
        ("GETSET", " new"),
        ("APPEND", " tail"),
        ("SETNX", " new"),
        ("SET", " new KEEPTTL GET"),
        ("EXPIRE", " 5000"),
        ("PERSIST", ""),
        ("GETDEL", ""),
        ("DEL", ""),
        ("INCR", ""),
    ] {
        let before = looked(&mut raw);
        for n in next..next + 60 {
            let whole = format!("${}\r\n{}", value(n).len(), value(n));
            let has_expiry = n % 3 == 0;
            let reply = match command {
                "GET" | "GETSET" | "SET" | "GETDEL" => whole,
                "STRLEN" => format!(":{}", value(n).len()),
                "TTL" if has_expiry => {
                    let left: i64 = ask(c, &["TTL", &format!("k{n}")]);
                    assert!((6_000..=7_000).contains(&left), "{left}");
                    continue;
                }
                "TTL" => ":-1".to_owned(),
                "TYPE" => "+string".to_owned(),
                "APPEND" => format!(":{}", value(n).len() + 4),
                "SETNX" => ":0".to_owned(),
                "PERSIST" => format!(":{}", u8::from(has_expiry)),
                "INCR" => "-ERR value is not an integer or out of range".to_owned(),
                _ => ":1".to_owned(),
            };
            raw.line(&format!("{command} k{n}{arguments}"), &reply);
        }
        assert!(looked(&mut raw) > before, "{command}: no cold key was among them");
        next += 60;
    }
    for n in 0..60 {
        raw.line(&format!("INCRBY i{n} 5"), &format!(":{}", number(n) + 5));
    }
    let keys: Vec<String> = (next..next + 300).map(|n| format!("k{n}")).collect();
    let mget: Vec<String> = ask(c, &[&["MGET".to_owned()], &keys[..]].concat());
    assert_eq!(mget, (next..next + 300).map(value).collect::<Vec<_>>());
    assert_eq!(ask::<usize>(c, &[&["EXISTS".to_owned()], &keys[..]].concat()), 300);
    // What was written to them is there.
    raw.line(&format!("GET k{}", 5 * 60), "$3\r\nnew");
    raw.line(&format!("STRLEN k{}", 6 * 60), &format!(":{}", value(0).len() + 4));
    raw.line(&format!("EXISTS k{} k{}", 11 * 60, 12 * 60), ":0");
}

/// Guards F46, F55: what goes over all keys reads those that are not in memory, and says the same after a kill.
#[test]
fn scans_and_digests_take_cold_keys_in() {
    let dir = directory();
    let server = Server::start(dir.path(), SMALL);
    let mut raw = server.connect();
    fill(&mut raw);
    let mut connection = client(&server);
    let c = &mut connection;
    let all: BTreeSet<String> =
        (0..KEYS).map(|n| format!("k{n}")).chain((0..NUMBERS).map(|n| format!("i{n}"))).collect();
    let keys: BTreeSet<String> = ask::<Vec<String>>(c, &["KEYS", "*"]).into_iter().collect();
    assert_eq!((keys.len(), keys == all), (KEYS + NUMBERS, true));
    let (mut scanned, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let (next, page): (String, Vec<String>) = ask(c, &["SCAN", &cursor, "COUNT", "700"]);
        scanned.extend(page);
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    assert!(scanned == all, "{} of {}", scanned.len(), all.len());
    assert_eq!(ask::<usize>(c, &["DBSIZE"]), KEYS + NUMBERS);
    let before = digest(c);
    server.kill();
    // With room for all of it nothing is cold that was not snapshotted so, and it is the same.
    for flags in [SMALL, &["--memory", "200000000"]] {
        let server = Server::start(dir.path(), flags);
        assert_eq!(digest(&mut client(&server)), before, "{flags:?}");
        server.kill();
    }
}

/// The section says what is there, and without spilling the memory is all there is.
#[test]
fn info_and_config_tell_of_what_is_cold() {
    let dir = directory();
    let server = Server::start(dir.path(), SMALL);
    let mut raw = server.connect();
    let info = Info::ask(&mut raw);
    assert_eq!((info.text("spill"), info.text("cold_live_ratio")), ("yes", "1.00"));
    assert_eq!(info.number("cold_keys") + info.number("cold_files") + info.number("cold_reads"), 0);
    raw.line("CONFIG GET mainstay-spill", "*2\r\n$14\r\nmainstay-spill\r\n$3\r\nyes");
    fill(&mut raw);
    until(|| {
        let info = Info::ask(&mut raw);
        let ratio = info.number("cold_values_live") as f64 / info.number("cold_values") as f64;
        info.number("cold_files") > 0
            && info.number("cold_keys") == info.number("cold_values_live")
            && info.text("cold_live_ratio") == format!("{ratio:.2}")
    });
    let info = Info::ask(&mut raw);
    assert!(info.number("cold_bytes") > info.number("cold_keys") * 100);
    assert!(info.number("spills") > 0 && info.number("spill_failures") == 0);
    assert!(info.number("used_memory") <= info.number("maxmemory_state"));
    assert!(info.number("used_memory_rss") > info.number("used_memory"));
    let dir = directory();
    let server = Server::start(dir.path(), &[SMALL, &["--spill", "no"]].concat());
    let mut raw = server.connect();
    assert_eq!(Info::ask(&mut raw).text("spill"), "no");
    let long = "x".repeat(10_000);
    let full = (0..1_000).find_map(|n| {
        raw.send(request(&[b"SET", format!("{n}").as_bytes(), long.as_bytes()]));
        raw.read_line().filter(|line| line != "+OK")
    });
    let full = full.unwrap();
    assert!(full.starts_with("-OOM the shard's memory is full: of "), "{full}");
    assert_eq!(Info::ask(&mut raw).number("cold_files"), 0);
}
