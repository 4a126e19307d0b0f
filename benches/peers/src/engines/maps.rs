//! Ceilings: maps in memory, without any log.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::engine::{Ability, Client, Driven, Engine, Key, Pair, Policy, Settings, Value, incremented};

const ABILITIES: &[Ability] = &[Ability::BufferedPuts, Ability::Gets, Ability::BufferedAdds];
const CAVEAT: &str = "nothing is written to a disk";

/// hashbrown behind a mutex.
pub struct Locked(Arc<Mutex<hashbrown::HashMap<Key, Value>>>);

/// dashmap.
pub struct Dash(Arc<dashmap::DashMap<Key, Value>>);

impl Engine for Locked {
    const NAME: &'static str = "ceiling: mutex over hashbrown";
    const DRIVEN: Driven = Driven::Threads;
    const ABILITIES: &'static [Ability] = ABILITIES;
    const PACKAGE: Option<&'static str> = Some("hashbrown");
    type Client = Arc<Mutex<hashbrown::HashMap<Key, Value>>>;

    fn settings(_: Policy) -> Settings {
        Settings::of("threads; `std::sync::Mutex`, hashbrown's default hasher").but(CAVEAT)
    }

    async fn open(_: &Path, _: Policy) -> Self {
        Self(Arc::default())
    }

    fn client(&self) -> Self::Client {
        Arc::clone(&self.0)
    }
}

impl Client for Arc<Mutex<hashbrown::HashMap<Key, Value>>> {
    async fn put(&mut self, pairs: &[Pair]) {
        let mut map = self.lock().expect("no panic");
        map.extend(pairs.iter().copied());
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        self.lock().expect("no panic").get(key).map(|value| value[50])
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let mut map = self.lock().expect("no panic");
        let (value, sum) = incremented(map.get(key).map(|value| value.as_slice()));
        map.insert(*key, value);
        sum
    }
}

impl Engine for Dash {
    const NAME: &'static str = "ceiling: dashmap";
    const DRIVEN: Driven = Driven::Threads;
    const ABILITIES: &'static [Ability] = ABILITIES;
    const PACKAGE: Option<&'static str> = Some("dashmap");
    type Client = Arc<dashmap::DashMap<Key, Value>>;

    fn settings(_: Policy) -> Settings {
        Settings::of("threads; the default hasher and shards").but(CAVEAT)
    }

    async fn open(_: &Path, _: Policy) -> Self {
        Self(Arc::default())
    }

    fn client(&self) -> Self::Client {
        Arc::clone(&self.0)
    }
}

impl Client for Arc<dashmap::DashMap<Key, Value>> {
    async fn put(&mut self, pairs: &[Pair]) {
        for (key, value) in pairs {
            self.insert(*key, *value);
        }
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        dashmap::DashMap::get(self, key).map(|value| value[50])
    }

    async fn add(&mut self, key: &Key) -> u64 {
        let mut entry = self.entry(*key).or_insert_with(|| Value::new([0; 100]));
        let (value, sum) = incremented(Some(entry.as_slice()));
        *entry = value;
        sum
    }
}
