//! LMDB, by way of heed.

use std::path::Path;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, RoTxn, WithoutTls};

use super::grouped::Groups;
use crate::engine::{Client, Driven, Engine, Key, Pair, Policy, Settings, incremented};

const MAP_BYTES: usize = 32 << 30;
const GETS_A_REQUEST: u32 = 64;

pub struct Lmdb {
    env: Env<WithoutTls>,
    table: Database<Bytes, Bytes>,
}

pub struct LmdbClient {
    env: Env<WithoutTls>,
    table: Database<Bytes, Bytes>,
    /// The transaction of the running request, and how many gets it still serves.
    reading: Option<(RoTxn<'static, WithoutTls>, u32)>,
}

impl Engine for Lmdb {
    const NAME: &'static str = "lmdb";
    const DRIVEN: Driven = Driven::Threads;
    const PACKAGE: Option<&'static str> = Some("heed");
    type Client = LmdbClient;
    const SYNCS_ITSELF: bool = false;

    fn settings(policy: Policy) -> Settings {
        match policy {
            Policy::Durable => Settings::of("threads; default flags, one transaction a put"),
            Policy::Buffered => Settings::of(
                "threads; `WRITEMAP`, `NOSYNC`, `mdb_env_sync` every second by the bench, one transaction a batch; one \
                 read transaction for up to 64 gets, and a new one after the client's own put",
            )
            .but("a power cut between two syncs may damage the whole file"),
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES).max_readers(1024);
        // SAFETY: nobody else opens the file, and what NO_SYNC may lose is lost only in a power cut.
        let env = unsafe {
            if policy == Policy::Buffered {
                options.flags(EnvFlags::WRITE_MAP | EnvFlags::NO_SYNC);
            }
            options.open(dir).expect("a directory to open")
        };
        let mut transaction = env.write_txn().expect("a transaction");
        let table = env.create_database(&mut transaction, None).expect("a table");
        transaction.commit().expect("a commit");
        Self { env, table }
    }

    fn client(&self) -> LmdbClient {
        LmdbClient { env: self.env.clone(), table: self.table, reading: None }
    }

    fn sync(&self) {
        self.env.force_sync().expect("a disk that syncs");
    }

    async fn close(self) {
        self.env.prepare_for_closing().wait();
    }
}

impl Client for LmdbClient {
    async fn put(&mut self, pairs: &[Pair]) {
        self.reading = None;
        let mut transaction = self.env.write_txn().expect("a transaction");
        for (key, value) in pairs {
            self.table.put(&mut transaction, key, value.as_slice()).expect("a write");
        }
        transaction.commit().expect("a commit");
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        let (transaction, left) = match self.reading.take() {
            Some((transaction, left)) if left > 0 => (transaction, left),
            _ => (self.env.clone().static_read_txn().expect("a transaction"), GETS_A_REQUEST),
        };
        let found = self.table.get(&transaction, key).expect("a read").map(|value| value[50]);
        self.reading = Some((transaction, left - 1));
        found
    }

    async fn add(&mut self, key: &Key) -> u64 {
        self.reading = None;
        let mut transaction = self.env.write_txn().expect("a transaction");
        let (value, sum) = incremented(self.table.get(&transaction, key).expect("a read"));
        self.table.put(&mut transaction, key, value.as_slice()).expect("a write");
        transaction.commit().expect("a commit");
        sum
    }
}

impl Groups for Lmdb {
    const GROUPED: &'static str = "lmdb grouped";

    fn grouped_settings() -> Settings {
        Settings::of("tokio tasks; a thread of the bench makes one transaction of what has queued up; default flags")
    }
}
