//! Many rewrites and many files: what they cost does not grow.

use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::Instant;

use mainstay::model::{
    Batch, DirectoryId, Epoch, EpochRecord, Incarnation, Lsn, Manifest, Routing, SegmentRecord, SegmentSeq, Tail, Time,
};
use mainstay::storage::disk::Disk;
use mainstay::storage::frame::Frame;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::storage::segment::{Opened, SegmentHeader};
use mainstay::{Options, Runtime, ShardId};

use super::disk::{manifest_on_disk, until};
use super::reclaim::{files, write};
#[cfg(target_os = "linux")]
use crate::descriptors::open_files;
use crate::support::{Counters, add, directory, small};

const REWRITES: u32 = 200;
/// Rewrites after which everything has come to its size.
const WARM: u32 = 50;
const GROWTH_MAX: u64 = 8 << 20;

/// Set in the process that is measured.
#[cfg(target_os = "linux")]
const MEASURING: &str = "MAINSTAY_TEST_REWRITES";

/// A number of `/proc/self/status`, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Guards F25, F30, F41, F56, F57: files, descriptors and memory stay flat over as many rewrites as one likes. In a
/// process of its own: what others have in memory meanwhile is not the question.
#[cfg(target_os = "linux")]
#[test]
fn two_hundred_rewrites_leave_nothing_behind() {
    if std::env::var_os(MEASURING).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(two_hundred_rewrites());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "many::two_hundred_rewrites_leave_nothing_behind", "--nocapture"])
        .env(MEASURING, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("rewrites in"), "{text}");
    println!("{text}");
}

#[cfg(target_os = "linux")]
async fn two_hundred_rewrites() {
    let dir = directory();
    let mut options = Options { shards: Some(2), ..small(dir.path()) };
    options.versions.keep = 2;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let count = || {
        let top = fs::read_dir(dir.path()).unwrap().count();
        top + files(dir.path(), 0).len() + files(dir.path(), 1).len()
    };
    let started = Instant::now();
    let (mut warm, mut most_files, mut most_open) = (0, 0, 0);
    for round in 1..=REWRITES {
        write(&runtime, 20).await;
        runtime.rewrite().await.unwrap();
        if round == WARM {
            (warm, most_files, most_open) = (resident(), 0, 0);
        }
        most_files = most_files.max(count());
        most_open = most_open.max(open_files(dir.path()).len());
    }
    let grown = resident().saturating_sub(warm);
    println!(
        "{REWRITES} rewrites in {:?}: at most {most_files} files, {most_open} of them open, {} KiB more",
        started.elapsed(),
        grown >> 10
    );
    // For each shard: 3 snapshots and one that is written, the log of three rewrites, a spare and one that is made. And
    // the manifest's two generations, one that is made, CURRENT and LOCK.
    assert!(most_files <= 2 * 11 + 6, "{most_files} files: {:?}", files(dir.path(), 0));
    assert!(most_open <= 2 * 6 + 4, "{most_open} open files");
    assert!(grown < GROWTH_MAX, "{grown} bytes more");
    runtime.shutdown().await.unwrap();
    let rest = manifest_on_disk(dir.path());
    assert_eq!((rest.orphans(), rest.incomplete()), (Vec::new(), Vec::new()));
}

const SEGMENTS: u64 = 10_000;
const SEGMENT_BYTES: u64 = 4096;

/// A log of one shard in so many files, each with one command, as a runtime would have left it in a crash.
fn ten_thousand_files(dir: &Path) {
    let (directory, shard, epoch, incarnation) = (DirectoryId([7; 16]), ShardId(0), Epoch(1), Incarnation(1));
    let mut manifest = Manifest::new(directory, Routing { id: 1, key: [3; 16] }, 1);
    let layout = Layout::new(dir);
    fs::create_dir(layout.shard(shard)).unwrap();
    let mut follows = Tail { segment: SegmentSeq(0), offset: 0, end: Lsn::FIRST, hash: [0; 32] };
    for number in 1..=SEGMENTS {
        let segment = SegmentSeq(number);
        let opened = if number == 1 { Opened::Begin } else { Opened::Roll };
        let salt = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let header = SegmentHeader { opened, directory, shard, segment, epoch, incarnation, follows, salt };
        let (mut bytes, header_hash) = {
            let (bytes, hash) = header.encode();
            (bytes.to_vec(), hash)
        };
        let command = mainstay::codec::encode(&add(&format!("key {}", number % 50), 1)).unwrap();
        let lengths = vec![command.len() as u32];
        let batch =
            Batch { time: Time(number), schema: 1, first: Lsn(number), lengths, bytes: command.to_vec().into() };
        let mut frame = Frame::encode(epoch, Lsn(number), &[&batch]);
        let hash = frame.seal(&salt, Lsn(number), &header_hash);
        bytes.extend_from_slice(frame.bytes());
        follows = Tail { segment, offset: bytes.len() as u64, end: frame.end(), hash };
        bytes.resize(SEGMENT_BYTES as usize, 0);
        fs::write(layout.segment(shard, segment), bytes).unwrap();
        let record = SegmentRecord { incarnation, bytes: SEGMENT_BYTES, valid_to: None, moved_from: None };
        manifest.shards[0].segments.insert(segment, record);
    }
    manifest.shards[0].next_segment = SegmentSeq(SEGMENTS + 1);
    manifest.shards[0].incarnation = incarnation;
    manifest.shards[0].epochs = vec![EpochRecord { epoch, first: Lsn::FIRST, end: None, segment: SegmentSeq(1) }];
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(mainstay::storage::disk::StandardDisk);
    manifest_log::create(&disk, &layout, &manifest).unwrap();
}

/// Guards F25: no number of files is too many, to open, to work with, to drop.
#[tokio::test]
async fn ten_thousand_log_files_open_and_work() {
    let dir = directory();
    ten_thousand_files(dir.path());
    let started = Instant::now();
    let tiny = || {
        let command_bytes_max = Options::command_bytes_for(SEGMENT_BYTES);
        Options { segment_bytes: SEGMENT_BYTES, command_bytes_max, ..small(dir.path()) }
    };
    let runtime = Runtime::open(Counters, tiny()).await.unwrap();
    let refused: Vec<_> = runtime.recovery().refused().map(|(_, error)| error.to_string()).collect();
    assert_eq!((refused, runtime.recovery().shards[0].commands), (Vec::new(), SEGMENTS));
    println!("opened in {:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 60);
    let started = Instant::now();
    write(&runtime, 100).await;
    let marked = runtime.mark().await.unwrap();
    assert_eq!(marked.ends[0].lsn.0, SEGMENTS + 101);
    runtime.snapshot().await.unwrap();
    println!("worked in {:?}", started.elapsed());
    let started = Instant::now();
    runtime.rewrite().await.unwrap();
    runtime.retire(marked.id).await.unwrap();
    until("old files are gone", || files(dir.path(), 0).len() < 100).await;
    println!("dropped in {:?}", started.elapsed());
    write(&runtime, 10).await;
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open(Counters, tiny()).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    let sum = |key: u32| runtime.latest().get(format!("key {key}").as_bytes()).unwrap().unwrap().sum;
    assert_eq!((0..50).map(sum).sum::<i64>(), SEGMENTS as i64 + 110);
}
