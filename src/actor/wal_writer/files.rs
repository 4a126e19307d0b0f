//! The files of one writer's life: spares, the segment that is written, and the frames that a move writes again.

use std::collections::VecDeque;
use std::io;

use crate::actor::preparer::Preparer;
use crate::model::{Batch, DirectoryId, Epoch, Incarnation, Lsn, Manifest, SegmentSeq, ShardId, Tail};
use crate::protocol::commit::Opening;
use crate::storage::error::{DiskError, IoContext};
use crate::storage::frame::Frame;
use crate::storage::segment::{Opened, SegmentHeader};
use crate::storage::segment_file::{OpenSegment, Spare};

/// See the module.
pub(super) struct Files {
    directory: DirectoryId,
    shard: ShardId,
    epoch: Epoch,
    incarnation: Incarnation,
    spares: VecDeque<Spare>,
    active: Option<OpenSegment>,
    /// The one before, which nobody writes any more.
    full: Option<OpenSegment>,
    /// The file that a move opened, until its edit is durable.
    moving: Option<OpenSegment>,
    /// Frames since the last good sync.
    kept: Vec<Frame>,
    /// End of what was recovered, and of what is synced.
    recovered: Option<Tail>,
    durable: Option<Tail>,
    next: Lsn,
    /// The last spare could not be made for lack of space.
    pub(super) no_space: bool,
}

impl Files {
    pub(super) fn new(manifest: &Manifest, preparer: &Preparer, epoch: Epoch, tail: Option<Tail>) -> Self {
        Self {
            directory: manifest.directory,
            shard: preparer.shard,
            epoch,
            incarnation: preparer.incarnation,
            spares: VecDeque::new(),
            active: None,
            full: None,
            moving: None,
            kept: Vec::new(),
            recovered: tail,
            durable: None,
            next: tail.map_or(Lsn::FIRST, |tail| tail.end),
            no_space: false,
        }
    }

    pub(super) fn add(&mut self, spare: Spare) {
        self.spares.push_back(spare);
    }

    /// Is there a file that frames go to, or will soon?
    pub(super) fn is_writing(&self) -> bool {
        self.active.is_some() || !self.spares.is_empty()
    }

    /// The last full segment, once.
    pub(super) fn take_full(&mut self) -> Option<OpenSegment> {
        self.full.take()
    }

    /// End of the log that this life follows.
    pub(super) fn recovered_tail(&self) -> Option<Tail> {
        self.recovered
    }

    /// End of what is synced in the file that is written, or was until it failed.
    pub(super) fn durable_tail(&self) -> Option<Tail> {
        self.durable
    }

    /// The file that is written, and the end that it follows, if it follows any.
    pub(super) fn active_begins(&self) -> Option<(SegmentSeq, Tail)> {
        let header = self.active.as_ref()?.header();
        (header.follows.segment > SegmentSeq(0)).then_some((header.segment, header.follows))
    }

    pub(super) fn last_frame_bytes(&self) -> u64 {
        self.kept.last().map_or(0, |frame| frame.bytes().len() as u64)
    }

    /// Writes and syncs the header of a spare.
    pub(super) fn open(&mut self, segment: SegmentSeq, opening: Opening) -> Result<(), DiskError> {
        let at = self.spares.iter().position(|spare| spare.segment == segment);
        let Some(spare) = at.and_then(|at| self.spares.remove(at)) else {
            return Err(io::Error::other("no such spare")).context("open", std::path::Path::new(""));
        };
        let nothing = Tail { segment: SegmentSeq(0), offset: 0, end: Lsn::FIRST, hash: [0; 32] };
        let (opened, follows) = match opening {
            Opening::Begin => (Opened::Begin, self.recovered),
            Opening::Roll => (Opened::Roll, self.durable),
            Opening::Move => (Opened::Move, self.durable),
        };
        let path = spare.path().to_owned();
        let salt = salt().context("make a salt for", &path)?;
        let header = SegmentHeader {
            opened,
            directory: self.directory,
            shard: self.shard,
            segment,
            epoch: self.epoch,
            incarnation: self.incarnation,
            follows: follows.unwrap_or(nothing),
            salt,
        };
        let open = spare.open(header)?;
        if opening == Opening::Move {
            self.moving = Some(open);
        } else {
            self.durable = Some(open.tail());
            self.full = self.active.replace(open);
        }
        Ok(())
    }

    /// Writes batches as one frame, which is kept until the next good sync.
    pub(super) fn write(&mut self, batches: &[&Batch], durable_end: Lsn) -> Result<(), DiskError> {
        let mut frame = Frame::encode(self.epoch, self.next, batches);
        self.next = frame.end();
        let written = match &mut self.active {
            Some(active) => active.write(&mut frame, durable_end),
            None => Ok(()),
        };
        self.kept.push(frame);
        written
    }

    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        if let Some(active) = &self.active {
            active.sync()?;
            let tail = active.tail();
            self.durable = Some(tail);
            // A frame whose write has failed is not in it.
            self.kept.retain(|frame| frame.end() > tail.end);
        }
        Ok(())
    }

    /// Writes the kept frames to the file that a move has opened, and syncs it.
    pub(super) fn rewrite(&mut self, durable_end: Lsn) -> Result<(), DiskError> {
        let Some(moving) = &mut self.moving else { return Ok(()) };
        for frame in &mut self.kept {
            moving.write(frame, durable_end)?;
        }
        moving.sync()
    }

    /// The move's edit is durable: its file is the one that is written.
    pub(super) fn moved(&mut self) {
        self.kept.clear();
        self.active = self.moving.take();
        self.durable = self.active.as_ref().map(OpenSegment::tail);
    }
}

fn salt() -> io::Result<[u8; 32]> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    Ok(salt)
}
