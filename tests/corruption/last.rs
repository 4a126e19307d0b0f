//! The last frame of a log that was closed, which the mark vouches for, and of one that was killed, which nobody does.

use std::path::PathBuf;

use mainstay::model::{Edit, Lsn};
use mainstay::sim::SimDisk;
use mainstay::storage::frame::{Frame, FrameHeader};
use mainstay::storage::segment::{Opened, SegmentHeader};
use mainstay::{LogError, Options, Runtime, SyncPolicy};

use crate::log::{Rest, headers};
use crate::scene::{FRAME_HEADER, flip, open, options, refusal, segment, zero};
use crate::support::{Counters, add};

const POLICIES: [SyncPolicy; 2] = [SyncPolicy::Always, SyncPolicy::Never];

/// A log of three frames, and the last of them.
struct Ended {
    rest: Rest,
    path: PathBuf,
    at: usize,
    frame: FrameHeader,
}

impl Ended {
    async fn new(sync: SyncPolicy, closed: bool) -> Self {
        let sim = SimDisk::new(21);
        let runtime = Runtime::open_on(sim.clone(), Counters, Options { sync, ..options(1) }).await.unwrap();
        for _ in 0..3 {
            runtime.submit(add("a", 1)).await.unwrap();
        }
        if closed {
            runtime.shutdown().await.unwrap();
        }
        let (rest, path) = (Rest::new(sim.after_kill()), segment(0, 1));
        let frames = headers(&rest.bytes(&path));
        let (at, frame) = *frames.iter().rfind(|(_, frame)| frame.count > 0).unwrap();
        assert_eq!(frame.first, Lsn(3));
        if !closed {
            // On a slow machine the writer may have noted its durable end before it was killed.
            zero(&rest.sim, &path, at + frame.bytes() as usize);
        }
        Self { rest, path, at, frame }
    }

    fn payload_end(&self) -> usize {
        self.at + FRAME_HEADER + self.frame.payload_bytes as usize
    }

    fn end(&self) -> usize {
        self.at + self.frame.bytes() as usize
    }

    /// A byte of every field.
    fn fields(&self) -> impl Iterator<Item = usize> {
        let header = [0, 4, 8, 16, 24, 28, 32, 36, 40, 48, 64, 96].map(|field| self.at + field);
        header.into_iter().chain([self.at + FRAME_HEADER, self.payload_end() - 1])
    }
}

/// Guards F10, F12, F20: each byte of the last frame counts, and what becomes of the log depends on the mark alone.
#[tokio::test]
async fn every_flipped_byte_of_the_last_frame_is_damage_if_closed_and_torn_if_killed() {
    for (sync, closed) in POLICIES.into_iter().flat_map(|sync| [(sync, false), (sync, true)]) {
        let ended = Ended::new(sync, closed).await;
        let whole = ended.rest.read().unwrap();
        assert_eq!((whole.commands.len(), whole.recovered.torn_bytes), (3, 0));
        for at in ended.at..ended.payload_end() {
            match ended.rest.read_flipped(&ended.path, at) {
                Err(LogError::Damaged { path, offset, lsn, .. }) if closed => {
                    assert_eq!((path, offset, lsn), (ended.path.clone(), ended.at as u64, Lsn(3)), "byte {at}");
                }
                Ok(torn) if !closed => {
                    assert!(torn.commands == whole.commands[..2], "byte {at}: other commands");
                    let tail = torn.recovered.tail.unwrap();
                    assert_eq!((tail.offset, tail.end, tail.hash), (ended.at as u64, Lsn(3), ended.frame.previous));
                    assert!(torn.recovered.torn_bytes > 0, "byte {at}");
                }
                other => panic!("{sync:?}, closed: {closed}, byte {at}: {other:?}"),
            }
        }
        assert!(ended.payload_end() < ended.end(), "there is padding");
        for at in ended.payload_end()..ended.end() {
            assert_eq!(ended.rest.read_flipped(&ended.path, at).unwrap(), whole, "padding at {at}");
        }
    }
}

/// Guards F10, F14: behind a torn frame the log goes on, under a lsn that nobody has an answer for, and the torn bytes
/// never come back.
#[tokio::test]
async fn a_log_goes_on_in_front_of_a_torn_frame_and_in_spite_of_flipped_padding() {
    for sync in POLICIES {
        let ended = Ended::new(sync, false).await;
        let torn = ended.fields().map(|at| (at, 2));
        for (at, left) in torn.chain([(ended.payload_end(), 3), (ended.end() - 1, 3)]) {
            let sim = ended.rest.sim.after_kill();
            flip(&sim, &ended.path, at);
            let before = sim.read(&ended.path).unwrap();
            let runtime = open(&sim, 1).await;
            assert_eq!(refusal(&runtime), None, "{sync:?} byte {at}");
            assert_eq!(runtime.recovery().shards[0].torn_bytes > 0, left == 2, "{sync:?} byte {at}");
            assert_eq!(runtime.latest().get(b"a").unwrap().unwrap().sum, left);
            let receipt = runtime.submit(add("b", 5)).await.unwrap();
            assert_eq!(receipt.position.lsn, Lsn(left as u64 + 1), "{sync:?} byte {at}");
            let sim = sim.crash(at as u64);
            drop(runtime);
            assert_eq!(sim.read(&ended.path).unwrap(), before, "the torn frame is left in place");
            let runtime = open(&sim, 1).await;
            assert_eq!(refusal(&runtime), None, "{sync:?} byte {at}");
            let sums = [b"a", b"b"].map(|key| runtime.latest().get(key).unwrap().unwrap().sum);
            assert_eq!(sums, [left, 5], "{sync:?} byte {at}");
        }
    }
}

/// Guards F20, F28: a closed log that lost its last frame is not served, not swept and not written to.
#[tokio::test]
async fn a_closed_log_whose_last_frame_is_damaged_is_refused_and_untouched() {
    for sync in POLICIES {
        let ended = Ended::new(sync, true).await;
        for at in ended.fields() {
            let sim = ended.rest.sim.after_kill();
            flip(&sim, &ended.path, at);
            let before = sim.files();
            let runtime = open(&sim, 1).await;
            let (_, error) = runtime.recovery().refused().next().unwrap();
            assert!(matches!(error, LogError::Damaged { lsn: Lsn(3), .. }), "{sync:?} byte {at}: {error}");
            runtime.latest().get(b"a").unwrap_err();
            runtime.submit(add("a", 1)).await.unwrap_err();
            drop(runtime);
            assert_eq!(before, sim.files(), "{sync:?} byte {at}");
        }
    }
}

/// Guards F12: the note of an idle writer vouches for all commands in front of it; when it is damaged itself, nothing
/// of them is lost.
#[tokio::test]
async fn a_note_is_evidence_for_the_last_commands_and_holds_none() {
    for sync in POLICIES {
        let ended = Ended::new(sync, false).await;
        let whole = ended.rest.read().unwrap();
        let salt = ended.rest.chain()[0].header.salt;
        let mut note = Frame::encode(ended.frame.epoch, ended.frame.end(), &[]);
        note.seal(&salt, ended.frame.end(), &ended.frame.hash);
        ended.rest.sim.overwrite(&ended.path, ended.end() as u64, note.bytes()).unwrap();
        for at in ended.end()..ended.end() + note.bytes().len() {
            let read = ended.rest.read_flipped(&ended.path, at).unwrap();
            assert!(read.commands == whole.commands, "byte {at}: other commands");
            assert_eq!(read.recovered.torn_bytes > 0, at < ended.end() + FRAME_HEADER, "byte {at}");
        }
        for at in ended.at..ended.payload_end() {
            let read = ended.rest.read_flipped(&ended.path, at);
            let here = ended.at as u64;
            let is_damage = matches!(read, Err(LogError::Damaged { offset, lsn: Lsn(3), .. }) if offset == here);
            assert!(is_damage, "byte {at}: {read:?}");
        }
    }
}

/// Guards F4, F12: the header of a file to which frames were to move was written when all in front of them was durable.
/// Nobody adopted the file, and it holds nothing, but that much it proves.
#[tokio::test]
async fn a_move_that_was_never_adopted_is_evidence_and_holds_nothing() {
    for sync in POLICIES {
        let mut ended = Ended::new(sync, false).await;
        let whole = ended.rest.read().unwrap();
        let (last, spare) = (ended.rest.chain()[0].header, ended.rest.manifest.shards[0].next_segment);
        let (shard, incarnation) = (last.shard, last.incarnation);
        let register = Edit::Register { shard, incarnation, segment: spare, bytes: 8192 };
        ended.rest.manifest.apply(&register).unwrap();
        let follows = whole.recovered.tail.unwrap();
        let header = SegmentHeader { opened: Opened::Move, segment: spare, follows, salt: [9; 32], ..last };
        let mut frame = Frame::encode(last.epoch, follows.end, &[]);
        let (start, previous) = header.encode();
        frame.seal(&header.salt, follows.end, &previous);
        let mut bytes = [start.as_slice(), frame.bytes()].concat();
        bytes.resize(8192, 0);
        ended.rest.sim.put(segment(0, spare.0), &bytes);
        assert_eq!(ended.rest.read().unwrap(), whole, "nobody adopted it");
        for at in ended.at..ended.payload_end() {
            let read = ended.rest.read_flipped(&ended.path, at);
            let is_damage = matches!(read, Err(LogError::Damaged { lsn: Lsn(3), .. }));
            assert!(is_damage, "{sync:?} byte {at}: {read:?}");
        }
    }
}
