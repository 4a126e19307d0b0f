//! fjall.

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::grouped::Groups;
use super::stripes::Stripes;
use crate::engine::{Client, Driven, Engine, Key, Pair, Policy, Settings, Value, incremented};

pub struct Fjall {
    db: Database,
    keyspace: Keyspace,
    stripes: Arc<Stripes>,
    policy: Policy,
}

pub struct FjallClient {
    db: Database,
    keyspace: Keyspace,
    stripes: Arc<Stripes>,
    policy: Policy,
}

impl Engine for Fjall {
    const NAME: &'static str = "fjall";
    const DRIVEN: Driven = Driven::Threads;
    const PACKAGE: Option<&'static str> = Some("fjall");
    type Client = FjallClient;
    const SYNCS_ITSELF: bool = false;

    fn settings(policy: Policy) -> Settings {
        match policy {
            Policy::Durable => {
                Settings::of("threads; a `SyncData` batch for every put, cache 1 GiB; adds: striped locks, get, put")
            }
            Policy::Buffered => Settings::of(
                "threads; `insert` or a batch, `persist(SyncData)` every second by the bench, cache 1 GiB, \
                 `expect_point_read_hits`, compacted after the load; adds: striped locks, get, put",
            ),
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let db = Database::builder(dir).cache_size(1 << 30).open().expect("a directory to open");
        let options = || KeyspaceCreateOptions::default().expect_point_read_hits(true);
        let keyspace = db.keyspace("values", options).expect("a keyspace");
        Self { db, keyspace, stripes: Arc::default(), policy }
    }

    fn client(&self) -> FjallClient {
        let stripes = Arc::clone(&self.stripes);
        FjallClient { db: self.db.clone(), keyspace: self.keyspace.clone(), stripes, policy: self.policy }
    }

    fn sync(&self) {
        self.db.persist(PersistMode::SyncData).expect("a disk that syncs");
    }

    async fn settle(&self) {
        self.keyspace.rotate_memtable_and_wait().expect("a flush");
        self.keyspace.major_compact().expect("a compaction");
    }
}

impl FjallClient {
    fn put_one(&self, key: &Key, value: &Value) {
        if self.policy == Policy::Buffered {
            self.keyspace.insert(key, value.as_slice()).expect("a write");
        } else {
            self.put_batch(&[(*key, *value)]);
        }
    }

    fn put_batch(&self, pairs: &[Pair]) {
        let mut batch = self.db.batch();
        if self.policy == Policy::Durable {
            batch = batch.durability(Some(PersistMode::SyncData));
        }
        for (key, value) in pairs {
            batch.insert(&self.keyspace, key, value.as_slice());
        }
        batch.commit().expect("a write");
    }
}

impl Client for FjallClient {
    async fn put(&mut self, pairs: &[Pair]) {
        match pairs {
            [(key, value)] => self.put_one(key, value),
            pairs => self.put_batch(pairs),
        }
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        self.keyspace.get(key).expect("a read").map(|value| value[50])
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let _locked = self.stripes.lock(key);
        let old = self.keyspace.get(key).expect("a read");
        let (value, sum) = incremented(old.as_deref());
        self.put_one(key, &value);
        sum
    }
}

impl Groups for Fjall {
    const GROUPED: &'static str = "fjall grouped";

    fn grouped_settings() -> Settings {
        Settings::of("tokio tasks; a thread of the bench makes one `SyncData` batch of what has queued up")
    }
}
