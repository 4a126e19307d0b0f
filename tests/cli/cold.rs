//! Directories with cold files: what the tool shows of them, what damage in them costs, and that none is forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mainstay::kv::{Command, Kv};
use mainstay::sim::SimDisk;
use mainstay::{Memory, Options, ReadError, Runtime, SyncPolicy};
use serde_json::Value;

use crate::places::{amounts, change, on};
use crate::scene::{DIR, flip};
use crate::tool::Exit;

const KEYS: u32 = 3_000;

fn options(dir: &str) -> Options {
    Options {
        shards: Some(1),
        sync: SyncPolicy::Never,
        segment_bytes: 1 << 18,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(1 << 20),
        ..Options::new(dir)
    }
}

fn key(number: u32) -> String {
    format!("key {number}\x07")
}

fn value(number: u32) -> Vec<u8> {
    number.to_string().into_bytes().repeat(100)
}

/// Puts more than there is memory for, and makes a version of that behind a snapshot.
async fn fill(runtime: &Runtime<Kv>) {
    for from in (0..KEYS).step_by(100) {
        let commands = (from..from + 100).map(|number| Command::set(key(number), value(number)));
        assert!(runtime.submit_many(commands.collect()).await.iter().all(Result::is_ok));
    }
    // One that keeps too much of what is spilled alive is given up, and the next one keeps less.
    while runtime.snapshot().await.is_err() {}
    runtime.mark().await.unwrap();
}

/// A directory at rest, with more than it has memory for and a version of that.
async fn outgrown() -> SimDisk {
    let sim = SimDisk::new(23);
    let runtime = Runtime::open_on(sim.clone(), Kv, options(DIR)).await.unwrap();
    fill(&runtime).await;
    runtime.shutdown().await.unwrap();
    let after = sim.after_kill();
    drop(runtime);
    // A spill that the shutdown has ended may leave its file.
    for file in json(&after, "inspect /data --json")["not_named"].as_array().unwrap() {
        assert_eq!(file["what"], "a cold file");
        after.erase(Path::new(DIR).join(file["name"].as_str().unwrap())).unwrap();
    }
    after
}

/// The keys that cannot be read; all others have their values.
async fn unreadable(sim: &SimDisk, dir: &str) -> BTreeSet<String> {
    let runtime = Runtime::open_on(sim.after_kill(), Kv, options(dir)).await.unwrap();
    let view = runtime.view().await;
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let mut lost = BTreeSet::new();
    for (number, found) in (0..).zip(view.read_many(&keys).await) {
        match found {
            Ok(entity) => assert_eq!(entity.unwrap().value(), value(number), "{}", key(number)),
            Err(ReadError::Unreadable(_)) => _ = lost.insert(key(number)),
            Err(error) => panic!("{error}"),
        }
    }
    lost
}

/// The cold files of a directory that hold anything which a snapshot refers to, with their bytes.
fn cold_files(sim: &SimDisk, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let is_cold = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cold-"));
    sim.files().into_iter().filter(|(path, _)| path.starts_with(dir) && is_cold(path)).collect()
}

fn json(sim: &SimDisk, arguments: &str) -> Value {
    serde_json::from_str(&on(sim, arguments).1).unwrap()
}

/// One that a snapshot names.
fn named(sim: &SimDisk) -> (PathBuf, Vec<u8>) {
    let report = json(sim, "inspect /data --json");
    let files = report["shards"][0]["cold"].as_array().unwrap();
    let file = files.iter().find(|file| !file["snapshots"].as_array().unwrap().is_empty()).unwrap();
    let name = format!("cold-{:016}.pages", file["cold"].as_u64().unwrap());
    let found = cold_files(sim, DIR).into_iter().find(|(path, _)| path.ends_with(&name));
    found.unwrap_or_else(|| {
        panic!("no {name}: {:?}", cold_files(sim, DIR).iter().map(|(path, _)| path).collect::<Vec<_>>())
    })
}

/// The keys that a report names as lost.
fn lost(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.contains(" are lost with it: "));
    let keys = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    keys.map(|key| key.replace("\\x07", "\x07")).collect()
}

#[tokio::test]
async fn cold_files_are_shown_and_verified() {
    let sim = outgrown().await;
    let files = cold_files(&sim, DIR);
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let report = json(&sim, "inspect /data --json");
    assert_eq!(report["bytes"]["cold"], bytes);
    assert_eq!(report["not_named"].as_array().unwrap().len(), 0, "{report}");
    let shown = report["shards"][0]["cold"].as_array().unwrap();
    assert_eq!(shown.len(), files.len());
    assert!(shown.iter().all(|file| file["error"].is_null()), "{report}");
    let values: u64 = shown.iter().map(|file| file["values"].as_u64().unwrap()).sum();
    assert!(values > u64::from(KEYS) / 4, "{values}");
    let (_, text) = on(&sim, "inspect /data");
    let words = [", cold ", "\n  cold 1", " values  incarnation 1", "  in snapshots "];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    for deep in ["", " --deep"] {
        let (exit, text) = on(&sim, &format!("verify /data{deep}"));
        assert_eq!(exit, Exit::Sound, "{text}");
        assert!(text.contains(&format!(", {} cold files with ", files.len())), "{text}");
        let report = json(&sim, &format!("verify /data --json{deep}"));
        assert_eq!(report["shards"][0]["cold_values"], values, "{report}");
    }
    let (read, expected) = amounts(&sim, "verify /data");
    assert!(read as usize > bytes && expected.unwrap() as usize > bytes, "{read} of {expected:?}");
    assert_eq!(on(&sim, "digest /data").0, Exit::Sound);
    assert_eq!(unreadable(&sim, DIR).await, BTreeSet::new());
}

/// Guards F43, F44, F59: a page that does not verify costs its values, and all of them are named.
#[tokio::test]
async fn a_damaged_page_is_found_with_the_keys_that_it_costs() {
    let sim = outgrown().await;
    let (path, bytes) = named(&sim);
    // The header costs nothing but the look at the whole.
    for (at, costs) in [(10, false), (512 + 8, true), (bytes.len() / 2, true), (bytes.len() - 20, false)] {
        flip(&sim, &path, at);
        let (exit, text) = on(&sim, "verify /data");
        assert_eq!(exit, Exit::Damage, "{at}: {text}");
        let start = format!("damaged: {} offset ", path.display());
        let line = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{at}: {text}"));
        assert!(line.contains("sector "), "{line}");
        assert_eq!((!lost(&text).is_empty(), lost(&text)), (costs, unreadable(&sim, DIR).await), "{at}: {text}");
        assert_eq!(on(&sim, "verify /data --deep").0, Exit::Damage, "{at}");
        let (exit, text) = on(&sim, "repair /data --dry-run");
        assert_eq!((exit, text.contains("nothing is touched")), (Exit::Damage, true), "{text}");
        if costs {
            assert_eq!(on(&sim, "backup /data /copy").0, Exit::Damage, "{at}");
            sim.files().into_keys().filter(|path| path.starts_with("/copy")).for_each(|path| sim.erase(path).unwrap());
        }
        flip(&sim, &path, at);
        assert_eq!(on(&sim, "verify /data").0, Exit::Sound);
    }
}

/// Guards F43, F59: a file that is gone, cut, of another place, or not what was recorded.
#[tokio::test]
async fn a_missing_cut_or_exchanged_file_is_found() {
    let sim = outgrown().await;
    let (path, bytes) = named(&sim);
    let look = |what: &str| {
        let (exit, text) = on(&sim, "verify /data");
        assert_eq!((exit, text.contains(what)), (Exit::Damage, true), "{what}: {text}");
        let (exit, inspected) = on(&sim, "inspect /data");
        assert_eq!(exit, Exit::Sound, "{inspected}");
        text
    };
    sim.erase(&path).unwrap();
    let text = look("missing: ");
    assert!(text.contains(" keys of snapshot ") && text.contains(" more\n"), "{text}");
    assert_eq!(lost(&text).len(), 20, "{text}");
    assert!(lost(&text).is_subset(&unreadable(&sim, DIR).await));
    assert!(on(&sim, "inspect /data").1.contains("ERROR"));
    sim.put(&path, &bytes[..bytes.len() - 512]);
    look("there is no footer");
    let others = cold_files(&sim, DIR);
    let (_, other) = others.iter().find(|(other, _)| *other != path).unwrap();
    sim.put(&path, other);
    look("foreign: ");
    sim.put(&path, &bytes);
    assert_eq!(on(&sim, "verify /data").0, Exit::Sound);
    change(&sim, |manifest| manifest.shards[0].cold.values_mut().for_each(|record| record.values += 1));
    look("were recorded");
}

/// What the manifest names stays where it is, what it does not is kept elsewhere, and a backup has all that it needs.
#[tokio::test]
async fn neither_repair_nor_backup_forgets_a_cold_file() {
    let sim = outgrown().await;
    let orphan = format!("{DIR}/shard-0/cold-0000000000000777.pages");
    sim.put(&orphan, &[0; 600]);
    assert_eq!(json(&sim, "inspect /data --json")["not_named"][0]["what"], "a cold file");
    let (exit, text) = on(&sim, "repair /data --dry-run");
    let moved: Vec<_> = text.lines().filter(|line| line.starts_with("would move away ")).collect();
    assert_eq!(
        (exit, moved.len(), moved[0].contains("shard-0/cold-0000000000000777.pages: ")),
        (Exit::Sound, 1, true),
        "{text}"
    );
    sim.erase(&orphan).unwrap();
    let (exit, text) = on(&sim, "backup /data /copy");
    assert_eq!(exit, Exit::Sound, "{text}");
    assert!(!cold_files(&sim, "/copy").is_empty());
    let (exit, text) = on(&sim, "verify /copy --deep");
    assert_eq!(exit, Exit::Sound, "{text}");
    assert_eq!(unreadable(&sim, "/copy").await, BTreeSet::new());
    assert_eq!(unreadable(&sim, DIR).await, BTreeSet::new());
}

/// Guards F43, F65: an older snapshot, or the whole log, does not stand in for one that is whole and refers to a cold
/// file that is not: an opening would begin with that one all the same.
#[tokio::test]
async fn a_rollback_needs_the_cold_files_that_an_opening_would() {
    let sim = SimDisk::new(24);
    let runtime = Runtime::open_on(sim.clone(), Kv, options(DIR)).await.unwrap();
    // Needs the log from its beginning.
    runtime.submit(Command::set("first", "value")).await.unwrap();
    runtime.mark().await.unwrap();
    fill(&runtime).await;
    runtime.submit(Command::set("last", "value")).await.unwrap();
    runtime.shutdown().await.unwrap();
    let (path, _) = named(&sim);
    for is_gone in [true, false] {
        let sim = sim.after_kill();
        if is_gone {
            sim.erase(&path).unwrap();
        } else {
            flip(&sim, &path, 512 + 8);
        }
        let before = sim.files();
        let (exit, text) = on(&sim, "rollback /data --version 2");
        assert_eq!((exit, text.contains("and nothing was changed")), (Exit::Damage, true), "{text}");
        let start = format!("{}: {}", if is_gone { "missing" } else { "damaged" }, path.display());
        assert!(text.starts_with(&start), "{text}");
        assert!(sim.files() == before, "{text}");
        let (exit, text) = on(&sim, "rollback /data --version 1");
        assert_eq!(exit, Exit::Sound, "{text}");
        let runtime = Runtime::open_on(sim, Kv, options(DIR)).await.unwrap();
        let view = runtime.view().await;
        assert_eq!(view.get(b"first").unwrap().unwrap().value(), b"value");
        assert!(view.get(b"last").unwrap().is_none() && view.len(view.shards().next().unwrap()).unwrap() == 1);
    }
}
