//! The manifest on disk: `CURRENT` names a generation; a generation is a state and the edits since.
//!
//! # Format
//! Text, so that a torn write and a damaged byte can be told apart: nothing valid contains a zero byte, and the file
//! is zero-filled ahead. A line is `KIND:NUMBER:PAYLOAD:HASH` and a newline:
//!
//! - `mainstay-manifest-2:GENERATION:STATE:HASH`, the first line: STATE is a [`Manifest`];
//! - `edit:SEQUENCE:EDITS:HASH`, from 1 on: EDITS is a list of [`Edit`]s that count all or not at all.
//!
//! Numbers are 16 hexadecimal digits; payloads are hexadecimal [codec](super::codec) bytes. HASH is BLAKE3 of the hash
//! of the line before (of nothing for the first) and of the line up to the colon in front of HASH, so that a duplicate,
//! a gap, an exchanged or a foreign line never verifies. `CURRENT` is one such line:
//! `mainstay-current-1:GENERATION::HASH`.
//!
//! # Recovery
//! A line without its newline at the end of the file is an edit whose write was cut short: it was never answered and
//! does not count. A line that ends but does not verify, or anything behind a cut one, is damage: refused, nothing is
//! touched. An older generation is never fallen back to; it is kept for repair by hand.

mod looking;

use std::io;
use std::path::Path;

pub use looking::{Look, look, read};

use super::bytes::{put, trim_zeroes};
use super::codec;
use super::disk::{Disk, DiskFile};
use super::error::{DiskError, IoContext, ManifestError};
use super::layout::{Generation, Layout, parse_manifest, parse_segment};
use super::line::{self, Found, Line};
use crate::model::{Edit, Manifest, ShardId};
use crate::sync::Arc;

/// Free space behind every generation for edits, zero-filled when it is made. More from 2048 shards on.
pub const EDITS_BYTES: u64 = 2 * 1024 * 1024;
/// The most that one edit has to say about a shard, a rewrite's.
const SHARD_EDIT_BYTES: u64 = 512;
/// A new generation is due when edits have used this much; as much again is left for when making one fails.
pub const COMPACT_BYTES: u64 = 1024 * 1024;

/// Nothing longer is read as a manifest.
const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;

const STATE: &str = "mainstay-manifest-2";
const EDIT: &str = "edit";
const CURRENT: &str = "mainstay-current-1";

/// An open manifest, and where its next edit goes.
#[derive(Debug)]
pub struct ManifestLog {
    disk: Arc<dyn Disk>,
    layout: Layout,
    file: Box<dyn DiskFile>,
    generation: Generation,
    newest: Generation,
    sequence: u64,
    offset: u64,
    edits_from: u64,
    size: u64,
    hash: [u8; 32],
}

/// What [`open`] found.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: ManifestLog,
    /// The state with all edits applied.
    pub manifest: Manifest,
    /// The last edit was cut short: the next one must go to a new generation.
    pub torn: bool,
}

/// How far a failed change of generation got.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The old generation is certainly still the current one.
    #[error("the manifest's generation was not changed: {0}")]
    Unchanged(#[source] DiskError),
    /// After a crash either may be the current one.
    #[error("it is not known which manifest generation counts: {0}")]
    Unknown(#[source] DiskError),
}

/// Is there a manifest? `false` also for a directory in which making one was cut short.
///
/// # Errors
/// There is data, but nothing that says which of it counts.
pub fn exists(disk: &dyn Disk, layout: &Layout) -> Result<bool, ManifestError> {
    let names = disk.list(layout.root()).context("list", layout.root())?;
    if names.iter().any(|name| name == "CURRENT") {
        return Ok(true);
    }
    let missing = || ManifestError::CurrentMissing { path: layout.current() };
    if names.iter().filter_map(|name| parse_manifest(name)).any(|generation| generation > 1) {
        return Err(missing());
    }
    for shard in names.iter().filter_map(|name| name.strip_prefix("shard-")?.parse().ok()) {
        let dir = layout.shard(ShardId(shard));
        if disk.list(&dir).context("list", &dir)?.iter().any(|name| parse_segment(name).is_some()) {
            return Err(missing());
        }
    }
    Ok(false)
}

/// Makes the first generation of a new directory, and the shards' directories.
///
/// # Errors
/// A call failed. Trying again is safe.
pub fn create(disk: &Arc<dyn Disk>, layout: &Layout, manifest: &Manifest) -> Result<ManifestLog, ManifestError> {
    for shard in 0..manifest.shards.len() as u32 {
        let dir = layout.shard(ShardId(shard));
        disk.create_dir(&dir).context("create", &dir)?;
    }
    remove_if_there(disk.as_ref(), &layout.manifest(1))?;
    let log = write_generation(disk, layout, 1, manifest)?;
    swap_current(disk.as_ref(), layout, 1).map_err(GenerationError::into_disk)?;
    Ok(log)
}

/// Reads `CURRENT` and its generation.
///
/// # Errors
/// [`ManifestError`]; nothing was touched.
pub fn open(disk: &Arc<dyn Disk>, layout: &Layout) -> Result<Opened, ManifestError> {
    // Whoever swapped CURRENT last may have been killed, or told of an error, before the swap was durable.
    disk.sync_dir(layout.root()).context("sync", layout.root())?;
    let generation = read_current(disk.as_ref(), layout)?;
    let path = layout.manifest(generation);
    let file = match disk.open_for_write(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ManifestError::GenerationMissing { path });
        }
        other => other.context("open", &path)?,
    };
    // What is read must be on the disk, not only in memory: the next edit follows it. An edit whose sync has failed
    // earlier may be in clean pages, which no sync writes.
    file.sync().context("sync", &path)?;
    file.drop_cache().context("drop the cache of", &path)?;
    let (replay, size) = Replay::whole(file.as_ref(), generation, &path)?;
    let log = ManifestLog {
        disk: Arc::clone(disk),
        layout: layout.clone(),
        file,
        generation,
        newest: newest_generation(disk.as_ref(), layout)?.max(generation),
        sequence: replay.sequence,
        offset: replay.at as u64,
        edits_from: replay.edits_from as u64,
        size,
        hash: replay.hash,
    };
    Ok(Opened { log, manifest: replay.manifest, torn: replay.torn })
}

/// A generation read line by line.
struct Replay {
    manifest: Manifest,
    sequence: u64,
    edits_from: usize,
    at: usize,
    hash: [u8; 32],
    torn: bool,
}

impl Replay {
    /// Reads a generation to its end. Returns its length, too.
    fn whole(file: &dyn DiskFile, generation: Generation, path: &Path) -> Result<(Self, u64), ManifestError> {
        let bytes = read_all(file, path)?;
        let content = trim_zeroes(&bytes);
        let mut replay = Self::start(content, generation, path)?;
        // It had this length before CURRENT named it; where edits were cut off nothing says that there were any.
        if (bytes.len() as u64) < replay.edits_from as u64 + room(&replay.manifest) {
            return Err(damaged(path, bytes.len(), "the file is shorter than it was made"));
        }
        while replay.edit(content, path)? {}
        Ok((replay, bytes.len() as u64))
    }

    fn start(content: &[u8], generation: Generation, path: &Path) -> Result<Self, ManifestError> {
        let first = read_line(content, 0, &[], STATE, path)?;
        if first.0.number != generation {
            return Err(damaged(path, 0, "this is not the generation that CURRENT names"));
        }
        let manifest = codec::decode(&first.0.payload).map_err(|error| damaged(path, 0, &error.to_string()))?;
        let (line, at) = first;
        Ok(Self { manifest, sequence: 0, edits_from: at, at, hash: line.hash, torn: false })
    }

    /// Applies the next line; `false` at the end.
    fn edit(&mut self, content: &[u8], path: &Path) -> Result<bool, ManifestError> {
        let found = line::find(content, self.at);
        let line = match found {
            Found::End => return Ok(false),
            Found::Line => read_line(content, self.at, &self.hash, EDIT, path),
            Found::Torn => {
                self.torn = true;
                read_line(content, self.at, &self.hash, EDIT, path)
            }
        };
        let (line, next) = match line {
            // Only its newline is missing: every byte of the edit is there, so it may as well count.
            Err(_) if found == Found::Torn => return Ok(false),
            other => other?,
        };
        let fault = |reason: &str| damaged(path, self.at, reason);
        if line.number != self.sequence + 1 {
            return Err(fault("this is not the next edit"));
        }
        let edits: Vec<Edit> = codec::decode(&line.payload).map_err(|error| fault(&error.to_string()))?;
        for edit in &edits {
            self.manifest.apply(edit).map_err(|declined| fault(&declined.to_string()))?;
        }
        (self.at, self.hash, self.sequence) = (next, line.hash, line.number);
        Ok(found == Found::Line)
    }
}

impl ManifestLog {
    /// Appends edits and syncs: when it returns `Ok` they are durable.
    ///
    /// # Errors
    /// It is not known whether the edits will be there after a crash; nothing may be appended to this generation again.
    pub fn append(&mut self, edits: &[Edit]) -> Result<(), DiskError> {
        let path = self.layout.manifest(self.generation);
        let payload = codec::encode(&edits).map_err(io::Error::other).context("encode an edit for", &path)?;
        let (line, hash) = line::encode(EDIT, self.sequence + 1, &payload, &self.hash);
        let end = self.offset + line.len() as u64;
        if end > self.size {
            let full = io::Error::new(io::ErrorKind::StorageFull, "no room for another edit");
            return Err(full).context("append to", &path);
        }
        self.file.write_all_at(&line, self.offset).context("append to", &path)?;
        self.file.sync().context("sync", &path)?;
        (self.offset, self.hash) = (end, hash);
        self.sequence += 1;
        Ok(())
    }

    /// Is a new generation due?
    #[must_use]
    pub fn wants_generation(&self) -> bool {
        self.offset - self.edits_from > COMPACT_BYTES
    }

    /// Writes `manifest` as a new generation and makes it the current one: durable when it returns `Ok`. Generations
    /// other than this and the one before are removed.
    ///
    /// # Errors
    /// Whether the old one still counts: [`GenerationError`].
    pub fn change_generation(&mut self, manifest: &Manifest) -> Result<(), GenerationError> {
        let (before, generation) = (self.generation, self.newest + 1);
        self.newest = generation;
        let fresh =
            write_generation(&self.disk, &self.layout, generation, manifest).map_err(GenerationError::Unchanged)?;
        swap_current(self.disk.as_ref(), &self.layout, generation)?;
        *self = fresh;
        // A leftover costs space, never truth; the next change tries again.
        for old in generations(self.disk.as_ref(), &self.layout).unwrap_or_default() {
            if old != before && old != generation {
                let _ = self.disk.remove(&self.layout.manifest(old));
            }
        }
        Ok(())
    }
}

impl GenerationError {
    fn into_disk(self) -> DiskError {
        match self {
            Self::Unchanged(error) | Self::Unknown(error) => error,
        }
    }
}

/// Space for edits: when a new generation is due, one about every shard still fits.
fn room(manifest: &Manifest) -> u64 {
    EDITS_BYTES.max(COMPACT_BYTES + manifest.shards.len() as u64 * SHARD_EDIT_BYTES)
}

fn write_generation(
    disk: &Arc<dyn Disk>,
    layout: &Layout,
    generation: Generation,
    manifest: &Manifest,
) -> Result<ManifestLog, DiskError> {
    let path = layout.manifest(generation);
    let state = codec::encode(manifest).map_err(io::Error::other).context("encode the state for", &path)?;
    let (line, hash) = line::encode(STATE, generation, &state, &[]);
    let offset = line.len() as u64;
    let mut bytes = vec![0; line.len() + room(manifest) as usize];
    put(&mut bytes, 0, &line);
    let file = disk.create(&path).context("create", &path)?;
    file.write_all_at(&bytes, 0).context("write", &path)?;
    file.sync().context("sync", &path)?;
    disk.sync_dir(layout.root()).context("sync", layout.root())?;
    Ok(ManifestLog {
        disk: Arc::clone(disk),
        layout: layout.clone(),
        file,
        generation,
        newest: generation,
        sequence: 0,
        offset,
        edits_from: offset,
        size: bytes.len() as u64,
        hash,
    })
}

/// Makes `generation` the current one. Until the rename the old one is; after the directory's sync the new one is.
fn swap_current(disk: &dyn Disk, layout: &Layout, generation: Generation) -> Result<(), GenerationError> {
    let (temporary, current) = (layout.current_temporary(), layout.current());
    let prepare = || {
        remove_if_there(disk, &temporary)?;
        let file = disk.create(&temporary).context("create", &temporary)?;
        let (line, _) = line::encode(CURRENT, generation, &[], &[]);
        file.write_all_at(&line, 0).context("write", &temporary)?;
        file.sync().context("sync", &temporary)
    };
    prepare().map_err(GenerationError::Unchanged)?;
    disk.rename(&temporary, &current)
        .context("rename to", &current)
        .and_then(|()| disk.sync_dir(layout.root()).context("sync", layout.root()))
        .map_err(GenerationError::Unknown)
}

fn read_current(disk: &dyn Disk, layout: &Layout) -> Result<Generation, ManifestError> {
    let path = layout.current();
    let file = disk.open(&path).context("open", &path)?;
    let bytes = read_all(file.as_ref(), &path)?;
    let (line, next) = read_line(&bytes, 0, &[], CURRENT, &path)?;
    if next != bytes.len() || !line.payload.is_empty() {
        return Err(damaged(&path, next, "something follows the line"));
    }
    Ok(line.number)
}

/// Reads a line of the expected kind. Its version is looked at before anything else is believed.
fn read_line(
    content: &[u8],
    at: usize,
    previous: &[u8],
    kind: &str,
    path: &Path,
) -> Result<(Line, usize), ManifestError> {
    let version = |kind: &str| {
        let (name, version) = kind.rsplit_once('-')?;
        Some((name.to_owned(), version.parse::<u32>().ok()?))
    };
    let found = line::peek_kind(content, at).and_then(version);
    if let (Some((name, supported)), Some((found_name, found))) = (version(kind), found)
        && name == found_name
        && found != supported
        && found > 0
    {
        let path = path.to_owned();
        if found < supported {
            return Err(ManifestError::OlderFormat { path, found, supported });
        }
        return Err(ManifestError::NewerFormat { path, found, supported });
    }
    let (line, next) = line::read(content, at, previous).map_err(|reason| damaged(path, at, reason))?;
    if line.kind == kind { Ok((line, next)) } else { Err(damaged(path, at, "it is another kind of line")) }
}

fn damaged(path: &Path, offset: usize, reason: &str) -> ManifestError {
    ManifestError::Damaged { path: path.to_owned(), offset: offset as u64, reason: reason.to_owned() }
}

fn read_all(file: &dyn DiskFile, path: &Path) -> Result<Vec<u8>, ManifestError> {
    let size = file.size().context("measure", path)?;
    if size > FILE_BYTES_MAX {
        return Err(damaged(path, 0, "the file is too large to be a manifest"));
    }
    let mut bytes = vec![0; size as usize];
    let read = file.read_at(&mut bytes, 0).context("read", path)?;
    bytes.truncate(read);
    Ok(bytes)
}

fn generations(disk: &dyn Disk, layout: &Layout) -> Result<Vec<Generation>, DiskError> {
    let names = disk.list(layout.root()).context("list", layout.root())?;
    Ok(names.iter().filter_map(|name| parse_manifest(name)).collect())
}

fn newest_generation(disk: &dyn Disk, layout: &Layout) -> Result<Generation, DiskError> {
    Ok(generations(disk, layout)?.into_iter().max().unwrap_or(0))
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.context("remove", path),
    }
}
