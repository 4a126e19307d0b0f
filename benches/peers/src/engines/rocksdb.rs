//! RocksDB, the C++ library as Debian packages it.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{DB, Options, WriteBatch, WriteOptions};

use super::grouped::Groups;
use super::stripes::Stripes;
use crate::engine::{Client, Driven, Engine, Key, Pair, Policy, Settings, incremented};

const CACHE_MEGABYTES: u64 = 1024;

pub struct RocksDb {
    db: Arc<DB>,
    stripes: Arc<Stripes>,
    policy: Policy,
}

pub struct RocksDbClient {
    db: Arc<DB>,
    stripes: Arc<Stripes>,
    options: WriteOptions,
}

impl Engine for RocksDb {
    const NAME: &'static str = "rocksdb";
    const DRIVEN: Driven = Driven::Threads;
    // Debian's version is the one that counts; the crate's is that of its binding.
    const PACKAGE: Option<&'static str> = Some("rocksdb");
    type Client = RocksDbClient;
    const SYNCS_ITSELF: bool = false;

    fn settings(policy: Policy) -> Settings {
        match policy {
            Policy::Durable => Settings::of(
                "Debian's library; threads; `sync = true` (it groups commits), `OptimizeForPointLookup(1 GiB)`; adds: \
                 striped locks, get, put",
            ),
            Policy::Buffered => Settings::of(
                "Debian's library; threads; `WriteBatch`, `sync = false`, `FlushWAL(sync)` every second by the bench; \
                 `OptimizeForPointLookup(1 GiB)`, compacted after the load, pinned gets; adds: striped locks, get, put",
            ),
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.increase_parallelism(2);
        // Bloom filters, a hash index in the blocks, a block cache that holds everything.
        options.optimize_for_point_lookup(CACHE_MEGABYTES);
        let db = DB::open(&options, dir).expect("a directory to open");
        Self { db: Arc::new(db), stripes: Arc::default(), policy }
    }

    fn client(&self) -> RocksDbClient {
        let mut options = WriteOptions::default();
        options.set_sync(self.policy == Policy::Durable);
        RocksDbClient { db: Arc::clone(&self.db), stripes: Arc::clone(&self.stripes), options }
    }

    fn sync(&self) {
        self.db.flush_wal(true).expect("a disk that syncs");
    }

    async fn settle(&self) {
        self.db.flush().expect("a disk that writes");
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
    }
}

impl Client for RocksDbClient {
    async fn put(&mut self, pairs: &[Pair]) {
        if let [(key, value)] = pairs {
            self.db.put_opt(key, value.as_slice(), &self.options).expect("a write");
            return;
        }
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value.as_slice());
        }
        self.db.write_opt(batch, &self.options).expect("a write");
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        self.db.get_pinned(key).expect("a read").map(|value| value[50])
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let _locked = self.stripes.lock(key);
        let old = self.db.get_pinned(key).expect("a read");
        let (value, sum) = incremented(old.as_deref());
        self.db.put_opt(key, value.as_slice(), &self.options).expect("a write");
        sum
    }
}

impl Groups for RocksDb {
    const GROUPED: &'static str = "rocksdb grouped";

    fn grouped_settings() -> Settings {
        Settings::of("tokio tasks; a thread of the bench makes one synced `WriteBatch` of what has queued up")
    }
}
