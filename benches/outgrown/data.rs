//! What is written, and which of it was acknowledged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use mainstay::{Memory, Options, SyncPolicy};

/// So many keys are written together, and have the same version.
pub const CHUNK: u64 = 64;
const SHARDS: u32 = 4;
/// Number and version, at the beginning of a value.
const HEADER_BYTES: usize = 16;

/// What is measured.
#[derive(Clone, Copy)]
pub struct Case {
    pub entries: u64,
    pub value_bytes: usize,
    /// `None`: no limit.
    pub memory: Option<u64>,
}

impl Case {
    pub fn parse(arguments: &[String]) -> Self {
        let number = |at: usize| arguments[at].parse::<u64>().unwrap();
        Self {
            entries: number(0),
            value_bytes: number(1) as usize,
            memory: Some(number(2)).filter(|memory| *memory > 0),
        }
    }

    pub fn arguments(self) -> [String; 3] {
        [self.entries, self.value_bytes as u64, self.memory.unwrap_or(0)].map(|number| number.to_string())
    }

    pub fn options(self, dir: &Path) -> Options {
        Options {
            shards: Some(SHARDS),
            sync: SyncPolicy::Interval(Duration::from_secs(1)),
            memory: self.memory.map_or(Memory::Unlimited, Memory::Bytes),
            ..Options::new(dir)
        }
    }

    /// Has the machine room for it without a limit?
    pub fn fits(self) -> bool {
        let machine = fs::read_to_string("/proc/meminfo").unwrap();
        let available = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
        let available: u64 = available.trim().trim_end_matches(" kB").parse().unwrap();
        self.entries * (self.value_bytes as u64 + 200) * 3 / 2 < available * 1024
    }

    pub fn chunk(self, chunk: u64) -> std::ops::Range<u64> {
        chunk * CHUNK..((chunk + 1) * CHUNK).min(self.entries)
    }

    /// The value of a key after so many writes.
    pub fn value(self, number: u64, version: u64) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.value_bytes.max(HEADER_BYTES) + 8);
        value.extend_from_slice(&number.to_le_bytes());
        value.extend_from_slice(&version.to_le_bytes());
        let mut word = (number ^ version << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        while value.len() < self.value_bytes {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            value.extend_from_slice(&word.to_le_bytes());
        }
        value.truncate(self.value_bytes.max(HEADER_BYTES));
        value
    }

    /// The version of a value, if it is one of this key.
    pub fn version(self, number: u64, value: &[u8]) -> Option<u64> {
        let version = u64::from_le_bytes(value.get(8..HEADER_BYTES)?.try_into().unwrap());
        (value == self.value(number, version)).then_some(version)
    }
}

pub fn key(number: u64) -> String {
    format!("{number:016x}")
}

pub fn number(key: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(key).ok()?, 16).ok()
}

/// The version of each chunk that was acknowledged last; 0: none was.
pub struct Ledger(pub Vec<u64>);

impl Ledger {
    pub fn new(entries: u64) -> Self {
        Self(vec![0; entries.div_ceil(CHUNK) as usize])
    }

    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        Self(bytes.chunks_exact(8).map(|version| u64::from_le_bytes(version.try_into().unwrap())).collect())
    }

    pub fn write(&self, path: &Path) {
        let bytes: Vec<_> = self.0.iter().flat_map(|version| version.to_le_bytes()).collect();
        fs::write(path, bytes).unwrap();
    }
}

/// What a directory takes of the disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        // It was removed meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}
