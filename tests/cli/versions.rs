//! Going back to a version, and taking one along, on simulated disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mainstay::model::{Digest, SnapshotSeq};
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::{Runtime, VersionId};

use crate::places::{amounts, change, on, options, rich};
use crate::support::{Counters, add};
use crate::tool::Exit;

/// How often each snapshot was opened since the count was set to 0.
fn opened_snapshots(sim: &SimDisk) -> BTreeMap<PathBuf, usize> {
    let mut opened = BTreeMap::new();
    for call in sim.trace().into_iter().filter(|call| call.operation == Operation::Open) {
        if call.path.extension().is_some_and(|end| end == "snap") {
            *opened.entry(call.path).or_default() += 1;
        }
    }
    opened
}

#[tokio::test]
async fn a_rollback_reads_each_snapshot_once() {
    let sim = rich(true).await;
    sim.set_call_count(0);
    let (exit, text) = on(&sim, "rollback /data --version 2");
    assert_eq!(exit, Exit::Sound, "{text}");
    let opened = opened_snapshots(&sim);
    assert_eq!((opened.len(), opened.values().max()), (2, Some(&1)), "one a shard: {opened:?}");
    assert_eq!(on(&sim, "verify /data --deep").0, Exit::Sound);
}

/// Guards F64: a digest that was recorded and is of another state is found wherever a digest is taken.
#[tokio::test]
async fn a_wrong_recorded_digest_is_damage() {
    for of_version in [false, true] {
        let sim = rich(true).await;
        let mut path = PathBuf::new();
        change(&sim, |manifest| {
            let point = manifest.versions.values().nth(1).unwrap().points[1];
            let (number, record) = manifest.shards[1].snapshots_up_to(point.end.lsn).next().unwrap();
            assert_eq!(record.end, point.end, "it was a rewrite");
            path = PathBuf::from(format!("/data/shard-1/snapshot-{:016}.snap", number.0));
            let wrong = Some(Digest { hash: [0xab; 32], schema: 1 });
            if of_version {
                manifest.versions.values_mut().nth(1).unwrap().points[1].digest = wrong;
            } else {
                manifest.shards[1].snapshots.get_mut(&number).unwrap().digest = wrong;
            }
        });
        assert_eq!(on(&sim, "verify /data").0, Exit::Sound, "only checksums");
        let start = format!("damaged: {}", path.display());
        for command in ["verify /data --deep", "backup /data /backup --version 2"] {
            let (exit, text) = on(&sim, command);
            assert_eq!(exit, Exit::Damage, "{command}: {text}");
            let line = text.lines().find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("{command}: {text}"));
            assert!(line.contains(" lsn ") || command.starts_with("backup"), "{line}");
            assert!(line.ends_with(", and abababababababab was recorded"), "{line}");
        }
        assert!(sim.read("/backup/CURRENT").is_none(), "it must not open");
        let before = sim.files();
        let (exit, text) = on(&sim, "rollback /data --version 2");
        // Another one, or the log from its beginning, stands in for a file; not for what the version has recorded.
        assert_eq!(exit, if of_version { Exit::Damage } else { Exit::Sound }, "{text}");
        assert_eq!(sim.files() == before, of_version);
    }
}

/// What is expected to be read is what is read, but for headers, of which some are read more than once.
#[tokio::test]
async fn progress_has_an_end() {
    let base = rich(false).await;
    let commands = [
        "verify /data",
        "verify /data --deep",
        "log /data --shard 0",
        "log /data --shard 1 --from 30",
        "digest /data",
        "digest /data --version 2",
        "backup /data /backup",
        "backup /data /backup --version 1",
        "rollback /data --version 1",
        "rollback /data --version 2",
    ];
    for command in commands {
        let (read, expected) = amounts(&base.after_kill(), command);
        let expected = expected.unwrap_or_else(|| panic!("{command}: the bar has no length"));
        assert!((read.saturating_sub(64 * 256)..=read).contains(&expected), "{command}: {read} of {expected}");
    }
}

/// Two versions, each behind a snapshot of its own, in a directory that nobody has open.
async fn two_snapshots() -> SimDisk {
    let sim = SimDisk::new(23);
    let runtime = Runtime::open_on(sim.clone(), Counters, options()).await.unwrap();
    for round in 1..=2 {
        for n in 0..20 {
            runtime.submit(add(&format!("key {n}"), round)).await.unwrap();
        }
        runtime.snapshot().await.unwrap();
        runtime.submit(add("key 3", round)).await.unwrap();
        runtime.submit(add("key 4", round)).await.unwrap();
        runtime.mark().await.unwrap();
    }
    runtime.shutdown().await.unwrap();
    sim
}

fn snapshot(shard: u32, number: u64) -> PathBuf {
    PathBuf::from(format!("/data/shard-{shard}/snapshot-{number:016}.snap"))
}

/// Runs the tool, and does something when it is about to open that file.
fn meanwhile(sim: &SimDisk, arguments: &str, path: PathBuf, something: impl FnOnce()) -> (Exit, String) {
    let stall = sim.stall(move |call| call.operation == Operation::Open && call.path == path);
    std::thread::scope(|scope| {
        let tool = scope.spawn(|| on(sim, arguments));
        stall.wait_until_stalled();
        something();
        stall.release();
        tool.join().unwrap()
    })
}

/// Guards F38: whoever has the directory open retires the version while it is copied.
#[tokio::test]
async fn a_version_that_is_retired_meanwhile_is_no_damage() {
    let sim = two_snapshots().await;
    let (exit, text) = meanwhile(&sim, "backup /data /backup --version 1", snapshot(1, 1), || {
        change(&sim, |manifest| {
            manifest.versions.remove(&VersionId(1));
            manifest.shards.iter_mut().for_each(|shard| shard.snapshots.retain(|number, _| *number > SnapshotSeq(1)));
        });
        sim.erase(snapshot(0, 1)).unwrap();
        sim.erase(snapshot(1, 1)).unwrap();
    });
    assert_eq!((exit, text.contains("there is no version 1 any more")), (Exit::Failed, true), "{text}");
    assert!(sim.read("/backup/CURRENT").is_none(), "it must not open");
}

/// A snapshot that was being written when the version was made is adopted, and stands in for an older one.
#[tokio::test]
async fn a_file_that_was_replaced_meanwhile_is_no_damage() {
    let sim = two_snapshots().await;
    let mut adopted = Vec::new();
    change(&sim, |manifest| {
        let snapshots = manifest.shards.iter_mut().map(|shard| shard.snapshots.remove(&SnapshotSeq(2)).unwrap());
        adopted.extend(snapshots);
    });
    let (exit, text) = meanwhile(&sim, "backup /data /backup", snapshot(1, 1), || {
        assert!(sim.read("/backup/shard-0/snapshot-0000000000000001.snap").is_some(), "the first shard's is there");
        change(&sim, |manifest| {
            manifest.versions.remove(&VersionId(1));
            for (shard, record) in manifest.shards.iter_mut().zip(adopted) {
                shard.snapshots = [(SnapshotSeq(2), record)].into();
            }
        });
        sim.erase(snapshot(1, 1)).unwrap();
    });
    assert_eq!((exit, text.contains("version 2: ")), (Exit::Sound, true), "{text}");
    assert!(sim.read("/backup/shard-0/snapshot-0000000000000001.snap").is_none(), "the first attempt is taken back");
    let (exit, text) = on(&sim, "verify /backup --deep");
    assert_eq!(exit, Exit::Sound, "{text}");
    // What is wrong in the same way twice is wrong.
    sim.erase(snapshot(1, 2)).unwrap();
    let (exit, text) = on(&sim, "backup /data /other");
    let line = format!("missing: {}: ", snapshot(1, 2).display());
    assert_eq!((exit, text.contains(&line)), (Exit::Damage, true), "{text}");
}

/// A disk that fails is no damage, on either side.
#[tokio::test]
async fn a_backup_tells_failures_from_damage() {
    let base = two_snapshots().await;
    let (exit, text) = on(&base, "backup /data /backup --version 9");
    assert_eq!((exit, text.as_str()), (Exit::Failed, "there is no version 9; there are: 1 2"));
    let (exit, text) = on(&base, "backup /data /no/where");
    assert_eq!((exit, text.starts_with("unreadable: /no/where: ")), (Exit::Failed, true), "{text}");
    let cases = [
        (Operation::Read, "/data/shard-0", "snap"),
        (Operation::Read, "/data/shard-1", "seg"),
        (Operation::Create, "/backup/shard-0", "seg"),
        (Operation::Create, "/backup", "log"),
    ];
    for (operation, dir, end) in cases {
        let sim = base.after_kill();
        sim.fail_when(move |call| {
            let is_there = call.path.parent() == Some(Path::new(dir));
            let is_hit = call.operation == operation && is_there && call.path.extension().is_some_and(|it| it == end);
            is_hit.then_some(FaultKind::ErrorOnce)
        });
        let (exit, text) = on(&sim, "backup /data /backup");
        assert_eq!((exit, text.starts_with(&format!("unreadable: {dir}/"))), (Exit::Failed, true), "{dir}: {text}");
    }
}
