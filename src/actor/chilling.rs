//! Copies values to a new cold file: from a map that they leave, or from older files.
//!
//! The file is made when there is something for it, and is whole and durable when its places are told. Whoever has it
//! made puts those into a map, entry by entry where that still has the very same one, and has the manifest name the
//! file; until then it is a left-over. Dropped unfinished, it is removed.

use std::io;

use crate::model::{ColdSeq, DirectoryId, Location, ShardId};
use crate::state::map::{Cursor, Entry, Map};
use crate::state::victims;
use crate::storage::codec;
use crate::storage::cold::{self, ColdError, ColdFile, ColdId, ColdWriter};
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::layout::Layout;
use crate::sync::Arc;

/// Where a file goes.
#[derive(Clone, Copy)]
pub(crate) struct Place<'d> {
    pub(crate) disk: &'d dyn Disk,
    pub(crate) layout: &'d Layout,
    pub(crate) directory: DirectoryId,
    pub(crate) shard: ShardId,
}

/// See the module. `N` gives numbers that nobody has used.
pub(crate) struct Chilling<'d, E, N> {
    place: Place<'d>,
    schema: u32,
    number: N,
    writer: Option<(ColdId, ColdWriter<'d>)>,
    entries: Vec<Arc<Entry<E>>>,
}

/// A file that is whole and durable, and what lies where in it.
pub(crate) struct Chilled<E> {
    pub(crate) written: cold::Written,
    pub(crate) file: Arc<ColdFile>,
    /// The entries that were copied.
    pub(crate) entries: Vec<Arc<Entry<E>>>,
}

impl<'d, E, N: FnMut() -> ColdSeq> Chilling<'d, E, N> {
    pub(crate) fn new(place: Place<'d>, schema: u32, number: N) -> Self {
        Self { place, schema, number, writer: None, entries: Vec::new() }
    }

    /// Copies what was not used for long, until so many bytes of memory would be free. `goes_on` may end it early, with
    /// an error.
    pub(crate) fn spill<F: From<DiskError>>(
        &mut self,
        map: &Map<E>,
        hand: &mut Cursor,
        bytes: u64,
        mut goes_on: impl FnMut() -> Result<(), F>,
    ) -> Result<(), F>
    where
        E: serde::Serialize,
    {
        victims::pick(map, hand, bytes, |entry| {
            goes_on()?;
            // What does not encode, or is too long for a page, stays.
            let encoded = entry.entity().and_then(|entity| codec::encode(entity).ok());
            let Some(value) = encoded.filter(|value| cold::fits(entry.key(), value)) else { return Ok(false) };
            self.copy(entry, self.schema, &value)?;
            Ok::<_, F>(true)
        })?;
        Ok(())
    }

    /// Copies a value of any schema.
    pub(crate) fn copy(&mut self, entry: &Arc<Entry<E>>, schema: u32, value: &[u8]) -> Result<(), DiskError> {
        let (_, writer) = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(create(&self.place, self.schema, &mut self.number)?),
        };
        writer.push_as(schema, entry.key(), value)?;
        self.entries.push(Arc::clone(entry));
        Ok(())
    }

    /// How much was written, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |(_, writer)| writer.bytes())
    }

    /// Makes it durable; nothing, if nothing was copied.
    pub(crate) fn finish(self) -> Result<Option<Chilled<E>>, ColdError> {
        let Some((id, writer)) = self.writer else { return Ok(None) };
        let Place { disk, layout, .. } = self.place;
        let written = writer.finish()?;
        let file = ColdFile::open(disk, layout, id).inspect_err(|_| {
            // It is whole, and nobody will name it. If it stays an opening finds it.
            let _ = disk.remove(&layout.cold(id.shard, id.file));
        })?;
        Ok(Some(Chilled { written, file: Arc::new(file), entries: self.entries }))
    }
}

impl<E> Chilled<E> {
    /// What was copied, and where it lies.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Arc<Entry<E>>, Location)> {
        self.entries.iter().zip(self.written.locations())
    }
}

fn create<'d>(
    place: &Place<'d>,
    schema: u32,
    number: &mut impl FnMut() -> ColdSeq,
) -> Result<(ColdId, ColdWriter<'d>), DiskError> {
    loop {
        let id = ColdId { directory: place.directory, shard: place.shard, file: number() };
        match ColdWriter::create(place.disk, place.layout, id, schema) {
            // A left-over that could not be swept: its number is taken.
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {}
            created => return Ok((id, created?)),
        }
    }
}
