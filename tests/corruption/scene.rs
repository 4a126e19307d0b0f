//! What every test here needs: small logs on a simulated disk, their files, and ways to damage them.

use std::path::{Path, PathBuf};

use mainstay::sim::SimDisk;
use mainstay::{Options, Runtime, ShardId};

use crate::support::{Counters, small};

pub const DIR: &str = "/data";
pub const FRAME_HEADER: usize = 128;
pub const SEGMENT_HEADER: usize = 256;

pub fn options(shards: u32) -> Options {
    Options { shards: Some(shards), ..small(Path::new(DIR)) }
}

pub async fn open(sim: &SimDisk, shards: u32) -> Runtime<Counters> {
    Runtime::open_on(sim.clone(), Counters, options(shards)).await.unwrap()
}

/// What another process finds after this one was killed.
pub async fn killed(runtime: Runtime<Counters>, sim: &SimDisk) -> SimDisk {
    drop(runtime);
    sim.after_kill()
}

pub fn segment(shard: u32, number: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/shard-{shard}/wal-{number:016}.seg"))
}

/// Offsets and lengths of the frames in a segment.
pub fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut frames = Vec::new();
    let mut at = SEGMENT_HEADER;
    while bytes.get(at..at + 4) == Some(b"MSFR") {
        let payload = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
        let length = (FRAME_HEADER + payload).next_multiple_of(64);
        frames.push((at, length));
        at += length;
    }
    frames
}

pub fn zero(sim: &SimDisk, path: &Path, from: usize) {
    let length = sim.read(path).unwrap().len();
    sim.overwrite(path, from as u64, &vec![0; length - from]).unwrap();
}

pub fn flip(sim: &SimDisk, path: &Path, at: usize) {
    let byte = sim.read(path).unwrap()[at];
    sim.overwrite(path, at as u64, &[byte ^ (1 << (at % 8))]).unwrap();
}

pub fn refusal(runtime: &Runtime<Counters>) -> Option<(ShardId, String)> {
    runtime.recovery().refused().next().map(|(shard, error)| (shard, error.to_string()))
}
