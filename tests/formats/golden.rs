//! Golden bytes of the manifest: one edit of each variant as it lies in the log, and a generation's state.
//!
//! Whoever changes one of these lines changes what directories that exist mean. Every field is set, to numbers of one
//! byte and of more.

use std::path::Path;
use std::sync::Arc;

use mainstay::model::{
    Abandoned, Closed, ColdRecord, ColdSeq, Digest, DirectoryId, Edit, Epoch, EpochRecord, Incarnation, Lsn, Manifest,
    Point, Position, Routing, SegmentRecord, SegmentSeq, ShardId, ShardRecord, SnapshotRecord, SnapshotSeq,
    SpilledFile, Tail, Time, VersionId, VersionRecord,
};
use mainstay::sim::SimDisk;
use mainstay::storage::disk::Disk;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;

/// The edits with their payloads. A variant that is left out does not compile.
macro_rules! edits {
    ($($variant:ident { $($field:ident: $value:expr),* } => $golden:expr;)*) => {
        fn edits() -> Vec<(Edit, &'static str)> {
            let all = |edit: &Edit| match edit {
                $(Edit::$variant { $($field: _),* } => (),)*
            };
            let edits = vec![$((Edit::$variant { $($field: $value),* }, $golden)),*];
            edits.iter().for_each(|(edit, _)| all(edit));
            edits
        }
    };
}

edits! {
    Register { shard: ShardId(1), incarnation: Incarnation(2), segment: SegmentSeq(300), bytes: 1 << 26 } => "\
        0102fb2c01fc00000004";
    Begin {
        shard: ShardId(1),
        expects: (Epoch(3), Incarnation(4)),
        sealed: Some(tail()),
        incarnation: Incarnation(5),
        segment: SegmentSeq(6)
    } => "\
        0103040105fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a10506";
    Move { shard: ShardId(1), epoch: Epoch(3), incarnation: Incarnation(4), from: tail(), to: SegmentSeq(6) } => "\
        01030405fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a106";
    Seal { shard: ShardId(1), epoch: Epoch(3), incarnation: Incarnation(4), tail: tail() } => "\
        01030405fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    Close { shard: ShardId(1), epoch: Epoch(3), incarnation: Incarnation(4), tail: tail() } => "\
        01030405fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    Skip { shard: ShardId(1), position: position() } => "0103fc6f110100";
    Adopt { shard: ShardId(1), snapshot: SnapshotSeq(7), record: snapshot() } => "\
        010703fc6f110100fb88133cb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b101d1d1d1d1d1\
        d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1020108";
    Discard { shard: ShardId(1), snapshot: SnapshotSeq(7) } => "0107";
    Prune { shard: ShardId(1), base: Some(tail()) } => "\
        010105fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1";
    Mark { version: VersionId(9), record: version() } => "\
        09fd00401e18240a0600020101000003fc6f1101000105fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\
        a1a1a1a1a1a1a1a1a1a1a1a1a101d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d102";
    Retire { version: VersionId(9) } => "09";
    Rollback { version: VersionId(9), timeline: 10 } => "090a";
    Outdate { version: VersionId(9), newest: VersionId(11) } => "090b";
    Chill { shard: ShardId(1), incarnation: Incarnation(4), file: ColdSeq(300), bytes: 8192, values: 70 } => "\
        0104fb2c01fb002046";
    Release { shard: ShardId(1), incarnation: Incarnation(4), files: vec![ColdSeq(8), ColdSeq(300)] } => "\
        01040208fb2c01";
    RollbackSpilled {
        version: VersionId(9),
        timeline: 10,
        cold: vec![SpilledFile { shard: ShardId(1), file: ColdSeq(300), bytes: 8192, values: 70 }]
    } => "090a0101fb2c01fb002046";
    Claim { shard: ShardId(1), incarnation: Incarnation(5), files: vec![ColdSeq(8), ColdSeq(300)] } => "\
        01050208fb2c01";
}

/// The last line's hash, which covers all lines in front of it.
const HASH: &str = "1c7ec704545bcad06858d459156bf423b748c719c5e72042e26bc203946d99a4";

const STATE: &str = "\
    e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e101f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f102000000000000000000000000040202\
    01012801032800030101010109020504fc000000040105fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\
    a1a1a1a1a1a1a1a1a1a1a1a1a1a101040604fc000000040000070103fc6f110100010305fb0010fc70110100a1a1a1a1a1\
    a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a10105fb0010fc70110100a1a1a1a1a1a1a1a1a1a1a1a1\
    a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1010703fc6f110100fb88133cb1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1\
    b1b1b1b1b1b1b1b1b1b1b1b1b1b1b101d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d102\
    010808010804fb00204601fb2c010109fd00401e18240a0600020101000003fc6f1101000105fb0010fc70110100a1a1a1\
    a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a101d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1\
    d1d1d1d1d1d1d1d1d1d1d1d1d1020c0d";

fn tail() -> Tail {
    Tail { segment: SegmentSeq(5), offset: 4096, end: Lsn(70_000), hash: [0xa1; 32] }
}

fn position() -> Position {
    Position { epoch: Epoch(3), lsn: Lsn(69_999) }
}

fn digest() -> Digest {
    Digest { hash: [0xd1; 32], schema: 2 }
}

fn snapshot() -> SnapshotRecord {
    SnapshotRecord {
        end: position(),
        bytes: 5000,
        entries: 60,
        hash: [0xb1; 32],
        digest: Some(digest()),
        cold: vec![ColdSeq(8)],
    }
}

fn version() -> VersionRecord {
    let point = Point { end: position(), tail: Some(tail()), digest: Some(digest()) };
    let empty = Point { end: Position { epoch: Epoch(1), lsn: Lsn(1) }, tail: None, digest: None };
    VersionRecord { time: Time(1_700_000_000_000_000), points: vec![empty, point] }
}

/// One shard of everything, and one of nothing.
fn state() -> Manifest {
    let segment = SegmentRecord {
        incarnation: Incarnation(4),
        bytes: 1 << 26,
        valid_to: Some(tail()),
        moved_from: Some(SegmentSeq(4)),
    };
    let spare = SegmentRecord { valid_to: None, moved_from: None, ..segment };
    let ended = EpochRecord { epoch: Epoch(2), first: Lsn(1), end: Some(Lsn(40)), segment: SegmentSeq(1) };
    let cold = ColdRecord { incarnation: Incarnation(4), bytes: 8192, values: 70, released: true };
    let shard = ShardRecord {
        incarnation: Incarnation(4),
        epochs: vec![ended, EpochRecord { epoch: Epoch(3), first: Lsn(40), end: None, segment: SegmentSeq(3) }],
        abandoned: vec![Abandoned { epoch: Epoch(1), from: Lsn(1), until: Some(Lsn(9)) }],
        segments: [(SegmentSeq(5), segment), (SegmentSeq(6), spare)].into(),
        next_segment: SegmentSeq(7),
        poison: [position()].into(),
        closed: Some(Closed { epoch: Epoch(3), tail: tail() }),
        base: Some(tail()),
        snapshots: [(SnapshotSeq(7), snapshot())].into(),
        next_snapshot: SnapshotSeq(8),
        cold: [(ColdSeq(8), cold)].into(),
        next_cold: ColdSeq(300),
    };
    Manifest {
        directory: DirectoryId([0xe1; 16]),
        routing: Routing { id: 1, key: [0xf1; 16] },
        shards: vec![ShardRecord::default(), shard],
        versions: [(VersionId(9), version())].into(),
        next_version: VersionId(12),
        timeline: 13,
    }
}

#[test]
fn golden_bytes_of_edits_and_of_a_generation() {
    let (disk, layout) = (SimDisk::new(1), Layout::new(Path::new("/")));
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut log = manifest_log::create(&shared, &layout, &state()).unwrap();
    assert_eq!(manifest_log::open(&shared, &layout).unwrap().manifest, state());
    for (edit, _) in edits() {
        log.append(&[edit]).unwrap();
    }
    let bytes = disk.read(layout.manifest(1)).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let mut lines = text.trim_end_matches('\0').lines().map(|line| line.rsplit_once(':').unwrap());
    assert_eq!(lines.next().unwrap().0, format!("mainstay-manifest-2:0000000000000001:{STATE}"));
    let mut last = "";
    for (number, (edit, golden)) in (1..).zip(edits()) {
        let (line, hash) = lines.next().unwrap();
        // One edit, and the number of its variant.
        assert_eq!(line, format!("edit:{number:016x}:01{:02x}{golden}", number - 1), "{edit:?}");
        last = hash;
    }
    assert_eq!((lines.next(), last), (None, HASH));
}
