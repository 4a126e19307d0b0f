//! okaywal: a log with a sync that is shared by the threads that wait for one.

use std::path::Path;

use okaywal::{Configuration, LogVoid, WriteAheadLog};

use crate::engine::{Ability, Client, Driven, Engine, Pair, Policy, Settings};

pub struct Okaywal {
    log: WriteAheadLog,
}

impl Engine for Okaywal {
    const NAME: &'static str = "okaywal";
    const DRIVEN: Driven = Driven::Threads;
    const ABILITIES: &'static [Ability] = &[Ability::DurablePuts];
    const PACKAGE: Option<&'static str> = Some("okaywal");
    type Client = WriteAheadLog;

    fn settings(_: Policy) -> Settings {
        Settings::of("threads; segments of 16 MiB, checkpoints after 12 MiB that keep nothing")
            .but("a log without a state")
    }

    async fn open(dir: &Path, _: Policy) -> Self {
        let configuration =
            Configuration::default_for(dir).preallocate_bytes(16 << 20).checkpoint_after_bytes(12 << 20);
        Self { log: configuration.open(LogVoid).expect("a directory to open") }
    }

    fn client(&self) -> WriteAheadLog {
        self.log.clone()
    }

    async fn close(self) {
        self.log.shutdown().expect("an orderly end");
    }
}

impl Client for WriteAheadLog {
    async fn put(&mut self, pairs: &[Pair]) {
        let mut entry = self.begin_entry().expect("an entry");
        for (key, value) in pairs {
            let mut chunk = [0; 116];
            chunk[..16].copy_from_slice(key);
            chunk[16..].copy_from_slice(value.as_slice());
            entry.write_chunk(&chunk).expect("a write");
        }
        entry.commit().expect("a commit");
    }
}
