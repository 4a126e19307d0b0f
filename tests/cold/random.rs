//! Random things are done to a runtime with too little memory, and it shows what a map would.
//!
//! Seeds are printed. `COLD_RANDOM_SEED` tries one of them, `COLD_RANDOM_ROUNDS` so many, of `COLD_RANDOM_STEPS` each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Entity, Kv};
use mainstay::sim::SimDisk;
use mainstay::{
    LogError, Memory, NoSnapshot, OpenError, Options, Runtime, ShardId, SyncPolicy, VersionError, VersionId, View,
};

use crate::dice::Random;
use crate::disk::DIR;
use crate::state::cold;

const ROUNDS: u64 = 12;
const STEPS: u64 = 300;
const KEYS: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(60);

type Map = BTreeMap<String, Vec<u8>>;

/// A runtime, what it should show, and what it should show of the past.
struct Scene {
    random: Random,
    options: Options,
    disk: SimDisk,
    runtime: Runtime<Kv>,
    map: Map,
    versions: BTreeMap<VersionId, Map>,
    views: Vec<(View<Entity>, Map)>,
    done: BTreeMap<&'static str, usize>,
    cold_most: usize,
}

fn options(seed: u64) -> Options {
    let mut options = Options {
        shards: Some(1 + (seed % 2) as u32),
        sync: SyncPolicy::Never,
        segment_bytes: 64 << 10,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(320 << 10),
        // It reads everything that it overwrites.
        digest: seed.is_multiple_of(3),
        submit_deadline: PATIENCE,
        sync_deadline: PATIENCE,
        view_deadline: PATIENCE,
        ..Options::new(DIR)
    };
    options.versions.keep = 3;
    if seed.is_multiple_of(2) {
        // So slow that a great deal is written and spilled beside a snapshot. What is overwritten is never too much.
        (options.snapshots.bytes_per_second, options.snapshots.overlap_bytes) = (2 << 20, 4 << 20);
    }
    options
}

impl Scene {
    async fn open(seed: u64) -> Self {
        let (disk, options) = (SimDisk::new(seed), options(seed));
        let runtime = Runtime::open_on(disk.clone(), Kv, options.clone()).await.unwrap();
        let (map, versions, views, done) = (Map::new(), BTreeMap::new(), Vec::new(), BTreeMap::new());
        Self { random: Random(seed), options, disk, runtime, map, versions, views, done, cold_most: 0 }
    }

    fn key(&mut self) -> String {
        format!("key {:03}", self.random.below(KEYS))
    }

    fn bytes(&mut self, end: u64) -> Vec<u8> {
        let length = self.random.below(end) as usize;
        format!("{:016x}", self.random.below(u64::MAX)).into_bytes().into_iter().cycle().take(length).collect()
    }

    /// Some commands at a time, for different keys.
    async fn write(&mut self) {
        let mut commands = BTreeMap::new();
        for _ in 0..=self.random.below(30) {
            let key = self.key();
            let command = match self.random.below(10) {
                0 | 1 => Command::delete(key.clone()),
                2 | 3 => Command::Append { key: key.clone().into(), suffix: self.bytes(200).into() },
                _ => Command::set(key.clone(), self.bytes(3000)),
            };
            commands.insert(key, command);
        }
        let answers = self.runtime.submit_many(commands.values().cloned().collect()).await;
        for ((key, command), answer) in commands.into_iter().zip(answers) {
            answer.unwrap_or_else(|error| panic!("{key}: {error}: {:?}", self.runtime.stats()));
            match command {
                Command::Set { value, .. } => _ = self.map.insert(key, value.to_vec()),
                Command::Append { suffix, .. } => self.map.entry(key).or_default().extend_from_slice(&suffix),
                _ => _ = self.map.remove(&key),
            }
        }
    }

    async fn clear(&mut self) {
        let shard = ShardId(self.random.below(u64::from(self.runtime.shard_count())) as u32);
        self.runtime.submit_to(shard, Command::Clear).await.unwrap();
        let runtime = &self.runtime;
        self.map.retain(|key, _| runtime.shard_of(key.as_bytes()) != shard);
    }

    async fn snapshot(&mut self) {
        if self.options.snapshots.bytes_per_second > 0 {
            // Whatever becomes of it.
            let runtime = self.runtime.clone();
            tokio::spawn(async move { runtime.snapshot().await });
        } else if let Err(failed) = self.runtime.snapshot().await {
            // Nothing is overwritten beside it, and what is spilled it does not keep alive.
            assert_ne!(failed.why, NoSnapshot::Memory);
            *self.done.entry("no snapshot").or_default() += 1;
        }
    }

    async fn make_version(&mut self, rewrite: bool) {
        let made = if rewrite { self.runtime.rewrite().await } else { self.runtime.mark().await };
        match made {
            Ok(version) => _ = self.versions.insert(version.id, self.map.clone()),
            // What it keeps alive is too much, or somebody else was faster.
            Err(VersionError::Lapsed(_)) => *self.done.entry("lapsed").or_default() += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// One of the versions that are still there, if there is any.
    fn version(&mut self) -> Option<(VersionId, Map)> {
        let there: Vec<_> = self.runtime.versions().into_iter().map(|version| version.id).collect();
        self.versions.retain(|id, _| there.contains(id));
        let at = self.random.below(self.versions.len().max(1) as u64) as usize;
        self.versions.iter().nth(at).map(|(id, map)| (*id, map.clone()))
    }

    async fn look_at_version(&mut self) {
        let Some((version, map)) = self.version() else { return };
        match self.runtime.view_at(version).await {
            Ok(view) => check(&view, &map, KEYS).await,
            // Too much was logged since the snapshot.
            Err(OpenError::Shard { error: LogError::OutOfMemory { .. }, .. }) => {
                *self.done.entry("too much to look at").or_default() += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn roll_back(&mut self) {
        let Some((version, map)) = self.version() else { return };
        self.runtime.rollback(version).await.unwrap();
        self.map = map;
        self.check().await;
    }

    fn note_taken(&mut self) {
        let taken = self.runtime.stats().shards.iter().map(|shard| shard.snapshots).sum::<u64>();
        *self.done.entry("snapshots").or_default() += taken as usize;
    }

    async fn reopen(&mut self, orderly: bool) {
        self.note_taken();
        if orderly {
            self.runtime.shutdown().await.unwrap();
        }
        self.disk = self.disk.after_kill();
        self.runtime = Runtime::open_on(self.disk.clone(), Kv, self.options.clone()).await.unwrap();
        let refused: Vec<_> = self.runtime.recovery().refused().map(|(_, error)| error.to_string()).collect();
        assert_eq!(refused, [""; 0]);
        self.check().await;
    }

    async fn check(&mut self) {
        check(&self.runtime.view().await, &self.map, KEYS).await;
        self.cold_most = self.cold_most.max(cold(&self.runtime));
    }

    /// What a view shows does not change, whatever becomes of the files.
    async fn look_back(&mut self) {
        if self.views.len() == 3 {
            let (view, map) = self.views.remove(self.random.below(3) as usize);
            check(&view, &map, KEYS).await;
        }
        self.views.push((self.runtime.view().await, self.map.clone()));
    }

    async fn step(&mut self) {
        let what = match self.random.below(100) {
            0 => "clear",
            1..4 => "snapshot",
            4..7 => "mark",
            7..9 => "rewrite",
            9 => "roll back",
            10..12 => "look at a version",
            12 => "shut down",
            13 => "kill",
            14..20 => "look back",
            20..26 => "read",
            _ => "write",
        };
        *self.done.entry(what).or_default() += 1;
        match what {
            "clear" => self.clear().await,
            "snapshot" => self.snapshot().await,
            "mark" => self.make_version(false).await,
            "rewrite" => self.make_version(true).await,
            "roll back" => self.roll_back().await,
            "look at a version" => self.look_at_version().await,
            "shut down" => self.reopen(true).await,
            "kill" => self.reopen(false).await,
            "look back" => self.look_back().await,
            "read" => self.check().await,
            _ => self.write().await,
        }
    }
}

/// Every key has what it should have.
async fn check(view: &View<Entity>, map: &Map, keys: u64) {
    let keys: Vec<_> = (0..keys).map(|number| format!("key {number:03}")).collect();
    for (key, found) in keys.iter().zip(view.read_many(&keys).await) {
        let found = found.unwrap_or_else(|error| panic!("{key}: {error}")).map(|entity| entity.value().to_vec());
        let wanted = map.get(key);
        assert!(
            found.as_ref() == wanted,
            "{key} has {:?} bytes, not {:?}",
            found.map(|f| f.len()),
            wanted.map(Vec::len)
        );
    }
    let count: usize = view.shards().map(|shard| view.len(shard).unwrap()).sum();
    assert_eq!(count, map.len());
}

/// Guards F43 to F52.
#[test]
fn random_things_show_what_a_map_would() {
    let number = |name| std::env::var(name).ok().map(|number: String| number.parse::<u64>().unwrap());
    let steps = number("COLD_RANDOM_STEPS").unwrap_or(STEPS);
    let seeds = match number("COLD_RANDOM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("COLD_RANDOM_ROUNDS").unwrap_or(ROUNDS),
    };
    for seed in seeds {
        println!("COLD_RANDOM_SEED={seed}");
        let started = Instant::now();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let scene = runtime.block_on(async {
            let mut scene = Scene::open(seed).await;
            for _ in 0..steps {
                scene.step().await;
            }
            scene
        });
        println!("up to {} cold, {:?} in {:?}", scene.cold_most, scene.done, started.elapsed());
        assert!(scene.cold_most as u64 > KEYS / 3, "hardly anything was cold");
    }
}
