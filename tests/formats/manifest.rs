//! The manifest's edits and state under random bytes, and random edits in any order.

use mainstay::codec;
use mainstay::model::{
    ColdSeq, DirectoryId, Edit, Epoch, Incarnation, Lsn, Manifest, Point, Position, Routing, SegmentSeq, ShardId,
    SnapshotRecord, SnapshotSeq, SpilledFile, Tail, Time, VersionId, VersionRecord,
};
use proptest::prelude::*;

use super::bytes;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    /// Whatever decodes encodes to the same bytes again, so no two byte strings mean the same edit.
    #[test]
    fn edits_and_manifests_of_garbage_are_refused_or_canonical(garbage in bytes(200)) {
        if let Ok(edits) = codec::decode::<Vec<Edit>>(&garbage) {
            let again = codec::decode::<Vec<Edit>>(&codec::encode(&edits).unwrap()).unwrap();
            prop_assert_eq!(edits, again);
        }
        let _ = codec::decode::<Manifest>(&garbage);
    }

    /// Edits in any order, with any numbers: each is applied or declined, and a declined one changes nothing.
    #[test]
    fn random_edits_keep_the_manifest_sound(seeds in proptest::collection::vec(any::<u64>(), 1..80)) {
        let mut manifest =
            Manifest::new(DirectoryId([1; 16]), Routing { id: 1, key: [2; 16] }, 2);
        for seed in seeds {
            let edit = edit(seed);
            let before = manifest.clone();
            if manifest.apply(&edit).is_err() {
                prop_assert_eq!(&before, &manifest);
            }
            for (shard, earlier) in manifest.shards.iter().zip(&before.shards) {
                prop_assert!(shard.epoch() >= earlier.epoch());
                prop_assert!(shard.incarnation >= earlier.incarnation);
                prop_assert!(shard.next_segment >= earlier.next_segment);
                prop_assert!(shard.next_cold >= earlier.next_cold);
                for (file, record) in earlier.cold.iter().filter(|(file, _)| !shard.cold.contains_key(file)) {
                    prop_assert!(record.released, "{} was in use", file);
                }
                let table = shard.epochs.windows(2);
                for pair in table {
                    prop_assert_eq!(pair[0].end, Some(pair[1].first), "epochs are contiguous");
                    prop_assert!(pair[0].epoch < pair[1].epoch);
                }
                for (segment, record) in &earlier.segments {
                    if let Some(now) = shard.segments.get(segment).filter(|_| manifest.timeline == before.timeline) {
                        prop_assert!(record.valid_to.is_none_or(|end| now.valid_to == Some(end)));
                    }
                }
            }
            prop_assert!(manifest.timeline >= before.timeline && manifest.next_version >= before.next_version);
            reachable(&manifest);
        }
    }
}

/// Whatever is retained can be read: every version, and what the next recovery begins with.
fn reachable(manifest: &Manifest) {
    for shard in &manifest.shards {
        if let Some(base) = shard.base {
            assert!(shard.snapshots.values().any(|snapshot| snapshot.end.lsn >= base.end), "a log without a beginning");
            assert!(shard.segments.keys().all(|segment| *segment > base.segment), "a file in front of the base");
        }
        for file in shard.snapshots.values().flat_map(|snapshot| &snapshot.cold) {
            assert!(shard.cold.contains_key(file), "{file} is referred to");
        }
        assert!(shard.cold.keys().all(|file| *file < shard.next_cold), "a number is not used again");
    }
    for (version, record) in &manifest.versions {
        for (shard, point) in manifest.shards.iter().zip(&record.points) {
            let missing = point.tail.filter(|tail| !shard.segments.contains_key(&tail.segment));
            assert!(missing.is_none(), "{version} has lost its file");
            assert!(shard.is_on_line(point.end), "{version} lies nowhere");
            let begins = shard.snapshots_up_to(point.end.lsn).next().map(|(_, snapshot)| snapshot.end.lsn);
            assert!(shard.base.is_none_or(|base| begins >= Some(base.end)), "{version} begins in front of the log");
        }
    }
}

/// An edit of small numbers, so that many of them fit what is there.
fn edit(seed: u64) -> Edit {
    let small = |shift: u32, most: u64| (seed >> shift) % most;
    let shard = ShardId(small(0, 3) as u32);
    let (epoch, incarnation) = (Epoch(small(4, 3)), Incarnation(small(8, 4)));
    let segment = SegmentSeq(small(12, 6));
    let tail = Tail { segment: SegmentSeq(small(16, 6)), offset: 256, end: Lsn(1 + small(20, 4)), hash: [0; 32] };
    let version = VersionId(1 + small(40, 4));
    let end = Position { epoch, lsn: tail.end };
    let file = ColdSeq(1 + small(48, 4));
    match small(24, 16) {
        0 => Edit::Register { shard, incarnation, segment, bytes: 4096 },
        1 => {
            let sealed = (small(28, 2) == 0).then_some(tail);
            let new = Incarnation(small(32, 5));
            let expects = (epoch, incarnation);
            Edit::Begin { shard, expects, sealed, incarnation: new, segment }
        }
        2 => Edit::Move { shard, epoch, incarnation, from: tail, to: segment },
        3 => Edit::Seal { shard, epoch, incarnation, tail },
        4 => Edit::Close { shard, epoch, incarnation, tail },
        5 => {
            let cold = if small(28, 2) == 0 { vec![file] } else { Vec::new() };
            let record = SnapshotRecord { end, bytes: 1, entries: 1, hash: [0; 32], digest: None, cold };
            Edit::Adopt { shard, snapshot: SnapshotSeq(1 + small(36, 6)), record }
        }
        6 => Edit::Discard { shard, snapshot: SnapshotSeq(1 + small(36, 6)) },
        7 => Edit::Prune { shard, base: (small(28, 4) > 0).then_some(tail) },
        8 => {
            let place = |tail: Option<Tail>| Point {
                end: Position { epoch, lsn: tail.map_or(Lsn::FIRST, |tail| tail.end) },
                tail,
                digest: None,
            };
            let points = vec![place((small(28, 4) > 0).then_some(tail)), place(None)];
            Edit::Mark { version, record: VersionRecord { time: Time(1), points } }
        }
        9 => Edit::Retire { version },
        10 => Edit::Rollback { version, timeline: small(44, 3) },
        11 => Edit::Outdate { version, newest: VersionId(1 + small(44, 4)) },
        12 => Edit::Chill { shard, incarnation, file, bytes: 1024, values: 1 },
        14 => {
            let made = |shard, file| SpilledFile { shard, file, bytes: 1024, values: 1 };
            let cold = vec![made(shard, file), made(ShardId(0), file.next())];
            Edit::RollbackSpilled { version, timeline: small(44, 3), cold }
        }
        15 => Edit::Claim { shard, incarnation: incarnation.next(), files: vec![file] },
        13 => Edit::Release { shard, incarnation, files: vec![file, file.next()] },
        _ => Edit::Skip { shard, position: end },
    }
}
