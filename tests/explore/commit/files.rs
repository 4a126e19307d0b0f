//! The files of one writer's life, as far as order matters: which frames are in which file, and what of it is synced.

use std::collections::BTreeMap;

use mainstay::model::{Lsn, SegmentSeq};
use mainstay::protocol::commit::{Limits, Opening};

/// Small sizes: three of the largest batches fill a file, which is the least that never gets stuck. A batch is 2 or 3
/// bytes as a frame of its own.
pub const LIMITS: Limits = Limits {
    frame_payload_max: 3,
    batch_bytes_max: 3,
    frame_overhead: 1,
    alignment: 1,
    segment_overhead: 1,
    kept_bytes_max: u64::MAX,
};
const SEGMENT_BYTES: u64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    end: Lsn,
    bytes: u64,
}

/// What must not be done to a file any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Failed {
    #[default]
    No,
    /// It takes no frame; what went before may be synced, once.
    Write,
    ForGood,
}

#[derive(Clone, Debug, Default)]
struct File {
    opened: Option<Opening>,
    frames: Vec<Frame>,
    synced: usize,
    sync_failed: bool,
    failed: Failed,
}

#[derive(Clone, Debug)]
pub struct Files {
    files: BTreeMap<SegmentSeq, File>,
    active: Option<SegmentSeq>,
    moving: Option<SegmentSeq>,
    /// Frames since the last good sync.
    kept: Vec<Frame>,
    begun: Option<SegmentSeq>,
    pub sealed: bool,
    written: Lsn,
    durable: Lsn,
}

impl Files {
    pub fn new(end: Lsn) -> Self {
        Self {
            files: BTreeMap::new(),
            active: None,
            moving: None,
            kept: Vec::new(),
            begun: None,
            sealed: false,
            written: end,
            durable: end,
        }
    }

    /// Everything below is on the disk for certain, and part of the log.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Everything below was written, if not to the file that is written now, then to one whose frames have moved.
    pub fn written(&self) -> Lsn {
        self.written
    }

    pub fn has_frames(&self) -> bool {
        self.files.values().any(|file| !file.frames.is_empty())
    }

    /// Has the file failed that is written?
    pub fn has_failed(&self) -> bool {
        self.active.and_then(|active| self.files.get(&active)).is_some_and(|file| file.failed != Failed::No)
    }

    /// Is whatever is intact in the file that is written synced, unless a sync has failed?
    pub fn keeps_what_is_intact(&self) -> bool {
        let active = self.active.and_then(|active| self.files.get(&active));
        active.is_none_or(|file| file.sync_failed || file.synced == file.frames.len())
    }

    /// Registers a spare.
    pub fn register(&mut self) -> (SegmentSeq, u64) {
        let segment = SegmentSeq(self.files.len() as u64 + 1);
        self.files.insert(segment, File::default());
        (segment, SEGMENT_BYTES)
    }

    fn file(&mut self, segment: Option<SegmentSeq>) -> &mut File {
        segment.and_then(|segment| self.files.get_mut(&segment)).expect("a registered file")
    }

    pub fn begin(&mut self, segment: SegmentSeq, committed: bool) {
        assert_eq!(self.begun, None, "a life begins once");
        assert_eq!(self.file(Some(segment)).opened, None, "a life begins with an unused spare");
        if committed {
            self.begun = Some(segment);
        }
    }

    pub fn open(&mut self, segment: SegmentSeq, opening: Opening, ok: bool) {
        let file = self.file(Some(segment));
        assert_eq!(file.opened.replace(opening), None, "a spare is opened once");
        file.failed = if ok { Failed::No } else { Failed::ForGood };
        match opening {
            Opening::Begin => assert_eq!(self.begun, Some(segment), "opened before it counts"),
            Opening::Roll => {
                assert!(self.kept.is_empty(), "rolls before everything is synced");
                let active = self.active;
                assert_eq!(self.file(active).failed, Failed::No, "rolls away from a file that has failed");
            }
            Opening::Move => {}
        }
        match (ok, opening) {
            (true, Opening::Move) => self.moving = Some(segment),
            (true, _) => self.active = Some(segment),
            (false, _) => {}
        }
    }

    pub fn write(&mut self, end: Lsn, bytes: u64, ok: bool) {
        let active = self.active;
        let file = self.file(active);
        assert_eq!(file.failed, Failed::No, "writes to a file that has failed");
        let used: u64 = file.frames.iter().map(|frame| frame.bytes).sum();
        assert!(used + bytes <= SEGMENT_BYTES - LIMITS.segment_overhead, "writes past the end");
        let frame = Frame { end, bytes };
        // What a failed write leaves behind nobody may rely on.
        file.failed = if ok { Failed::No } else { Failed::Write };
        self.written = end;
        if ok {
            self.file(active).frames.push(frame);
        }
        self.kept.push(frame);
    }

    pub fn sync(&mut self, ok: bool) {
        let active = self.active;
        let durable = self.durable;
        let file = self.file(active);
        assert_ne!(file.failed, Failed::ForGood, "syncs a file that has failed");
        file.sync_failed |= !ok;
        if !ok || file.failed == Failed::Write {
            file.failed = Failed::ForGood;
        }
        if ok {
            file.synced = file.frames.len();
            let intact = file.frames.last().map_or(durable, |frame| frame.end);
            self.durable = self.durable.max(intact);
            self.kept.retain(|frame| frame.end > intact);
        }
    }

    pub fn rewrite(&mut self, ok: bool) {
        let (moving, kept) = (self.moving, self.kept.clone());
        let bytes: u64 = kept.iter().map(|frame| frame.bytes).sum();
        assert!(bytes <= SEGMENT_BYTES - LIMITS.segment_overhead, "what is kept does not fit");
        let file = self.file(moving);
        assert!(file.frames.is_empty() && file.failed == Failed::No, "rewrites to a used file");
        file.failed = if ok { Failed::No } else { Failed::ForGood };
        file.frames = kept;
        if ok {
            file.synced = file.frames.len();
        }
    }

    pub fn moved(&mut self, segment: SegmentSeq, committed: bool) {
        assert_eq!(self.moving, Some(segment), "moves to the file that was rewritten");
        let kept = self.kept.clone();
        let file = self.file(Some(segment));
        assert_eq!((file.synced, &file.frames), (kept.len(), &kept), "moves before it is synced");
        if committed {
            self.active = self.moving.take();
            self.kept.clear();
            self.durable = self.written;
        }
    }
}
