//! sled, the released version.

use std::path::Path;

use sled::{Batch, Config, Db, IVec};

use crate::engine::{Client, Driven, Engine, Key, Pair, Policy, Settings, incremented};

const UNSYNCED: &str = "`flush` is `sync_file_range`, which a power cut may undo";

pub struct Sled {
    db: Db,
    policy: Policy,
}

pub struct SledClient {
    db: Db,
    policy: Policy,
}

impl Engine for Sled {
    const NAME: &'static str = "sled";
    const DRIVEN: Driven = Driven::Threads;
    const PACKAGE: Option<&'static str> = Some("sled");
    type Client = SledClient;

    fn settings(policy: Policy) -> Settings {
        match policy {
            Policy::Durable => Settings::of("threads; `flush` after every put, cache 4 GiB").but(UNSYNCED),
            Policy::Buffered => {
                Settings::of("threads; `flush_every_ms(1000)`, `Batch`, cache 4 GiB; adds: `update_and_fetch`")
                    .but("what was not flushed may be lost with the process too")
            }
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let every = (policy == Policy::Buffered).then_some(1_000);
        let config = Config::default().path(dir).cache_capacity(4 << 30).flush_every_ms(every);
        Self { db: config.open().expect("a directory to open"), policy }
    }

    fn client(&self) -> SledClient {
        SledClient { db: self.db.clone(), policy: self.policy }
    }
}

impl SledClient {
    fn flush(&self) {
        if self.policy == Policy::Durable {
            self.db.flush().expect("a disk that syncs");
        }
    }
}

impl Client for SledClient {
    async fn put(&mut self, pairs: &[Pair]) {
        if let [(key, value)] = pairs {
            self.db.insert(key, value.as_slice()).expect("a write");
        } else {
            let mut batch = Batch::default();
            for (key, value) in pairs {
                batch.insert(&key[..], value.as_slice());
            }
            self.db.apply_batch(batch).expect("a write");
        }
        self.flush();
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        self.db.get(key).expect("a read").map(|value| value[50])
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let mut sum = 0;
        let update = |old: Option<&[u8]>| {
            let (value, new) = incremented(old);
            sum = new;
            Some(IVec::from(value.as_slice()))
        };
        self.db.update_and_fetch(key, update).expect("a write");
        self.flush();
        sum
    }
}
