//! Ceiling: a bare log on a zero-filled file. One client writes and syncs at a time; behind `Grouped` it is the
//! hand-written group commit: no state, no limits, no recovery.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::grouped::Groups;
use crate::engine::{Ability, Client, Driven, Engine, Pair, Policy, Settings};

const FILE_BYTES: u64 = 64 << 20;

pub struct Wal {
    log: Arc<Mutex<Log>>,
}

pub struct Log {
    file: File,
    offset: u64,
    frame: Vec<u8>,
    syncs: bool,
}

impl Engine for Wal {
    const NAME: &'static str = "ceiling: bare log";
    const DRIVEN: Driven = Driven::Threads;
    const ABILITIES: &'static [Ability] = &[Ability::DurablePuts];
    const PACKAGE: Option<&'static str> = None;
    type Client = Arc<Mutex<Log>>;

    fn settings(_: Policy) -> Settings {
        Settings::of("threads; a mutex, `pwrite` into a file of zeroes, `fdatasync`").but("a log without a state")
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let mut file = File::create(dir.join("log")).expect("a file");
        for _ in 0..FILE_BYTES >> 20 {
            file.write_all(&[0; 1 << 20]).expect("space on the disk");
        }
        file.sync_all().expect("a disk that syncs");
        let log = Log { file, offset: 0, frame: Vec::new(), syncs: policy == Policy::Durable };
        Self { log: Arc::new(Mutex::new(log)) }
    }

    fn client(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }
}

impl Client for Arc<Mutex<Log>> {
    async fn put(&mut self, pairs: &[Pair]) {
        self.lock().expect("no panic").append(pairs);
    }
}

impl Log {
    fn append(&mut self, pairs: &[Pair]) {
        self.frame.clear();
        for (key, value) in pairs {
            self.frame.extend_from_slice(key);
            self.frame.extend_from_slice(value.as_slice());
        }
        let length = self.frame.len() as u64;
        if self.offset + length > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.frame, self.offset).expect("a disk that writes");
        self.offset += length;
        if self.syncs {
            self.file.sync_data().expect("a disk that syncs");
        }
    }
}

impl Groups for Wal {
    const GROUPED: &'static str = "ceiling: group commit";

    fn grouped_settings() -> Settings {
        Settings::of(
            "tokio tasks, flume, one thread: `pwrite` what has queued up into a file of zeroes, `fdatasync`, \
                      oneshots",
        )
        .but("a log without a state")
    }
}
