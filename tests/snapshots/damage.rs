//! Damaged, missing and exchanged snapshots: an older one, or the whole log, gives the same state; or the shard is
//! refused and nothing is touched.

use std::path::{Path, PathBuf};

use mainstay::sim::SimDisk;
use mainstay::{LogError, Runtime, ShardId, SnapshotError, SubmitError, VersionId};

use super::disk::{DIR, State, killed, manifest, numbers, open, options, orphans, refusal, snapshot, state, until};
use super::reclaim::write;
use crate::support::{Command, Counters, add};

/// What is left beside the newest snapshot of shard 0, which is the second.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Older,
    WholeLog,
}

/// A directory of two shards that nobody has open, and what it holds.
async fn at_rest(beside: Beside) -> (SimDisk, State) {
    let sim = SimDisk::new(5);
    let runtime = open(&sim, 2).await;
    write(&runtime, 200).await;
    if beside == Beside::WholeLog {
        runtime.mark().await.unwrap();
        write(&runtime, 50).await;
    }
    runtime.snapshot().await.unwrap();
    write(&runtime, 200).await;
    if beside == Beside::Older {
        runtime.mark().await.unwrap();
    }
    write(&runtime, 200).await;
    runtime.snapshot().await.unwrap();
    write(&runtime, 60).await;
    let state = state(&runtime).await;
    runtime.shutdown().await.unwrap();
    let sim = sim.after_kill();
    let record = manifest(&sim).shards[0].clone();
    assert_eq!(record.base.is_none(), beside == Beside::WholeLog);
    assert_eq!(record.snapshots.len(), if beside == Beside::Nothing { 1 } else { 2 });
    (sim, state)
}

/// Every kind of damage of the newest snapshot of shard 0, by name.
fn damages(sim: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let whole = sim.read(snapshot(0, 2)).unwrap();
    let end = whole.len();
    let mut damages = Vec::new();
    let structure = [0, 8, 12, 16, 32, 40, 56, 64, 72, 223, 255, 256, 260, 264, 272, 280, 290, 320, 400];
    let footer = [128, 120, 112, 100, 90, 80, 40, 32, 1].map(|back| end - back);
    for at in structure.into_iter().chain(footer).chain((0..end).step_by(211)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        damages.push((format!("bit {} of byte {at} flipped", at % 8), Some(bytes)));
    }
    for length in [0, 1, 255, 256, 300, end - 129, end - 128, end - 1] {
        damages.push((format!("cut to {length}"), Some(whole[..length].to_vec())));
    }
    damages.push(("zeroes".to_owned(), Some(vec![0; end])));
    damages.push(("longer".to_owned(), Some([&whole[..], &[0]].concat())));
    damages.push(("missing".to_owned(), None));
    damages.push(("of another shard".to_owned(), sim.read(snapshot(1, 2))));
    damages.extend(sim.read(snapshot(0, 1)).map(|older| ("of another number".to_owned(), Some(older))));
    damages
}

fn put(sim: &SimDisk, path: &Path, bytes: Option<&Vec<u8>>) {
    match bytes {
        Some(bytes) => sim.put(path, bytes),
        None => sim.erase(path).unwrap(),
    }
}

/// Guards F12, F20, F41: whatever is wrong with the newest snapshot, what is left gives the same state; the damaged one
/// is given up durably, and nothing is dropped on its account.
async fn falls_back(beside: Beside) {
    let (base, expected) = at_rest(beside).await;
    for (what, bytes) in damages(&base) {
        let sim = base.after_kill();
        put(&sim, &snapshot(0, 2), bytes.as_ref());
        let runtime = open(&sim, 2).await;
        assert_eq!(refusal(&runtime), None, "{what}");
        let found = &runtime.recovery().shards[0];
        let holds = manifest(&base).shards[0].snapshots.values().next().unwrap().end;
        let holds = (beside == Beside::Older).then_some(holds);
        match beside {
            Beside::Older => assert_eq!((found.snapshot, found.damaged_snapshots.len()), (holds, 1), "{what}"),
            // The first one, which is whole, is on the way to the whole log.
            _ => assert_eq!((found.snapshot.is_some(), found.damaged_snapshots.len()), (true, 1), "{what}"),
        }
        assert_eq!(state(&runtime).await, expected, "{what}");
        assert_eq!(numbers(&sim, 0), [1], "{what}");
        until("what was given up is gone", || sim.read(snapshot(0, 2)).is_none()).await;

        // What comes later relies on what is whole.
        write(&runtime, 30).await;
        let later = state(&runtime).await;
        runtime.snapshot().await.unwrap();
        runtime.retire(VersionId(1)).await.unwrap();
        assert_eq!(numbers(&sim, 0), [3], "{what}: numbers are not used twice");
        let sim = sim.crash(1);
        drop(runtime);
        let runtime = open(&sim, 2).await;
        assert_eq!(refusal(&runtime), None, "{what}");
        assert_eq!(state(&runtime).await, later, "{what}");
        assert_eq!(orphans(&sim), Vec::<PathBuf>::new(), "{what}");
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_for_an_older_one() {
    falls_back(Beside::Older).await;
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_where_the_log_is_whole() {
    falls_back(Beside::WholeLog).await;
}

/// Guards F12, F20: with every snapshot damaged the log from its beginning will do.
#[tokio::test]
async fn the_whole_log_will_do_for_all_snapshots() {
    let (sim, expected) = at_rest(Beside::WholeLog).await;
    for number in [1, 2] {
        sim.overwrite(snapshot(0, number), 300, &[0; 64]).unwrap();
    }
    let runtime = open(&sim, 2).await;
    let found = &runtime.recovery().shards[0];
    assert_eq!((found.snapshot, found.damaged_snapshots.len(), found.entries), (None, 2, 0));
    assert_eq!(state(&runtime).await, expected);
    assert_eq!(numbers(&sim, 0), [0; 0]);
    runtime.snapshot().await.unwrap();
    let sim = killed(runtime, &sim);
    let runtime = open(&sim, 2).await;
    assert_eq!(state(&runtime).await, expected);
    assert!(runtime.recovery().shards[0].snapshot.is_some());
}

/// Guards F20, F28: with nothing to fall back to, the shard is refused, and nothing is changed or removed. The other
/// one serves. When the file is whole again, so is the shard.
#[tokio::test]
async fn without_anything_older_the_shard_is_refused_and_nothing_is_touched() {
    let (base, expected) = at_rest(Beside::Nothing).await;
    // Left-overs, which an opening of a directory that is whole would remove.
    base.put(snapshot(0, 9), b"left over");
    base.put(snapshot(1, 9).with_extension("tmp"), b"left over");
    base.put(format!("{DIR}/shard-1/wal-{:016}.seg", 99), &[0; 4096]);
    let whole = base.read(snapshot(0, 2)).unwrap();
    for (what, bytes) in damages(&base) {
        let sim = base.after_kill();
        put(&sim, &snapshot(0, 2), bytes.as_ref());
        let before = sim.files();
        let runtime = open(&sim, 2).await;
        let refused: Vec<_> = runtime.recovery().refused().collect();
        assert!(matches!(refused[..], [(ShardId(0), LogError::Snapshot(_))]), "{what}: {refused:?}");
        assert!(sim.files() == before, "{what}: a failed open has changed something");
        let told = runtime.mark().await.unwrap_err();
        assert_eq!(told, mainstay::VersionError::Shard(ShardId(0)), "{what}");
        runtime.snapshot().await.unwrap_err();
        for key in 0..8 {
            let key = format!("key {key}");
            let answer = runtime.submit(add(&key, 1)).await;
            let serves = runtime.shard_of(key.as_bytes()) == ShardId(1);
            assert_eq!(answer.is_ok(), serves, "{what}: {answer:?}");
            assert!(serves || matches!(answer, Err(SubmitError::NotExecuted(_))));
        }
        let sim = killed(runtime, &sim);
        for (path, bytes) in before.iter().filter(|(path, _)| path.starts_with(format!("{DIR}/shard-0"))) {
            assert!(sim.read(path).as_ref() == Some(bytes), "{what}: {}", path.display());
        }
        sim.put(snapshot(0, 2), &whole);
        let runtime = open(&sim, 2).await;
        assert_eq!(refusal(&runtime), None, "{what}");
        let keys = |state: &State| state.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&state(&runtime).await), keys(&expected), "{what}");
    }
}

/// Guards F12, F13: what lies behind the snapshot is needed as ever, also with an older one to begin with.
#[tokio::test]
async fn a_snapshot_is_no_excuse_for_a_damaged_log_behind_it() {
    for beside in [Beside::Nothing, Beside::Older, Beside::WholeLog] {
        let (base, _) = at_rest(beside).await;
        let record = manifest(&base).shards[0].clone();
        let holds = record.snapshots.values().next_back().unwrap().end.lsn;
        let closed = record.closed.unwrap().tail;
        assert!(closed.end > holds);
        let last = Path::new(DIR).join(format!("shard-0/wal-{:016}.seg", closed.segment.0));
        let bytes = base.read(&last).unwrap();
        let at = closed.offset as usize - 1;
        let used = bytes[..=at].iter().rposition(|byte| *byte != 0).unwrap();
        let mut flipped = bytes.clone();
        flipped[used] ^= 1;
        for (what, damaged) in [("flipped", Some(flipped)), ("missing", None), ("zero", Some(vec![0; bytes.len()]))] {
            let sim = base.after_kill();
            put(&sim, &last, damaged.as_ref());
            let before = sim.files();
            let runtime = open(&sim, 2).await;
            assert_eq!(refusal(&runtime).map(|(shard, _)| shard), Some(ShardId(0)), "{what}");
            assert!(sim.files() == before, "{what}: a failed open has changed something");
        }
    }
}

/// The same machine with newer entities, and no way to read the old ones.
struct Newer;

impl mainstay::StateMachine for Newer {
    type Command = Command;
    type Entity = crate::support::Entity;
    type Reply = i64;
    const SCHEMA: u32 = 2;

    fn key<'a>(&self, command: &'a Command) -> std::borrow::Cow<'a, [u8]> {
        Counters.key(command)
    }

    fn apply(
        &self,
        at: mainstay::At,
        state: &mut mainstay::Txn<'_, Self::Entity>,
        command: Command,
    ) -> Result<i64, mainstay::Abort> {
        Counters.apply(at, state, command)
    }

    fn upcast_command(&self, _: u32, bytes: &[u8]) -> Result<Command, mainstay::CodecError> {
        mainstay::codec::decode(bytes)
    }
}

/// Guards F17, F20: what this code cannot read is whole. It is refused, and never passed over for anything older.
#[tokio::test]
async fn what_cannot_be_read_is_not_damage() {
    for beside in [Beside::Nothing, Beside::Older, Beside::WholeLog] {
        let (base, expected) = at_rest(beside).await;
        let sim = base.after_kill();
        let mut bytes = sim.read(snapshot(0, 2)).unwrap();
        bytes[8] = 3;
        let hash = blake3::hash(&bytes[..224]);
        bytes[224..256].copy_from_slice(hash.as_bytes());
        sim.put(snapshot(0, 2), &bytes);
        sim.put(snapshot(0, 9), b"left over");
        let before = sim.files();
        let runtime = open(&sim, 2).await;
        let refused: Vec<_> = runtime.recovery().refused().collect();
        let newer = matches!(
            refused[..],
            [(ShardId(0), LogError::Snapshot(SnapshotError::NewerFormat { found: 3, supported: 2, .. }))]
        );
        assert!(newer, "{refused:?}");
        assert!(sim.files() == before, "a failed open has changed something");

        let sim = base.after_kill();
        let before = sim.files();
        let runtime = Runtime::open_on(sim.clone(), Newer, options(2)).await.unwrap();
        let refused: Vec<_> = runtime.recovery().refused().collect();
        assert_eq!(refused.len(), 2);
        let entity = |error: &LogError| matches!(error, LogError::Snapshot(SnapshotError::Entity { .. }));
        assert!(refused.iter().all(|(_, error)| entity(error)), "{refused:?}");
        assert!(sim.files() == before, "a failed open has changed something");
        let sim = killed(runtime, &sim);
        assert_eq!(state(&open(&sim, 2).await).await, expected);
    }
}

/// Guards F20: a shard that is refused keeps the files that may be what it takes to repair it, also when a version is
/// given up.
#[tokio::test]
async fn a_version_that_is_retired_takes_nothing_from_a_refused_shard() {
    let (base, _) = at_rest(Beside::Older).await;
    let mut bytes = base.read(snapshot(0, 2)).unwrap();
    bytes[8] = 3;
    let hash = blake3::hash(&bytes[..224]);
    bytes[224..256].copy_from_slice(hash.as_bytes());
    base.put(snapshot(0, 2), &bytes);
    let before = base.files();
    let runtime = open(&base, 2).await;
    assert_eq!(refusal(&runtime).map(|(shard, _)| shard), Some(ShardId(0)));
    runtime.retire(VersionId(1)).await.unwrap();
    let after = base.files();
    let gone: Vec<_> = before.keys().filter(|path| path.starts_with(format!("{DIR}/shard-0"))).collect();
    let gone: Vec<_> = gone.into_iter().filter(|path| !after.contains_key(*path)).collect();
    assert!(gone.is_empty(), "gone: {gone:?}");
}
