//! Files that are older than the rest, doubled, or cut: a valid prefix or a refusal, and nothing proven is dropped.

use mainstay::model::{Edit, SegmentSeq, Tail};
use mainstay::sim::SimDisk;
use mainstay::storage::chain::Link;
use mainstay::{LogError, Lsn, Runtime, ShardId, SyncPolicy};

use crate::log::{Log, Rest, headers, history, put, small_segments};
use crate::scene::{FRAME_HEADER, SEGMENT_HEADER, open, refusal, segment};
use crate::support::{Counters, add};

/// Where something that is not in the file says that it ends.
fn recorded_end(rest: &Rest, link: &Link) -> Option<Tail> {
    let closed = rest.manifest.shards[0].closed.map(|closed| closed.tail);
    link.ends.or(closed.filter(|tail| tail.segment == link.header.segment))
}

/// A log with one file changed: whole, a prefix that lacks only what nothing vouches for, or a refusal.
fn assert_prefix_or_refusal(read: Result<Log, LogError>, whole: &Log, proven: Lsn, what: &str) -> bool {
    match read {
        Ok(log) => {
            assert!(whole.commands.starts_with(&log.commands), "{what}: other commands");
            let end = log.recovered.tail.map_or(Lsn::FIRST, |tail| tail.end);
            assert!(end >= proven, "{what}: ends at {end}, but {proven} is proven");
            true
        }
        Err(LogError::Damaged { .. } | LogError::ManifestLost { .. } | LogError::Foreign { .. }) => false,
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Guards F12, F13: a file out of an older copy of the directory lacks what others vouch for.
#[tokio::test]
async fn a_segment_of_an_older_backup_is_a_prefix_or_refused() {
    for closed in [false, true] {
        let mut backups = Vec::new();
        let rest = history(closed, |sim, commands| backups.push((sim, commands))).await;
        let whole = rest.read().unwrap();
        let (mut prefixes, mut refusals) = (0, 0);
        for link in rest.chain() {
            let now = rest.bytes(&link.path);
            let ends = recorded_end(&rest, &link);
            for (backup, commands) in &backups {
                let Some(old) = backup.read(&link.path).filter(|old| *old != now) else { continue };
                let what = format!("{} of {commands} commands, closed: {closed}", link.path.display());
                let is_whole = ends.is_some_and(|ends| {
                    let end = ends.offset as usize;
                    old.get(..end) == Some(&now[..end])
                });
                let proven = ends.map_or(link.header.follows.end, |ends| ends.end);
                let is_prefix = assert_prefix_or_refusal(rest.read_with(&link.path, &old), &whole, proven, &what);
                // A spare that was being made has no bytes yet: no crash shortens it to that again.
                let is_cut = old.len() < SEGMENT_HEADER;
                assert_eq!(is_prefix, !is_cut && (is_whole || ends.is_none()), "{what}");
                prefixes += usize::from(is_prefix);
                refusals += usize::from(!is_prefix);
            }
        }
        assert!(refusals > 30 && (closed || prefixes > 0), "{refusals} refusals, {prefixes} prefixes");
    }
}

/// Guards F12, F14: the directory was put back to a backup and went on from there. A file of the time that was given
/// up has the same number, epoch and first lsn, and is not taken for the one that was closed.
#[tokio::test]
async fn a_closed_segment_of_a_timeline_that_was_given_up_is_refused() {
    let sim = SimDisk::new(31);
    let runtime = open(&sim, 1).await;
    runtime.submit(add("before", 1)).await.unwrap();
    let backup = sim.after_kill();
    drop(runtime);
    let timeline = async |key: &str, commands: i64| {
        let sim = backup.after_kill();
        let runtime = open(&sim, 1).await;
        for n in 1..=commands {
            runtime.submit(add(key, n)).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
        Rest::new(sim.after_kill())
    };
    let kept = timeline("kept", 3).await;
    let last = kept.chain().pop().unwrap();
    for commands in 1..6 {
        let given_up = timeline("given up", commands).await;
        let other = given_up.chain().pop().unwrap();
        assert_eq!((&other.path, other.header.epoch), (&last.path, last.header.epoch));
        let read = kept.read_with(&last.path, &given_up.bytes(&last.path));
        assert!(matches!(read, Err(LogError::Damaged { .. })), "{commands} other commands: {read:?}");
    }
    assert_eq!(kept.read().unwrap().commands.len(), 4);
}

/// Guards F12, F13: a file in the middle that is as empty as when it was a spare does not make what follows it
/// nobody's.
#[tokio::test]
async fn a_segment_that_is_a_spare_again_is_noticed_by_the_one_that_follows_it() {
    for commands in [6, 7, 11, 12] {
        let sim = SimDisk::new(32);
        let runtime = Runtime::open_on(sim.clone(), Counters, small_segments(SyncPolicy::Always)).await.unwrap();
        for n in 0..commands {
            runtime.submit(put(n, 500)).await.unwrap();
        }
        let rest = Rest::new(sim.after_kill());
        drop(runtime);
        let chain = rest.chain();
        assert!(chain.len() > 1);
        for link in &chain[..chain.len() - 1] {
            let read = rest.read_with(&link.path, &[0; 4096]);
            let is_refused = matches!(read, Err(LogError::Damaged { .. } | LogError::ManifestLost { .. }));
            assert!(is_refused, "{} of {commands} commands: {read:?}", link.path.display());
        }
    }
}

/// Guards F32, F47: a file under another number is not what that number was given to.
#[tokio::test]
async fn a_segment_under_another_number_is_refused_or_left_over() {
    let mut rest = history(false, |_, _| {}).await;
    let whole = rest.read().unwrap();
    let record = &rest.manifest.shards[0];
    // A spare, and numbers in front of it that were given to files that are no more.
    let (incarnation, spare) = (record.incarnation, SegmentSeq(record.next_segment.0 + 2));
    let register = Edit::Register { shard: ShardId(0), incarnation, segment: spare, bytes: 4096 };
    rest.manifest.apply(&register).unwrap();
    rest.sim.put(segment(0, spare.0), &[0; 4096]);
    let record = &rest.manifest.shards[0];
    let dropped: Vec<_> = (1..record.next_segment.0)
        .filter(|number| record.segments.keys().all(|segment| segment.0 != *number))
        .collect();
    assert!(dropped.len() >= 2);
    for link in rest.chain() {
        let bytes = rest.bytes(&link.path);
        for number in 1..record.next_segment.0 + 3 {
            let read = rest.read_with(&segment(0, number), &bytes);
            let what = format!("{} as {number}", link.path.display());
            if number == link.header.segment.0 || dropped.contains(&number) {
                assert_eq!(read.unwrap(), whole, "{what}");
            } else if number >= record.next_segment.0 {
                assert!(matches!(read, Err(LogError::ManifestLost { .. })), "{what}: {read:?}");
            } else {
                assert!(matches!(read, Err(LogError::Foreign { .. })), "{what}: {read:?}");
            }
        }
    }
}

/// Guards F11, F12, F27: whatever a file is cut to, what is left of the log is a prefix that has all that is proven.
#[tokio::test]
async fn a_segment_cut_anywhere_is_a_prefix_or_refused() {
    for closed in [false, true] {
        let rest = history(closed, |_, _| {}).await;
        let whole = rest.read().unwrap();
        for link in rest.chain() {
            let bytes = rest.bytes(&link.path);
            let ends = recorded_end(&rest, &link);
            // Where each frame ends, and its padding begins, which may be lost.
            let frames: Vec<_> = headers(&bytes)
                .into_iter()
                .map(|(at, frame)| (at + FRAME_HEADER + frame.payload_bytes as usize, frame.end()))
                .collect();
            let mut needed = frames.iter().filter(|(end, _)| ends.is_some_and(|ends| *end as u64 <= ends.offset));
            let reaches = needed.next_back().map_or(SEGMENT_HEADER, |(end, _)| *end);
            let odd = frames.iter().flat_map(|(end, _)| [end - 1, *end]).chain([1, 255, 257, bytes.len() - 1]);
            for cut in (0..bytes.len()).step_by(64).chain(odd) {
                let what = format!("{} cut to {cut}", link.path.display());
                let read = rest.read_with(&link.path, &bytes[..cut]);
                let left = frames.iter().take_while(|(end, _)| *end <= cut).last();
                if cut < reaches {
                    let Err(LogError::Damaged { path, offset, .. }) = read else { panic!("{what}: {read:?}") };
                    let whole_header = if cut < SEGMENT_HEADER { 0 } else { SEGMENT_HEADER };
                    let at = left.map_or(whole_header, |(end, _)| end.next_multiple_of(64));
                    assert_eq!((path, offset), (link.path.clone(), at as u64), "{what}");
                    continue;
                }
                let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
                if ends.is_some() {
                    assert_eq!(read, whole, "{what}");
                    continue;
                }
                let end = left.map_or(link.header.follows.end, |(_, end)| *end);
                assert_eq!(read.recovered.tail.unwrap().end, end, "{what}");
                assert_prefix_or_refusal(Ok(read), &whole, end, &what);
            }
        }
    }
}

/// A cut file of the log's end is told of, and the log goes on.
#[tokio::test]
async fn a_log_goes_on_behind_a_cut_file() {
    let rest = history(false, |_, _| {}).await;
    let link = rest.chain().pop().unwrap();
    let bytes = rest.bytes(&link.path);
    for (at, frame) in headers(&bytes) {
        let sim = rest.sim.after_kill();
        sim.put(&link.path, &bytes[..at + 64]);
        let options = small_segments(SyncPolicy::Always);
        let runtime = Runtime::open_on(sim.clone(), Counters, options.clone()).await.unwrap();
        assert_eq!(refusal(&runtime), None, "cut at {at}");
        assert_eq!(runtime.recovery().shards[0].torn_bytes, (bytes.len() - at) as u64);
        assert_eq!(runtime.submit(add("b", 5)).await.unwrap().position.lsn, frame.first);
        let sim = sim.crash(at as u64);
        drop(runtime);
        let runtime = Runtime::open_on(sim, Counters, options).await.unwrap();
        assert_eq!(runtime.latest().get(b"b").unwrap().unwrap().sum, 5, "cut at {at}");
    }
}
