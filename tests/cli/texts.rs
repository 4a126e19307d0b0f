//! What is printed: times, escapes, and what each command shows of a whole directory.

use std::path::Path;
use std::sync::Arc;

use mainstay::model::Digest;
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Runtime, Time, VersionId};

use crate::places::{change, on, options, rich, run_words};
use crate::scene::DIR;
use crate::support::Counters;
use crate::tool::Exit;
use crate::tool::text::{clean, escaped, grouped, utc};

#[test]
fn times_are_utc() {
    assert_eq!(utc(Time(0)), "1970-01-01T00:00:00.000000Z");
    assert_eq!(utc(Time(951_827_696_000_001)), "2000-02-29T12:34:56.000001Z");
    assert_eq!(utc(Time(1_709_251_199_999_999)), "2024-02-29T23:59:59.999999Z");
    assert_eq!(utc(Time(1_709_251_200_000_000)), "2024-03-01T00:00:00.000000Z");
    assert_eq!(utc(Time(4_107_542_399_000_000)), "2100-02-28T23:59:59.000000Z");
    assert_eq!(utc(Time(4_107_542_400_000_000)), "2100-03-01T00:00:00.000000Z");
    assert!(utc(Time(u64::MAX)).starts_with("586524-"), "{}", utc(Time(u64::MAX)));
}

/// Guards F9: nothing that a client has written acts upon a terminal.
#[test]
fn control_bytes_are_escaped() {
    assert_eq!(escaped(b"a\x1b[2J\n\x80\""), "a\\x1b[2J\\n\\x80\\\"");
    assert_eq!(clean("a\x1b[2J\u{202e}b\u{e9}"), "a\\u{1b}[2J\\u{202e}b\u{e9}");
    assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1_000, 1_234_567].map(grouped).each_ref().map(|s| &**s));
}

/// The same directory under another name.
fn moved(sim: &SimDisk, to: &str) -> SimDisk {
    let moved = SimDisk::new(3);
    for (path, bytes) in sim.files() {
        moved.put(Path::new(to).join(path.strip_prefix(DIR).unwrap()), &bytes);
    }
    moved
}

/// Guards F9: nor does the name of a directory, whatever is said about it.
#[tokio::test]
async fn names_of_directories_are_escaped() {
    let (dir, dest) = ("/a\x1b[2J\nb\u{202e}", "/c\x1b[2J\nd");
    let sim = moved(&rich(true).await, dir);
    let run = |words: &[&str]| {
        let (exit, text) = run_words(Arc::new(sim.clone()), words);
        assert!(text.contains(r"\u{1b}[2J\n"), "{words:?}: it is named: {text:?}");
        let acts = ["\x1b", "\u{202e}", "[2J\n"].into_iter().find(|it| text.contains(it));
        assert_eq!(acts, None, "{words:?}: {text:?}");
        exit
    };
    let sound = |words: &[&str]| assert_eq!(run(words), Exit::Sound, "{words:?}");
    sound(&["inspect", dir]);
    sim.put(Path::new(dest).join("notes.txt"), b"x");
    assert_eq!(run(&["backup", dir, dest]), Exit::Failed, "it is not empty");
    assert_eq!(run(&["backup", dir, &format!("{dest}/no/where")]), Exit::Failed);
    assert_eq!(run(&["verify", dest]), Exit::Failed, "it holds no data");
    assert_eq!(run(&["verify", &format!("{dest}/nowhere")]), Exit::Failed);
    sim.fail_when(|call| {
        let is_snapshot = call.path.extension().is_some_and(|end| end == "snap");
        (call.operation == Operation::Remove && is_snapshot).then_some(FaultKind::ErrorOnce)
    });
    sound(&["rollback", dir, "--version", "1"]);
    sim.fail_when(|call| (call.operation == Operation::Lock).then_some(FaultKind::ErrorOnce));
    assert_eq!(run(&["rollback", dir, "--version", "1"]), Exit::Failed);
    sim.disarm();
    sim.pretend_file_system("nfs");
    let (exit, text) = run_words(Arc::new(sim.clone()), &["rollback", dir, "--version", "1"]);
    assert_eq!((exit, text.contains("nfs")), (Exit::Failed, true), "{text}");
}

#[tokio::test]
async fn inspect_shows_what_is_there() {
    let sim = rich(true).await;
    sim.put(format!("{DIR}/shard-0/odd\x1b[2Jname"), b"x");
    sim.put(format!("{DIR}/CURRENT.tmp"), b"x");
    let (exit, text) = on(&sim, "inspect /data");
    assert_eq!(exit, Exit::Sound);
    let expected =
        ["generation ", "timeline 1", "abandoned  epoch ", "begin in epoch ", "roll in epoch ", "sealed at byte"];
    let more = ["snapshot ", "versions", "version 1  20", "closed in good order", "odd\\u{1b}[2Jname", "CURRENT.tmp"];
    for word in expected.into_iter().chain(more) {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert!(!text.contains("ERROR"), "{text}");
    let (_, json) = on(&sim, "inspect /data --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["timeline"], 1);
    assert_eq!(json["shards"].as_array().unwrap().len(), 2);
    assert!(json["versions"][0]["points"][1]["lsn"].as_u64().unwrap() > 1);
    assert_eq!(json["not_named"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_damaged_place_is_shown_in_its_place() {
    let sim = rich(false).await;
    let path = crate::scene::segment(1, 1);
    crate::scene::flip(&sim, &path, 20);
    let (exit, text) = on(&sim, "inspect /data");
    assert_eq!(exit, Exit::Sound);
    assert!(text.contains("ERROR its header does not verify"), "{text}");
    sim.overwrite(format!("{DIR}/CURRENT"), 3, b"\x1b").unwrap();
    let (exit, text) = on(&sim, "inspect /data");
    assert_eq!((exit, text.contains("ERROR damaged: /data/CURRENT offset 0")), (Exit::Damage, true), "{text}");
    assert!(text.contains("shard-0/wal-0000000000000001.seg"), "files are listed without a manifest: {text}");
}

#[tokio::test]
async fn a_log_is_shown_in_order_from_anywhere() {
    let sim = rich(false).await;
    let (exit, all) = on(&sim, "log /data --shard 0");
    assert_eq!(exit, Exit::Sound, "{all}");
    let lsns =
        |text: &str| text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect::<Vec<u64>>();
    let numbers = lsns(&all);
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(all.contains("\\x07") && all.contains("schema 1") && all.contains("..."), "{all}");
    let (_, some) = on(&sim, "log /data --shard 0 --from 7 --limit 5");
    assert_eq!(lsns(&some), [7, 8, 9, 10, 11]);
    assert_eq!(on(&sim, "log /data --shard 0 --limit 0").1, "");
    assert_eq!(on(&sim, "log /data --shard 0 --from 100000").1, "");
    let (_, hex) = on(&sim, "log /data --shard 0 --limit 1 --hex");
    let bytes = hex.trim_end().rsplit(' ').next().unwrap();
    let length = hex.split(" bytes").next().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(length.parse::<usize>().unwrap() * 2, bytes.len(), "{hex}");
    assert!(bytes.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hex}");
    assert_eq!(on(&sim, "log /data --shard 9").0, Exit::Failed);
}

#[tokio::test]
async fn digests_are_of_what_the_snapshots_hold() {
    let sim = rich(true).await;
    let (exit, text) = on(&sim, "digest /data");
    assert_eq!(exit, Exit::Sound, "{text}");
    let snapshots: Vec<_> = text.lines().filter_map(|line| line.split_once("  computed ")).collect();
    assert!(snapshots.len() >= 2 && snapshots.iter().all(|(line, computed)| line.ends_with(computed)), "{text}");
    let (exit, text) = on(&sim, &format!("digest /data --version {}", VersionId(2).0));
    assert_eq!((exit, text.matches("computed").count()), (Exit::Sound, 2), "{text}");
    assert_eq!(on(&sim, "digest /data --version 77").0, Exit::Failed);
    // A manifest that says something else.
    change(&sim, |manifest| {
        let snapshot = manifest.shards[1].snapshots.values_mut().next().unwrap();
        snapshot.digest = Some(Digest { hash: [1; 32], schema: 1 });
    });
    let (exit, text) = on(&sim, "digest /data");
    assert_eq!((exit, text.matches("wrong digest: /data/shard-1/").count()), (Exit::Damage, 1), "{text}");
}

#[tokio::test]
async fn left_overs_are_named_and_nothing_else() {
    let sim: SimDisk = rich(true).await;
    assert_eq!(on(&sim, "repair /data --dry-run"), (Exit::Sound, "nothing to do\n".to_owned()));
    let left_overs = ["CURRENT.tmp", "shard-0/wal-0000000000000999.seg", "shard-1/snapshot-0000000000000099.tmp"];
    left_overs.iter().for_each(|name| sim.put(format!("{DIR}/{name}"), &[0; 4096]));
    sim.put(format!("{DIR}/shard-1/notes.txt"), b"not ours");
    let (exit, text) = on(&sim, "repair /data --dry-run");
    assert_eq!((exit, text.matches("would move away").count()), (Exit::Sound, 3), "{text}");
    assert!(left_overs.iter().all(|name| text.contains(name)), "{text}");
}

/// What a repair moves away a runtime removes: files of shards at the next opening, the others with the generation.
#[tokio::test]
async fn left_overs_go_by_themselves_too() {
    let sim: SimDisk = rich(true).await;
    change(&sim, |_| {});
    change(&sim, |_| {});
    let of_shards = ["shard-0/wal-0000000000000999.seg", "shard-1/snapshot-0000000000000099.tmp"];
    let of_root = ["CURRENT.tmp", "manifest-0000000000000001.log"];
    of_shards.iter().chain(&of_root).for_each(|name| sim.put(format!("{DIR}/{name}"), &[0; 4096]));
    let moved = || {
        let (exit, text) = on(&sim, "repair /data --dry-run");
        assert_eq!(exit, Exit::Sound, "{text}");
        let lines = text.lines().filter_map(|line| line.strip_prefix("would move away "));
        lines.map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(moved(), [&of_root[..], &of_shards].concat());
    let runtime = Runtime::open_on(sim.clone(), Counters, options()).await.unwrap();
    runtime.shutdown().await.unwrap();
    assert_eq!(moved(), of_root);
    change(&sim, |_| {});
    assert_eq!(moved(), [""; 0]);
    let there = |name: &str| sim.read(format!("{DIR}/{name}")).is_some();
    assert_eq!(of_shards.into_iter().chain(of_root).find(|name| there(name)), None);
}
