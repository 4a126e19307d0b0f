//! Frames of the file that is written last: what is torn, and what evidence makes damage of it.

use std::path::PathBuf;
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{LogError, Lsn, Options, Runtime, ShardId, SyncPolicy};

use crate::scene::{DIR, FRAME_HEADER, SEGMENT_HEADER, flip, frames, killed, open, options, refusal, segment, zero};
use crate::support::{Counters, add};

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
