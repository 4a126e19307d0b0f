//! Cold files in the manifest.

use super::*;

fn chill(incarnation: u64, file: u64) -> Edit {
    Edit::Chill { shard: SHARD, incarnation: Incarnation(incarnation), file: ColdSeq(file), bytes: 1024, values: 5 }
}

fn release(incarnation: u64, file: u64) -> Edit {
    Edit::Release { shard: SHARD, incarnation: Incarnation(incarnation), files: vec![ColdSeq(file)] }
}

fn adopt_with(snapshot: u64, end: Position, cold: &[u64]) -> Edit {
    let Edit::Adopt { shard, snapshot, record } = adopt(snapshot, end) else { unreachable!("it is one") };
    let cold = cold.iter().map(|file| ColdSeq(*file)).collect();
    Edit::Adopt { shard, snapshot, record: SnapshotRecord { cold, ..record } }
}

/// Guards F43, F51: a cold file goes when neither a working state nor a snapshot refers to it.
#[test]
fn a_cold_file_stays_as_long_as_it_is_referred_to() {
    let cold = |file| DataFile::Cold(SHARD, ColdSeq(file));
    let mut manifest = manifest();
    for file in 1..=3 {
        manifest.apply(&chill(1, file)).unwrap();
    }
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, []);
    manifest.apply(&adopt_with(1, position(1, 5), &[1, 2])).unwrap();
    for file in [1, 3] {
        manifest.apply(&release(1, file)).unwrap();
    }
    assert!(manifest.superfluous(SHARD, std::iter::empty()).is_some());
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, [cold(3)], "a snapshot has the other one");
    assert_eq!(manifest.superfluous(SHARD, std::iter::empty()), None);
    // The snapshot goes, and the file with it.
    manifest.apply(&adopt_with(2, position(1, 6), &[2])).unwrap();
    let dropped = manifest.apply(&prune(None)).unwrap().dropped;
    assert_eq!(dropped, [DataFile::Snapshot(SHARD, SnapshotSeq(1)), cold(1)]);
    declined(&mut manifest, &adopt_with(3, position(1, 7), &[2, 3]), Declined::Unreachable);
}

/// Guards F47: a number is never used again, and a life that is over changes nothing.
#[test]
fn cold_files_are_made_and_released_by_the_present_life() {
    let mut manifest = manifest();
    manifest.apply(&chill(1, 4)).unwrap();
    declined(&mut manifest, &chill(1, 4), Declined::NumberInUse);
    declined(&mut manifest, &chill(1, 3), Declined::NumberInUse);
    declined(&mut manifest, &chill(0, 5), Declined::Stale);
    declined(&mut manifest, &release(0, 4), Declined::Stale);
    // What a later life has made before it begins is not the present one's to release.
    manifest.apply(&chill(2, 5)).unwrap();
    manifest.apply(&release(1, 5)).unwrap();
    assert!(!manifest.shards[0].cold[&ColdSeq(5)].released);
    manifest.apply(&release(2, 5)).unwrap();
    manifest.apply(&prune(None)).unwrap();
    assert_eq!(manifest.shards[0].next_cold, ColdSeq(6));
    declined(&mut manifest, &chill(2, 5), Declined::NumberInUse);
}

/// Guards F43: a life is made from an older snapshot, whose files the life before had released already; meanwhile a
/// newer one is adopted that does not name them.
#[test]
fn a_life_claims_what_it_is_made_from() {
    let claim = |incarnation, files: &[u64]| {
        let files = files.iter().map(|file| ColdSeq(*file)).collect();
        Edit::Claim { shard: SHARD, incarnation: Incarnation(incarnation), files }
    };
    let mut manifest = manifest();
    for file in 1..=3 {
        manifest.apply(&chill(1, file)).unwrap();
    }
    manifest.apply(&adopt_with(1, position(1, 5), &[1, 2])).unwrap();
    manifest.apply(&release(1, 1)).unwrap();
    declined(&mut manifest, &claim(1, &[1]), Declined::Stale);
    manifest.apply(&claim(2, &[1, 2])).unwrap();
    // What the old life says of them from now on has no effect.
    manifest.apply(&release(1, 2)).unwrap();
    manifest.apply(&adopt_with(2, position(1, 6), &[3])).unwrap();
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, [DataFile::Snapshot(SHARD, SnapshotSeq(1))]);
    // Too late for one that is gone: nothing is claimed, and the files are read again.
    for file in [1, 2] {
        manifest.apply(&release(2, file)).unwrap();
    }
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped.len(), 2);
    declined(&mut manifest, &claim(3, &[2, 3]), Declined::Unreachable);
    assert_eq!(manifest.shards[0].cold[&ColdSeq(3)].incarnation, Incarnation(1));
}

/// Guards F43: what was released before a rollback may be what the version's state refers to.
#[test]
fn a_rollback_releases_nothing() {
    let mut manifest = manifest();
    manifest.apply(&chill(1, 1)).unwrap();
    manifest.apply(&adopt_with(1, position(1, 5), &[1])).unwrap();
    manifest.apply(&mark(1, tail(2, 15))).unwrap();
    manifest.apply(&release(1, 1)).unwrap();
    manifest.apply(&Edit::Rollback { version: VersionId(1), timeline: 0 }).unwrap();
    manifest.apply(&adopt_with(2, position(1, 15), &[])).unwrap();
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, [DataFile::Snapshot(SHARD, SnapshotSeq(1))]);
}

/// Guards F43, F47: the files of the state that is gone back to come with the edit, under numbers that the life before
/// has overtaken, and stay with the next life.
#[test]
fn a_rollback_takes_its_cold_files_in() {
    let mut manifest = manifest();
    manifest.apply(&mark(1, tail(2, 15))).unwrap();
    manifest.apply(&chill(1, 3)).unwrap();
    let made = |file| SpilledFile { shard: SHARD, file: ColdSeq(file), bytes: 1024, values: 5 };
    let edit = |timeline, files: &[u64]| {
        let cold = files.iter().map(|file| made(*file)).collect();
        Edit::RollbackSpilled { version: VersionId(1), timeline, cold }
    };
    declined(&mut manifest, &edit(1, &[1, 2]), Declined::Stale);
    declined(&mut manifest, &edit(0, &[2, 3]), Declined::NumberInUse);
    let elsewhere = SpilledFile { shard: ShardId(1), ..made(1) };
    let elsewhere = Edit::RollbackSpilled { version: VersionId(1), timeline: 0, cold: vec![elsewhere] };
    declined(&mut manifest, &elsewhere, Declined::UnknownShard);
    manifest.apply(&edit(0, &[1, 5])).unwrap();
    let shard = &manifest.shards[0];
    assert_eq!((shard.incarnation, shard.next_cold), (Incarnation(2), ColdSeq(6)));
    let files: Vec<_> = shard.cold.iter().map(|(file, record)| (file.0, record.incarnation.0)).collect();
    assert_eq!(files, [(1, 2), (3, 2), (5, 2)]);
    // The life that is over has nothing to say about them.
    declined(&mut manifest, &release(1, 1), Declined::Stale);
    manifest.apply(&release(2, 1)).unwrap();
    assert_eq!(manifest.apply(&prune(None)).unwrap().dropped, [DataFile::Cold(SHARD, ColdSeq(1))]);
}
