//! The program itself, on a real directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mainstay::{Options, Runtime};

use crate::places::options;
use crate::support::{Counters, add, directory, small};

/// Exit code, output and what it complained about.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mainstay")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A directory at rest with two versions; returns the sum at the first and at the end.
async fn two_versions(dir: &Path) -> (i64, i64) {
    let runtime = Runtime::open(Counters, Options { dir: dir.to_owned(), ..options() }).await.unwrap();
    let mut sums = Vec::new();
    for round in 1..=2 {
        for n in 0..90 {
            runtime.submit(add(&format!("key {n}"), round)).await.unwrap();
        }
        runtime.rewrite().await.unwrap();
        sums.push(runtime.submit(add("key 7", 0)).await.unwrap().reply);
    }
    runtime.shutdown().await.unwrap();
    (sums[0], sums[1])
}

async fn sum(dir: &Path) -> i64 {
    let runtime = Runtime::open(Counters, Options { dir: dir.to_owned(), ..options() }).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    let sum = runtime.latest().get(b"key 7").unwrap().unwrap().sum;
    runtime.shutdown().await.unwrap();
    sum
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![dir.to_owned()]);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn usage_and_input_and_output_are_two() {
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["verify"]).0, 2);
    assert_eq!(run(&["repair", "/"]).0, 2);
    assert_eq!(run(&["repair", "/", "--dry-run", "--apply"]).0, 2);
    let (code, out, error) = run(&["verify", "/nowhere/at/all"]);
    assert_eq!((code, out.as_str(), error.contains("/nowhere/at/all")), (2, "", true), "{error}");
    let (code, help, _) = run(&["--help"]);
    assert_eq!((code, help.contains("rollback")), (0, true), "{help}");
}

#[tokio::test]
async fn damage_is_three_and_nothing_is_written() {
    let dir = directory();
    two_versions(dir.path()).await;
    let path = dir.path().to_str().unwrap();
    let before = files(dir.path());
    for looks in [["inspect", path, "--json"], ["verify", path, "--deep"], ["repair", path, "--dry-run"]] {
        let (code, out, error) = run(&looks);
        assert_eq!((code, error.as_str()), (0, ""), "{looks:?}: {out}");
    }
    assert_eq!(run(&["digest", path]).0, 0);
    assert_eq!(run(&["log", path, "--shard", "0"]).0, 0);
    assert_eq!(files(dir.path()), before);
    let snapshot = before.keys().find(|path| path.extension().is_some_and(|end| end == "snap")).unwrap();
    let mut bytes = before[snapshot].clone();
    bytes[400] ^= 8;
    fs::write(dir.path().join(snapshot), &bytes).unwrap();
    let (code, out, _) = run(&["verify", path]);
    assert_eq!((code, out.contains("offset 256 lsn ")), (3, true), "{out}");
    let (code, out, _) = run(&["verify", path, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &report["sound"], &report["findings"][0]["kind"]),
        (3, &false.into(), &"damaged".into()),
        "{out}"
    );
    assert_eq!(run(&["digest", path]).0, 3);
}

/// Guards F64, F65: back at the version, and what needs damaged files is refused without a change.
#[tokio::test]
async fn a_rollback_goes_back_or_changes_nothing() {
    let dir = directory();
    let (first, last) = two_versions(dir.path()).await;
    let path = dir.path().to_str().unwrap();
    let before = files(dir.path());
    let (code, _, error) = run(&["rollback", path, "--version", "9"]);
    assert_eq!((code, error.contains("there are: 1 2")), (2, true), "{error}");
    // Of a shard whose log does not go back to its beginning, which would stand in: which has more keys differs.
    let has = |shard: usize, name: &str| before.contains_key(Path::new(&format!("shard-{shard}/{name}")));
    let shard = (0..2).find(|shard| !has(*shard, "wal-0000000000000001.seg")).unwrap();
    let snapshot = &PathBuf::from(format!("shard-{shard}/snapshot-0000000000000001.snap"));
    fs::write(dir.path().join(snapshot), &before[snapshot][..300]).unwrap();
    let damaged = files(dir.path());
    let (code, out, _) = run(&["rollback", path, "--version", "1"]);
    assert!(code == 3 && out.contains("nothing was changed"), "{code}: {out}");
    assert_eq!(files(dir.path()), damaged);
    fs::write(dir.path().join(snapshot), &before[snapshot]).unwrap();
    assert_eq!(sum(dir.path()).await, last);
    let (code, out, error) = run(&["rollback", path, "--version", "1"]);
    assert_eq!(code, 0, "{out}{error}");
    let words = ["back at version 1", "abandoned epoch", "abandoned version 2", "abandoned snapshot", "removed "];
    assert!(words.iter().all(|word| out.contains(word)), "{out}");
    let (code, out, _) = run(&["verify", path, "--deep"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(sum(dir.path()).await, first);
    assert!(run(&["inspect", path]).1.contains("timeline 1"));
}

/// Nothing is deleted: what was in the way is kept, and the directory opens as before.
#[tokio::test]
async fn a_repair_keeps_what_it_moves() {
    let dir = directory();
    let (_, last) = two_versions(dir.path()).await;
    let path = dir.path().to_str().unwrap();
    let before = files(dir.path());
    assert_eq!(run(&["repair", path, "--apply"]).1, "nothing to do\n");
    assert_eq!(files(dir.path()), before);
    let left_overs = [
        "CURRENT.tmp",
        "shard-0/cold-0000000000000777.pages",
        "shard-0/snapshot-0000000000000099.tmp",
        "shard-1/wal-0000000000000777.seg",
    ];
    left_overs.iter().for_each(|name| fs::write(dir.path().join(name), [0; 300]).unwrap());
    let (code, out, error) = run(&["repair", path, "--apply"]);
    assert_eq!(code, 0, "{out}{error}");
    let after = files(dir.path());
    let kept: Vec<_> = after.keys().filter(|path| path.to_string_lossy().starts_with("repair-")).collect();
    assert_eq!(kept.len(), left_overs.len(), "{after:?}");
    assert!(left_overs.iter().all(|name| kept.iter().any(|path| path.ends_with(name))), "{kept:?}");
    let rest: BTreeMap<_, _> = after.iter().filter(|(path, _)| !kept.contains(path)).collect();
    assert!(rest.into_iter().eq(before.iter()), "nothing else has changed");
    assert_eq!(run(&["repair", path, "--apply"]).1, "nothing to do\n");
    assert_eq!(sum(dir.path()).await, last);
}

/// A backup of a directory that is open; it opens itself, and the tool finds nothing wrong with it.
#[tokio::test]
async fn a_backup_is_made_beside_the_live_directory() {
    let place = directory();
    let (live, dest) = (place.path().join("live"), place.path().join("backup"));
    let runtime = Runtime::open(Counters, small(&live)).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let (path, to) = (live.to_str().unwrap(), dest.to_str().unwrap());
    let (code, _, error) = run(&["backup", path, to]);
    assert_eq!(code, 2, "{error}");
    runtime.mark().await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let (code, out, error) = run(&["backup", path, to]);
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(run(&["verify", to, "--deep"]).0, 0);
    assert_eq!(run(&["backup", path, to]).0, 2, "it is not empty any more");
    let copy = Runtime::open(Counters, small(&dest)).await.unwrap();
    assert_eq!(copy.view().await.get(b"a").unwrap().unwrap().sum, 1);
}
