//! One file's content: what the cache shows, what the disk has, and what may still become of the difference.
//!
//! - Without unsynced pieces and failed syncs the two images are equal.
//! - After a failed sync they differ in clean pieces: nothing will ever write those out, unless somebody writes into
//!   them again.
//! - Every write has a number; a sync covers the writes up to the number it started at.

use std::collections::BTreeMap;
use std::io;

use super::image::{Image, PIECE_BYTES, Piece};
use super::random::Random;

/// How many overwritten states of an unsynced piece a crash can choose from.
const EARLIER_COUNT_MAX: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    cached: Image,
    durable: Image,
    unsynced: BTreeMap<u64, Unsynced>,
    /// End of the furthest write since the last sync, so the length that the next one makes durable.
    unsynced_length: u64,
    writes: u64,
    /// A failed sync has left clean pieces that the disk does not have.
    diverged: bool,
}

/// A piece that was written since the last sync.
#[derive(Clone, Debug)]
pub(super) struct Unsynced {
    first_write: u64,
    last_write: u64,
    /// What it was between two of the writes, with the number of the write that made it so; oldest first.
    pub(super) earlier: Vec<(u64, Box<Piece>)>,
}

/// What a sync had before it when it was called.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncStart {
    write: u64,
    length: u64,
}

impl Content {
    /// A file that was there before: cache and disk agree.
    pub(super) fn durable(image: Image) -> Self {
        Self { cached: image.clone(), durable: image, ..Self::default() }
    }

    pub(super) fn cached(&self) -> &Image {
        &self.cached
    }

    /// What the disk is sure to have.
    pub(super) fn on_disk(&self) -> &Image {
        &self.durable
    }

    pub(super) fn unsynced(&self) -> &BTreeMap<u64, Unsynced> {
        &self.unsynced
    }

    /// The length that everything written so far asks for.
    pub(super) fn length_asked(&self) -> u64 {
        self.durable.length().max(self.unsynced_length)
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, random: &mut Random) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        self.writes += 1;
        for index in offset / PIECE_BYTES as u64..end.div_ceil(PIECE_BYTES as u64) {
            self.note_write(index, random);
        }
        self.unsynced_length = self.unsynced_length.max(end);
        self.cached.write(bytes, offset);
    }

    fn note_write(&mut self, index: u64, random: &mut Random) {
        let write = self.writes;
        let Some(unsynced) = self.unsynced.get_mut(&index) else {
            let fresh = Unsynced { first_write: write, last_write: write, earlier: Vec::new() };
            self.unsynced.insert(index, fresh);
            return;
        };
        if unsynced.earlier.len() == EARLIER_COUNT_MAX {
            unsynced.earlier.remove(random.below_index(EARLIER_COUNT_MAX));
        }
        unsynced.earlier.push((unsynced.last_write, Box::new(self.cached.piece(index))));
        unsynced.last_write = write;
    }

    /// A write that fails: nothing, a prefix, some pieces or all of it arrives in the cache.
    pub(super) fn write_in_part(&mut self, bytes: &[u8], offset: u64, random: &mut Random) {
        let style = random.below(4);
        let prefix = match style {
            0 => 0,
            1 => random.below_index(bytes.len() + 1),
            _ => bytes.len(),
        };
        let mut position = offset;
        let mut rest = bytes.get(..prefix).unwrap_or(bytes);
        while !rest.is_empty() {
            let room = PIECE_BYTES - position as usize % PIECE_BYTES;
            let (part, after) = rest.split_at(rest.len().min(room));
            if style != 2 || random.one_in(2) {
                self.write(part, position, random);
            }
            position += part.len() as u64;
            rest = after;
        }
    }

    pub(super) fn sync_start(&self) -> SyncStart {
        SyncStart { write: self.writes, length: self.unsynced_length }
    }

    /// Makes durable what was written before `start`; of what came after, all or nothing.
    pub(super) fn sync(&mut self, start: SyncStart, random: &mut Random) {
        let start = if random.one_in(2) { self.sync_start() } else { start };
        if start.write == self.writes && !self.diverged {
            self.durable = self.cached.clone();
            self.forget_unsynced(start);
            return;
        }
        self.durable.extend(start.length);
        for (index, unsynced) in &self.unsynced {
            if unsynced.last_write <= start.write {
                self.durable.set_piece(*index, &self.cached.piece(*index));
            } else if unsynced.first_write <= start.write {
                self.durable.set_piece(*index, &unsynced.at(start).unwrap_or(self.cached.piece(*index)));
            }
        }
        self.forget_unsynced(start);
    }

    /// The sync failed: what it would have made durable counts as clean and is not.
    pub(super) fn fail_sync(&mut self, start: SyncStart) {
        self.diverged |= !self.unsynced.is_empty();
        self.forget_unsynced(start);
    }

    fn forget_unsynced(&mut self, start: SyncStart) {
        self.unsynced.retain(|_, unsynced| unsynced.forget(start));
        if self.writes == start.write {
            self.unsynced_length = 0;
        }
    }

    /// Clean pieces, and the length if nothing has extended the file since, become what the disk has.
    pub(super) fn drop_cache(&mut self) {
        let mut fresh = self.durable.clone();
        fresh.extend(self.length_asked());
        for index in self.unsynced.keys() {
            fresh.set_piece(*index, &self.cached.piece(*index));
        }
        self.cached = fresh;
        self.diverged = false;
    }

    /// Damages the medium: the cache, the disk and everything that is on its way there.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] beyond the end of the file.
    pub(super) fn damage(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = Image::end_of_write(bytes, offset)?;
        if end > self.cached.length() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the file"));
        }
        self.cached.write(bytes, offset);
        let on_disk = self.durable.length().saturating_sub(offset).min(bytes.len() as u64) as usize;
        self.durable.write(bytes.get(..on_disk).unwrap_or(bytes), offset);
        for index in offset / PIECE_BYTES as u64..end.div_ceil(PIECE_BYTES as u64) {
            if let Some(unsynced) = self.unsynced.get_mut(&index) {
                unsynced.earlier.clear();
            }
        }
        Ok(())
    }
}

impl Unsynced {
    /// What the piece was when the sync started, or the first state after that which is still known.
    fn at(&self, start: SyncStart) -> Option<Piece> {
        let before = self.earlier.iter().rfind(|(write, _)| *write <= start.write);
        before.or(self.earlier.first()).map(|(_, piece)| **piece)
    }

    /// Drops what the sync has dealt with, and says whether anything is left.
    fn forget(&mut self, start: SyncStart) -> bool {
        if self.last_write <= start.write {
            return false;
        }
        self.earlier.retain(|(write, _)| *write > start.write);
        self.first_write = self.earlier.first().map_or(self.last_write, |(write, _)| *write);
        true
    }
}
