//! Segments: files that are missing, foreign, cut, or have lost their header.

use mainstay::sim::SimDisk;
use mainstay::{Lsn, Options, Runtime};

use crate::scene::{SEGMENT_HEADER, killed, open, refusal, segment};
use crate::support::{self, Command, Counters, add, small};

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
    runtime.submit_many((0..40).map(|n| Command::Put(vec![n], vec![n; 9])).collect()).await;
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

/// Guards F34: a spare that nobody has registered, and that its maker removes while the log is read, is no error.
#[tokio::test(flavor = "multi_thread")]
async fn a_left_over_that_vanishes_meanwhile_is_none() {
    let sim = SimDisk::new(21);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    let sim = killed(runtime, &sim).await;
    let spare = segment(0, 50);
    sim.put(&spare, &[0; 8192]);
    let (looked_at, opens) = (spare.clone(), mainstay::sim::Operation::Open);
    let stall = sim.stall(move |call| call.path == looked_at && call.operation == opens);
    let opening = {
        let sim = sim.clone();
        tokio::spawn(async move { open(&sim, 1).await })
    };
    while stall.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    sim.erase(&spare).unwrap();
    stall.release();
    let runtime = opening.await.unwrap();
    assert_eq!(refusal(&runtime), None);
    assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, 1);
}
