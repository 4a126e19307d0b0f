//! Absurd lengths and counts in frames and batches: a typed verdict, and no memory for what is not there.
//!
//! Frames are also sealed again around them, as a faulty writer would, so that they get past the hashes.

use std::fs;
use std::process::Command;

use bytes::Bytes;
use mainstay::model::{
    Batch, DirectoryId, Edit, Epoch, Incarnation, Lsn, Manifest, Routing, SegmentSeq, ShardId, Tail, Time,
};
use mainstay::sim::SimDisk;
use mainstay::storage::frame::{Frame, align};
use mainstay::storage::segment::{Opened, SegmentHeader};
use mainstay::{LogError, Runtime};

use crate::log::{Rest, headers, reseal, small_segments};
use crate::scene::{FRAME_HEADER, SEGMENT_HEADER, frames, killed, open, segment};
use crate::support::{Counters, add};

const ABSURD: [u32; 4] = [0, 1, u32::MAX, i32::MAX as u32];
const BATCH_HEADER: usize = 24;
const SEGMENT_BYTES: u64 = 8192;

/// A log of one file: frames of one, two and one batches, each saying that those before it are durable or that nothing
/// is.
fn log(vouched: bool) -> Rest {
    let (shard, segment_number, incarnation) = (ShardId(0), SegmentSeq(1), Incarnation(1));
    let directory = DirectoryId([1; 16]);
    let mut manifest = Manifest::new(directory, Routing { id: 1, key: [2; 16] }, 1);
    let expects = (Epoch(0), Incarnation(0));
    for edit in [
        Edit::Register { shard, incarnation, segment: segment_number, bytes: SEGMENT_BYTES },
        Edit::Begin { shard, expects, sealed: None, incarnation, segment: segment_number },
    ] {
        manifest.apply(&edit).unwrap();
    }
    let follows = Tail { segment: SegmentSeq(0), offset: 0, end: Lsn::FIRST, hash: [0; 32] };
    let (opened, salt, epoch) = (Opened::Begin, [3; 32], Epoch(1));
    let header = SegmentHeader { opened, directory, shard, segment: segment_number, epoch, incarnation, follows, salt };
    let (start, mut previous) = header.encode();
    let mut bytes = start.to_vec();
    let mut next = Lsn::FIRST;
    for sizes in [[2, 0], [3, 2], [1, 0]] {
        let first = next;
        let mut batches = Vec::new();
        for commands in sizes.into_iter().filter(|commands| *commands > 0) {
            batches.push(batch(next, commands));
            next = next.plus(commands);
        }
        let mut frame = Frame::encode(epoch, first, &batches.iter().collect::<Vec<_>>());
        previous = frame.seal(&salt, if vouched { first } else { Lsn::FIRST }, &previous);
        bytes.extend_from_slice(frame.bytes());
    }
    bytes.resize(SEGMENT_BYTES as usize, 0);
    let sim = SimDisk::new(41);
    sim.put(segment(0, 1), &bytes);
    Rest { sim, manifest }
}

fn batch(first: Lsn, commands: u64) -> Batch {
    let commands: Vec<_> = (0..commands).map(|n| vec![7; 9 + n as usize]).collect();
    let lengths = commands.iter().map(|command| command.len() as u32).collect();
    Batch { time: Time(5), schema: 1, first, lengths, bytes: Bytes::from(commands.concat()) }
}

/// Where the counts and lengths of a frame are: those of its header, then those of its batches.
fn fields(bytes: &[u8], at: usize) -> Vec<usize> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let mut fields = vec![at + 24, at + 28, at + 32];
    let mut batch = at + FRAME_HEADER;
    for _ in 0..number(at + 28) {
        let count = number(batch + 20);
        fields.push(batch + 20);
        let lengths: Vec<_> = (0..count).map(|n| batch + BATCH_HEADER + 4 * n).collect();
        batch += BATCH_HEADER + 4 * count + lengths.iter().map(|length| number(*length)).sum::<usize>();
        fields.extend(lengths);
    }
    assert_eq!(align(batch as u64), align((at + FRAME_HEADER + number(at + 32)) as u64));
    fields
}

/// A file with one absurd number in it.
struct Absurd {
    bytes: Vec<u8>,
    frame: usize,
    first: Lsn,
    /// Its hashes are right, and cover as much as it claims to have.
    verifies: bool,
    what: String,
}

fn absurdities(rest: &Rest) -> Vec<Absurd> {
    let good = rest.bytes(&segment(0, 1));
    let mut found = Vec::new();
    for (frame, header) in headers(&good) {
        for field in fields(&good, frame) {
            for (value, sealed) in ABSURD.into_iter().flat_map(|value| [(value, false), (value, true)]) {
                let mut bytes = good.clone();
                bytes[field..field + 4].copy_from_slice(&value.to_le_bytes());
                if bytes == good {
                    continue;
                }
                if sealed {
                    reseal(&mut bytes, frame);
                }
                let verifies = sealed && (field != frame + 32 || (value as usize) < good.len());
                let what = format!("{value} at byte {} of the frame at {frame}, sealed: {sealed}", field - frame);
                found.push(Absurd { bytes, frame, first: header.first, verifies, what });
            }
        }
    }
    found
}

/// Guards F12, F57: what does not verify ends the log where nothing vouches for it; what verifies and does not add up
/// is damage, always.
#[test]
fn every_absurd_length_is_damage_or_torn() {
    for vouched in [true, false] {
        let rest = log(vouched);
        let whole = rest.read().unwrap();
        assert_eq!((whole.commands.len(), whole.recovered.torn_bytes), (8, 0));
        let absurdities = absurdities(&rest);
        assert!(absurdities.len() > 100 && absurdities.iter().any(|absurd| absurd.verifies));
        let last = absurdities.last().unwrap().frame;
        for Absurd { bytes, frame, first, verifies, what } in absurdities {
            match rest.read_with(&segment(0, 1), &bytes) {
                Err(LogError::Damaged { path, offset, lsn, .. }) if verifies || (vouched && frame < last) => {
                    assert_eq!((path, offset, lsn), (segment(0, 1), frame as u64, first), "{what}");
                }
                Ok(torn) if !verifies && (!vouched || frame == last) => {
                    assert!(torn.commands == whole.commands[..first.0 as usize - 1], "{what}: other commands");
                    assert!(torn.recovered.torn_bytes > 0, "{what}");
                }
                other => panic!("{what}, vouched: {vouched}: {other:?}"),
            }
        }
    }
}

/// Set in the process that measures.
const MEASURING: &str = "MAINSTAY_TEST_MEASURES_LENGTHS";
/// Beside the segment: the reader's own needs, and what the allocator rounds up to.
const SLACK_BYTES: u64 = 256 * 1024;

/// Guards F57: reading takes the memory of one segment, whatever a length says.
///
/// The crate forbids `unsafe`, so no allocator can count here. A process of its own measures its address space
/// instead, in which even memory that is never touched shows, with an allocator that asks the system for every larger
/// piece. Left out where there is no `/proc`.
#[test]
fn no_absurd_length_is_allocated() {
    if std::env::var_os(MEASURING).is_some() {
        return println!("largest growth: {} bytes", measure());
    }
    if address_space("VmPeak:").is_none() {
        return println!("no /proc/self/status: left out");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lengths::no_absurd_length_is_allocated", "--nocapture"])
        .envs([(MEASURING, "1"), ("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "32768")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("largest growth"), "{text}");
}

fn address_space(what: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// The largest growth of all absurdities.
fn measure() -> u64 {
    let size = || address_space("VmSize:").unwrap();
    let peak = || address_space("VmPeak:").unwrap();
    let rest = log(true);
    let absurdities = absurdities(&rest);
    rest.read().unwrap();
    rest.read_with(&segment(0, 1), &absurdities[0].bytes).unwrap_err();
    // Held, never touched: from here on every growth is a new peak.
    let ballast = Vec::<u8>::with_capacity((peak() - size()) as usize);
    let mut largest = 0;
    for absurd in &absurdities {
        let before = size();
        let _ = rest.read_with(&segment(0, 1), &absurd.bytes);
        let growth = peak().saturating_sub(before);
        assert!(growth <= SEGMENT_BYTES + SLACK_BYTES, "{}: {growth} bytes", absurd.what);
        largest = largest.max(growth);
    }
    drop(ballast);
    largest
}

/// Guards F57: no length is believed before its frame verifies, by a runtime either.
#[tokio::test]
async fn absurd_lengths_refuse_the_shard() {
    let sim = SimDisk::new(5);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let base = killed(runtime, &sim).await;
    let path = segment(0, 1);
    let (at, _) = frames(&base.read(&path).unwrap())[0];
    for (field, value) in [24, 28, 32].into_iter().flat_map(|field| ABSURD.map(|value| (field, value))) {
        for sealed in [false, true] {
            let mut bytes = base.read(&path).unwrap();
            let before = bytes.clone();
            bytes[at + field..at + field + 4].copy_from_slice(&value.to_le_bytes());
            if bytes == before {
                continue;
            }
            if sealed {
                reseal(&mut bytes, at);
            }
            let sim = base.after_kill();
            sim.put(&path, &bytes);
            let runtime = Runtime::open_on(sim, Counters, small_segments(Default::default())).await.unwrap();
            let (_, error) = runtime.recovery().refused().next().unwrap();
            let is_damage = matches!(error, LogError::Damaged { lsn: Lsn(1), offset: 256, .. });
            assert!(is_damage, "{value} at {field}, sealed: {sealed}: {error}");
        }
    }
    assert_eq!(at, SEGMENT_HEADER);
}
