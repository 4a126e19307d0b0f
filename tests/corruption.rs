//! Damaged, cut, missing and foreign files: a typed error that names the place, or a torn tail; never a guess.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{LogError, Lsn, ManifestError, OpenError, Options, Runtime, ShardId, SyncPolicy};
use support::{Command, Counters, add, small};

const DIR: &str = "/data";
const FRAME_HEADER: usize = 128;
const SEGMENT_HEADER: usize = 256;

fn options(shards: u32) -> Options {
    Options { shards: Some(shards), ..small(Path::new(DIR)) }
}

async fn open(sim: &SimDisk, shards: u32) -> Runtime<Counters> {
    Runtime::open_on(sim.clone(), Counters, options(shards)).await.unwrap()
}

/// What another process finds after this one was killed.
async fn killed(runtime: Runtime<Counters>, sim: &SimDisk) -> SimDisk {
    drop(runtime);
    sim.after_kill()
}

fn segment(shard: u32, number: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/shard-{shard}/wal-{number:016}.seg"))
}

/// Offsets and lengths of the frames in a segment.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    let mut at = SEGMENT_HEADER;
    while bytes.get(at..at + 4) == Some(b"MSFR") {
        let payload = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
        let length = (FRAME_HEADER + payload).next_multiple_of(64);
        frames.push((at, length));
        at += length;
    }
    frames
}

fn zero(sim: &SimDisk, path: &Path, from: usize) {
    let length = sim.read(path).unwrap().len();
    sim.overwrite(path, from as u64, &vec![0; length - from]).unwrap();
}

fn flip(sim: &SimDisk, path: &Path, at: usize) {
    let byte = sim.read(path).unwrap()[at];
    sim.overwrite(path, at as u64, &[byte ^ (1 << (at % 8))]).unwrap();
}

fn refusal(runtime: &Runtime<Counters>) -> Option<(ShardId, String)> {
    runtime.recovery().refused().next().map(|(shard, error)| (shard, error.to_string()))
}

/// Guards F10, F11, F13: a frame counts whole or not at all, and what is written after it is found again.
#[tokio::test]
async fn a_frame_cut_at_every_byte_is_whole_or_absent() {
    let sim = SimDisk::new(1);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("first", 1)).await.unwrap();
    let commands = vec![add("a", 2), add("b", 3), add("c", 4)];
    for answer in runtime.submit_many(commands).await {
        answer.unwrap();
    }
    let base = killed(runtime, &sim).await;
    let path = segment(0, 1);
    let bytes = base.read(&path).unwrap();
    let (start, _) = frames(&bytes)[0];
    let second = frames(&bytes)[1];
    let payload = u32::from_le_bytes(bytes[second.0 + 32..second.0 + 36].try_into().unwrap());
    let written = FRAME_HEADER + payload as usize;
    for cut in 0..=written {
        let sim = base.after_kill();
        zero(&sim, &path, second.0 + cut);
        let runtime = open(&sim, 1).await;
        assert_eq!(refusal(&runtime), None, "cut at {cut}");
        let view = runtime.latest();
        assert_eq!(view.get(b"first").unwrap().unwrap().sum, 1);
        let found: Vec<_> = [b"a", b"b", b"c"].iter().map(|key| view.get(*key).unwrap().is_some()).collect();
        assert_eq!(found, [cut == written; 3], "cut at {cut}");
        let expected = if cut == written { Lsn(5) } else { Lsn(2) };
        let receipt = runtime.submit(add("after", 9)).await.unwrap();
        assert_eq!(receipt.position.lsn, expected);
        drop(runtime);
        let sim = sim.crash(cut as u64);
        let runtime = open(&sim, 1).await;
        assert_eq!(runtime.latest().get(b"after").unwrap().unwrap().sum, 9, "cut at {cut}");
    }
    assert!(start < second.0);
}

/// Guards F12: under `Always` the frame behind says that the damaged one was durable.
#[tokio::test]
async fn every_flipped_byte_of_a_durable_frame_is_corruption_and_other_shards_open() {
    let sim = SimDisk::new(2);
    let runtime = open(&sim, 2).await;
    let keys: Vec<String> = (0..64).map(|n| format!("k{n}")).collect();
    let of = |shard| keys.iter().find(|key| runtime.shard_of(key.as_bytes()) == ShardId(shard)).unwrap().clone();
    let (zero_key, one_key) = (of(0), of(1));
    for n in 0..3 {
        runtime.submit(add(&zero_key, n)).await.unwrap();
    }
    runtime.submit(add(&one_key, 7)).await.unwrap();
    let base = killed(runtime, &sim).await;
    let path = segment(0, 1);
    let bytes = base.read(&path).unwrap();
    let (at, length) = frames(&bytes)[1];
    let payload = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
    let payload_end = FRAME_HEADER + payload;
    assert!(payload > 0 && payload_end <= length);
    for byte in (0..SEGMENT_HEADER).chain(at..at + payload_end) {
        let sim = base.after_kill();
        flip(&sim, &path, byte);
        let before = sim.files();
        let runtime = open(&sim, 2).await;
        let (shard, error) = runtime.recovery().refused().next().unwrap();
        assert_eq!(shard, ShardId(0));
        match error {
            LogError::Damaged { path: named, offset, lsn, .. } => {
                assert_eq!(named, &path);
                let place = if byte < SEGMENT_HEADER { (0, Lsn(1)) } else { (at as u64, Lsn(2)) };
                assert_eq!((*offset, *lsn), place);
            }
            other => panic!("byte {byte}: {other}"),
        }
        assert_eq!(runtime.latest().get(one_key.as_bytes()).unwrap().unwrap().sum, 7);
        assert!(runtime.latest().get(zero_key.as_bytes()).is_err());
        runtime.submit(add(&zero_key, 1)).await.unwrap_err();
        drop(runtime);
        let own = |files: &std::collections::BTreeMap<PathBuf, Vec<u8>>| {
            files
                .iter()
                .filter(|(path, _)| path.starts_with(format!("{DIR}/shard-0")))
                .map(|(path, bytes)| (path.clone(), bytes.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(own(&before), own(&sim.files()), "a refused shard's files are never touched");
    }
}

/// Guards F12: a file that lost its first sectors is no spare, as long as anything behind them is left.
#[tokio::test]
async fn a_segment_that_lost_its_first_sectors_is_damaged_and_not_unused() {
    for lost in [SEGMENT_HEADER, 512, 4096] {
        let sim = SimDisk::new(6);
        let runtime = open(&sim, 1).await;
        for n in 0..100 {
            runtime.submit(add("a", n)).await.unwrap();
        }
        let sim = killed(runtime, &sim).await;
        let path = segment(0, 1);
        sim.overwrite(&path, 0, &vec![0; lost]).unwrap();
        let runtime = open(&sim, 1).await;
        let (_, refused) = refusal(&runtime).unwrap_or_else(|| panic!("{lost} zeroes make it a spare"));
        assert!(refused.contains("header"), "{refused}");
    }
}

/// The last frame has nobody behind it who could say that it was durable: torn, and the log goes on.
#[tokio::test]
async fn a_flipped_byte_of_the_last_frame_is_torn_unless_the_log_was_closed() {
    for closed in [false, true] {
        let sim = SimDisk::new(3);
        let runtime = open(&sim, 1).await;
        runtime.submit(add("a", 1)).await.unwrap();
        runtime.submit(add("a", 1)).await.unwrap();
        let path = segment(0, 1);
        let (at, _) = frames(&sim.read(&path).unwrap())[1];
        if closed {
            runtime.shutdown().await.unwrap();
        }
        let sim = killed(runtime, &sim).await;
        zero(&sim, &path, at + FRAME_HEADER + 64);
        flip(&sim, &path, at + 10);
        let runtime = open(&sim, 1).await;
        if closed {
            let (_, error) = runtime.recovery().refused().next().unwrap();
            assert!(matches!(error, LogError::Damaged { lsn: Lsn(2), .. }), "{error}");
        } else {
            assert_eq!(refusal(&runtime), None);
            assert!(runtime.recovery().shards[0].torn_bytes > 0);
            assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 1);
        }
    }
}

/// Without a sync pages reach the disk in any order: a hole with good frames behind it says nothing.
#[tokio::test]
async fn a_hole_left_by_unsynced_pages_is_a_torn_tail() {
    for sync in [SyncPolicy::Never, SyncPolicy::Interval(Duration::from_secs(3600))] {
        let sim = SimDisk::new(4);
        let runtime = Runtime::open_on(sim.clone(), Counters, Options { sync, ..options(1) }).await.unwrap();
        for n in 0..4 {
            runtime.submit(add("a", n)).await.unwrap();
        }
        let sim = killed(runtime, &sim).await;
        let path = segment(0, 1);
        let (at, length) = frames(&sim.read(&path).unwrap())[1];
        sim.overwrite(&path, at as u64, &vec![0; length]).unwrap();
        let runtime = open(&sim, 1).await;
        assert_eq!(refusal(&runtime), None);
        assert_eq!(runtime.recovery().shards[0].commands, 1);
        assert_eq!(runtime.submit(add("a", 5)).await.unwrap().position.lsn, Lsn(2));
    }
}

/// Guards F57: no length is believed before its frame verifies.
#[tokio::test]
async fn absurd_lengths_allocate_nothing() {
    let sim = SimDisk::new(5);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let base = killed(runtime, &sim).await;
    let path = segment(0, 1);
    let (at, _) = frames(&base.read(&path).unwrap())[0];
    for field in [24, 28, 32] {
        for value in [0u32, u32::MAX] {
            let sim = base.after_kill();
            sim.overwrite(&path, (at + field) as u64, &value.to_le_bytes()).unwrap();
            let runtime = open(&sim, 1).await;
            let (_, error) = runtime.recovery().refused().next().unwrap();
            assert!(matches!(error, LogError::Damaged { lsn: Lsn(1), .. }), "{error}");
        }
    }
}

/// Guards F32: only what the manifest names is data, and all of that has to be there.
#[tokio::test]
async fn missing_foreign_and_unknown_segments_are_refused() {
    let sim = SimDisk::new(6);
    let runtime = open(&sim, 2).await;
    for n in 0..40 {
        runtime.submit(Command::Put(vec![n], vec![n; 400])).await.unwrap();
    }
    let base = killed(runtime, &sim).await;
    let other = SimDisk::new(7);
    let runtime = open(&other, 2).await;
    runtime.submit_many((0..8).map(|n| Command::Put(vec![n], vec![n; 9])).collect()).await;
    let other = killed(runtime, &other).await;
    let refused = async |change: &dyn Fn(&SimDisk)| {
        let sim = base.after_kill();
        change(&sim);
        let runtime = open(&sim, 2).await;
        let refused = runtime.recovery().refused();
        refused.map(|(shard, error)| (shard.0, format!("{error:?}"))).collect::<Vec<_>>()
    };
    let is = |found: &[(u32, String)], what: &str| {
        assert!(!found.is_empty(), "{what}");
        assert!(found.iter().all(|(_, error)| error.starts_with(what)), "{what}: {found:?}");
    };
    is(&refused(&|sim| sim.erase(segment(0, 1)).unwrap()).await, "SegmentMissing");
    is(&refused(&|sim| sim.erase(segment(0, 2)).unwrap()).await, "SegmentMissing");
    let swap = refused(&|sim| {
        let (zero, one) = (sim.read(segment(0, 1)).unwrap(), sim.read(segment(1, 1)).unwrap());
        sim.put(segment(0, 1), &one);
        sim.put(segment(1, 1), &zero);
    });
    let swap = swap.await;
    assert_eq!(swap.len(), 2);
    is(&swap, "Foreign");
    let copied = other.read(segment(0, 1)).unwrap();
    is(&refused(&|sim| sim.put(segment(0, 1), &copied)).await, "Foreign");
    let used = base.read(segment(0, 1)).unwrap();
    is(&refused(&|sim| sim.put(segment(0, 99), &used)).await, "ManifestLost");
    let same_shard = refused(&|sim| {
        let (one, two) = (sim.read(segment(0, 1)).unwrap(), sim.read(segment(0, 2)).unwrap());
        sim.put(segment(0, 1), &two);
        sim.put(segment(0, 2), &one);
    });
    is(&same_shard.await, "Foreign");
}

/// Guards F28, F20: nothing is swept, nothing is fallen back to.
#[tokio::test]
async fn every_flipped_byte_of_the_manifest_is_a_typed_error() {
    let sim = SimDisk::new(8);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.shutdown().await.unwrap();
    let base = killed(runtime, &sim).await;
    let current = PathBuf::from(format!("{DIR}/CURRENT"));
    let generation = PathBuf::from(format!("{DIR}/manifest-{:016}.log", 1));
    for path in [&current, &generation] {
        let bytes = base.read(path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        // The last newline may be missing: its edit is complete all the same.
        for at in 0..used {
            let sim = base.after_kill();
            flip(&sim, path, at);
            let before = sim.files();
            match Runtime::open_on(sim.clone(), Counters, options(1)).await {
                Err(OpenError::Manifest(
                    ManifestError::Damaged { .. }
                    | ManifestError::NewerFormat { .. }
                    | ManifestError::GenerationMissing { .. },
                )) => {}
                other => panic!("{} byte {at}: {other:?}", path.display()),
            }
            assert_eq!(before, sim.files());
        }
    }
    for lost in [1, 64 * 1024, 2 * 1024 * 1024] {
        let sim = base.after_kill();
        let bytes = sim.read(&generation).unwrap();
        sim.put(&generation, &bytes[..bytes.len() - lost]);
        let before = sim.files();
        let error = Runtime::open_on(sim.clone(), Counters, options(1)).await.unwrap_err();
        assert!(matches!(error, OpenError::Manifest(ManifestError::Damaged { .. })), "{error:?}");
        assert_eq!(before, sim.files());
    }
    for path in [&current, &generation] {
        let sim = base.after_kill();
        sim.erase(path).unwrap();
        let before = sim.files();
        let error = Runtime::open_on(sim.clone(), Counters, options(1)).await.unwrap_err();
        let expected = if path == &current { "CurrentMissing" } else { "GenerationMissing" };
        assert!(format!("{error:?}").contains(expected), "{error:?}");
        assert_eq!(before, sim.files());
    }
}

/// An older manifest beside newer segments is noticed by what the segments say.
#[tokio::test]
async fn a_manifest_that_lost_its_last_edits_is_refused() {
    let sim = SimDisk::new(9);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    let generation = PathBuf::from(format!("{DIR}/manifest-{:016}.log", 1));
    let old = sim.read(&generation).unwrap();
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    sim.put(&generation, &old);
    let runtime = open(&sim, 1).await;
    let (_, error) = runtime.recovery().refused().next().unwrap();
    assert!(matches!(error, LogError::ManifestLost { .. }), "{error}");
}

/// A real file cut short: what is left is a valid prefix.
#[tokio::test]
async fn a_file_cut_to_70_percent_is_a_valid_prefix() {
    let dir = support::directory();
    let options = Options { shards: Some(1), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    for n in 1..=30 {
        runtime.submit(add(&format!("{n}"), n)).await.unwrap();
    }
    drop(runtime);
    let path = dir.path().join("shard-0/wal-0000000000000001.seg");
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() * 7 / 10).unwrap();
    let runtime = Runtime::open(Counters, options).await.unwrap();
    assert_eq!(refusal(&runtime), None);
    let commands = runtime.recovery().shards[0].commands;
    assert!(commands > 0 && commands < 30, "{commands}");
    assert!(runtime.recovery().shards[0].torn_bytes > 0, "what is gone is told of");
    for n in 1..=30u64 {
        let there = runtime.latest().get(format!("{n}").as_bytes()).unwrap().is_some();
        assert_eq!(there, n <= commands);
    }
    assert_eq!(runtime.submit(add("x", 1)).await.unwrap().position.lsn, Lsn(commands + 1));
}
