//! Logs at rest: read without a runtime, as often as one likes, and sealed again around what was changed in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay::model::{Epoch, Lsn, Manifest, Tail};
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::storage::chain::{self, Link};
use mainstay::storage::disk::Disk;
use mainstay::storage::frame::FrameHeader;
use mainstay::storage::layout::Layout;
use mainstay::storage::manifest_log;
use mainstay::storage::recovery::{Recovered, Wanted, recover};
use mainstay::storage::segment::{HeaderState, SegmentHeader};
use mainstay::{LogError, Options, Runtime, ShardId, SyncPolicy};

use crate::scene::{DIR, FRAME_HEADER, SEGMENT_HEADER, flip, options, segment};
use crate::support::{Command, Counters};

const SHARD: ShardId = ShardId(0);
const ALL: Wanted = Wanted { from: Lsn::FIRST, known_end: None };

/// A directory of one shard that nobody has open.
pub struct Rest {
    pub sim: SimDisk,
    pub manifest: Manifest,
}

/// What recovery reads.
#[derive(PartialEq)]
pub struct Log {
    pub recovered: Recovered,
    pub commands: Vec<(Epoch, Vec<u8>)>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.recovered)
    }
}

impl Rest {
    pub fn new(sim: SimDisk) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let manifest = manifest_log::open(&disk, &Layout::new(Path::new(DIR))).unwrap().manifest;
        Self { sim, manifest }
    }

    pub fn read(&self) -> Result<Log, LogError> {
        let mut commands = Vec::new();
        let recovered =
            recover(&self.sim, &Layout::new(Path::new(DIR)), &self.manifest, SHARD, ALL, &mut |epoch, batch| {
                commands.extend(batch.commands().map(|command| (epoch, command.to_vec())));
                Ok(())
            })?;
        Ok(Log { recovered, commands })
    }

    /// What is read with one bit of that byte flipped.
    pub fn read_flipped(&self, path: &Path, at: usize) -> Result<Log, LogError> {
        flip(&self.sim, path, at);
        let read = self.read();
        flip(&self.sim, path, at);
        read
    }

    /// What is read with other bytes in place of that file's.
    pub fn read_with(&self, path: &Path, bytes: &[u8]) -> Result<Log, LogError> {
        let before = self.sim.read(path);
        self.sim.put(path, bytes);
        let read = self.read();
        match before {
            Some(before) => self.sim.put(path, &before),
            None => self.sim.erase(path).unwrap(),
        }
        read
    }

    /// The files of the log, oldest first.
    pub fn chain(&self) -> Vec<Link> {
        chain::find(&self.sim, &Layout::new(Path::new(DIR)), &self.manifest, SHARD).unwrap()
    }

    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.sim.read(path).unwrap()
    }

    /// Where the manifest says that a file ends.
    pub fn sealed(&self, link: &Link) -> Option<Tail> {
        self.manifest.shards[0].segments[&link.header.segment].valid_to
    }
}

/// Offsets and headers of the frames in a segment.
pub fn headers(bytes: &[u8]) -> Vec<(usize, FrameHeader)> {
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER;
    while let Some(header) = bytes.get(at..).and_then(FrameHeader::decode) {
        found.push((at, header));
        at += header.bytes() as usize;
    }
    found
}

/// Makes tag and hash of a frame right again, as a faulty writer would. The payload is as long as the header says, or
/// as there are bytes.
pub fn reseal(bytes: &mut [u8], at: usize) {
    let salt: [u8; 32] = bytes[120..152].try_into().unwrap();
    let payload = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
    let payload_end = (at + FRAME_HEADER).saturating_add(payload).min(bytes.len());
    let tag = keyed(&salt, &[&bytes[at..at + 48], &bytes[at + 64..at + 96]]);
    bytes[at + 48..at + 64].copy_from_slice(&tag[..16]);
    let hash = keyed(&salt, &[&bytes[at..at + 96], &bytes[at + FRAME_HEADER..payload_end]]);
    bytes[at + 96..at + 128].copy_from_slice(&hash);
}

fn keyed(salt: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(salt);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Makes the hash of a segment's header right again.
pub fn reseal_header(bytes: &mut [u8]) {
    let hash = blake3::hash(&bytes[..224]);
    bytes[224..256].copy_from_slice(hash.as_bytes());
}

/// A command that takes so many bytes and some.
pub fn put(number: u64, bytes: usize) -> Command {
    Command::Put(number.to_le_bytes().to_vec(), vec![number as u8; bytes])
}

pub fn small_segments(sync: SyncPolicy) -> Options {
    Options { segment_bytes: 4096, command_bytes_max: Options::command_bytes_for(4096), sync, ..options(1) }
}

/// Three lives under `Always`, each command a frame of its own: rolls, a move after a failed sync, an end that was not
/// in good order or was. `look` sees the disk after every command, with how many there are.
pub async fn history(closed: bool, mut look: impl FnMut(SimDisk, usize)) -> Rest {
    let mut sim = SimDisk::new(11);
    let mut commands = 0;
    for life in [12, 17, 7] {
        let runtime = Runtime::open_on(sim.clone(), Counters, small_segments(SyncPolicy::Always)).await.unwrap();
        for n in 0..life {
            if life == 17 && n >= 7 && runtime.stats().shards[0].moves == 0 {
                fail_next_sync(&sim);
            }
            runtime.submit(put(commands as u64, 500)).await.unwrap();
            commands += 1;
            look(sim.after_kill(), commands);
        }
        if closed && life == 7 {
            runtime.shutdown().await.unwrap();
        }
        sim = sim.after_kill();
        drop(runtime);
    }
    Rest::new(sim)
}

/// The next sync of the file that is written fails: its frames move.
fn fail_next_sync(sim: &SimDisk) {
    let mut active: Option<PathBuf> = None;
    for number in 1..100 {
        let bytes = sim.read(segment(0, number)).unwrap_or_default();
        let header = bytes.get(..SEGMENT_HEADER).map(SegmentHeader::decode);
        if matches!(header, Some(HeaderState::Valid(..))) {
            active = Some(segment(0, number));
        }
    }
    sim.fail_when(move |call| {
        let hit = call.operation == Operation::Sync && active.as_ref() == Some(&call.path);
        hit.then(|| active = None).map(|()| FaultKind::ErrorOnce)
    });
}
