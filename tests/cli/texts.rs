//! What is printed: times, escapes, and what each command shows of a whole directory.

use std::path::Path;
use std::sync::Arc;

use mainstay::model::Digest;
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::{Time, VersionId};

use crate::places::{on, rich};
use crate::scene::DIR;
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
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut opened = manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap();
    let snapshot = opened.manifest.shards[1].snapshots.values_mut().next().unwrap();
    snapshot.digest = Some(Digest { hash: [1; 32], schema: 1 });
    opened.log.change_generation(&opened.manifest).unwrap();
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
