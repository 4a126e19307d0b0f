//! redb.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::grouped::Groups;
use crate::engine::{Client, Driven, Engine, Key, Pair, Policy, Settings, incremented};

const TABLE: TableDefinition<&Key, &[u8; 100]> = TableDefinition::new("values");
const GETS_A_REQUEST: u32 = 64;

pub struct Redb {
    db: Arc<Database>,
    policy: Policy,
}

pub struct RedbClient {
    db: Arc<Database>,
    durability: Durability,
    /// The table of the running request, and how many gets it still serves.
    reading: Option<(ReadOnlyTable<&'static Key, &'static [u8; 100]>, u32)>,
}

impl Engine for Redb {
    const NAME: &'static str = "redb";
    const DRIVEN: Driven = Driven::Threads;
    const PACKAGE: Option<&'static str> = Some("redb");
    type Client = RedbClient;
    const SYNCS_ITSELF: bool = false;

    fn settings(policy: Policy) -> Settings {
        match policy {
            Policy::Durable => Settings::of("threads; `Durability::Immediate`, one transaction a put, cache 4 GiB"),
            Policy::Buffered => Settings::of(
                "threads; `Durability::None`, a synced commit every second by the bench, one transaction a batch; \
                 cache 4 GiB, one read transaction for up to 64 gets, and a new one after the client's own put",
            )
            .but("what was not synced is lost with the process too, not only in a power cut"),
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let db = Database::builder().set_cache_size(4 << 30).create(dir.join("redb")).expect("a file to open");
        let db = Arc::new(db);
        let transaction = db.begin_write().expect("a transaction");
        transaction.open_table(TABLE).expect("a table");
        transaction.commit().expect("a commit");
        Self { db, policy }
    }

    fn client(&self) -> RedbClient {
        let durability = match self.policy {
            Policy::Durable => Durability::Immediate,
            Policy::Buffered => Durability::None,
        };
        RedbClient { db: Arc::clone(&self.db), durability, reading: None }
    }

    fn sync(&self) {
        self.db.begin_write().expect("a transaction").commit().expect("a commit");
    }
}

impl RedbClient {
    fn begin(&mut self) -> WriteTransaction {
        self.reading = None;
        let mut transaction = self.db.begin_write().expect("a transaction");
        transaction.set_durability(self.durability).expect("a database of one process");
        transaction
    }
}

impl Client for RedbClient {
    async fn put(&mut self, pairs: &[Pair]) {
        let transaction = self.begin();
        let mut table = transaction.open_table(TABLE).expect("a table");
        for (key, value) in pairs {
            table.insert(key, &**value).expect("a write");
        }
        drop(table);
        transaction.commit().expect("a commit");
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        let (table, left) = match self.reading.take() {
            Some((table, left)) if left > 0 => (table, left),
            _ => {
                let transaction = self.db.begin_read().expect("a transaction");
                (transaction.open_table(TABLE).expect("a table"), GETS_A_REQUEST)
            }
        };
        let found = table.get(key).expect("a read").map(|value| value.value()[50]);
        self.reading = Some((table, left - 1));
        found
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let transaction = self.begin();
        let mut table = transaction.open_table(TABLE).expect("a table");
        let (value, sum) =
            incremented(table.get(key).expect("a read").map(|old| *old.value()).as_ref().map(|old| &old[..]));
        table.insert(key, &*value).expect("a write");
        drop(table);
        transaction.commit().expect("a commit");
        sum
    }
}

impl Groups for Redb {
    const GROUPED: &'static str = "redb grouped";

    fn grouped_settings() -> Settings {
        Settings::of("tokio tasks; a thread of the bench makes one `Immediate` transaction of what has queued up")
    }
}
