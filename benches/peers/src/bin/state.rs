//! What does a shard's map cost beside other maps? `cargo run --release --features state --bin state [entries]`
//!
//! Keys of 16 random bytes, values of 100, SipHash-1-3 for all, single-threaded, the allocator of
//! the system. Every cell is the median of three rounds; the structures take turns within a round,
//! each in a fresh process, so that none inherits another's heap. Memory is resident memory before
//! and after the inserts: it includes the headers and the rounding of the allocator.

use std::{
    env, fs,
    hash::{BuildHasherDefault, Hasher},
    hint::black_box,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use siphasher::sip::SipHasher13;

const ROUNDS: usize = 3;
const COLUMNS: [&str; 10] = [
    "insert, ns",
    "update, ns",
    "get, ns",
    "iterate, ns",
    "memory beyond key and value, B",
    "clone, ns",
    "update right after a clone, ns",
    "its p99, ns",
    "update, publishing each 64, ns",
    "drop all, ms",
];
const STRUCTURES: [(&str, Bench); 6] = [
    ("mainstay", run::<mainstay::state::map::Map<Value>>),
    ("imbl, values in an `Arc`", run::<imbl::GenericHashMap<Key, Arc<Value>, Sip, imbl::shared_ptr::DefaultSharedPtr>>),
    ("imbl", run::<imbl::GenericHashMap<Key, Value, Sip, imbl::shared_ptr::DefaultSharedPtr>>),
    ("rpds, values in an `Arc`", run::<rpds::HashTrieMapSync<Key, Arc<Value>, Sip>>),
    ("hashbrown, values in an `Arc`", run::<hashbrown::HashMap<Key, Arc<Value>, Sip>>),
    ("hashbrown", run::<hashbrown::HashMap<Key, Value, Sip>>),
];

/// Takes the number of entries; its cells are in the order of [`COLUMNS`].
type Bench = fn(usize) -> Vec<f64>;
type Key = [u8; 16];
type Value = [u8; 100];
type Sip = BuildHasherDefault<SipHasher13>;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let entries = args.first().map_or(1_000_000, |entries| entries.parse().expect("a number"));
    if let Some(index) = args.get(1) {
        let (_, run) = STRUCTURES[index.parse::<usize>().expect("an index")];
        println!("{}", run(entries).iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
        return;
    }
    let mut rounds = vec![Vec::new(); STRUCTURES.len()];
    for _ in 0..ROUNDS {
        for (index, rounds) in rounds.iter_mut().enumerate() {
            rounds.push(in_a_fresh_process(entries, index));
        }
    }
    println!("| {entries} entries | {} |", COLUMNS.join(" | "));
    println!("|---|{}", "---|".repeat(COLUMNS.len()));
    for ((name, _), rounds) in STRUCTURES.iter().zip(&rounds) {
        let cells = (0..COLUMNS.len()).map(|column| median(rounds, column));
        let cells: Vec<_> = cells.map(|cell| if cell.is_nan() { "–".into() } else { format!("{cell:.0}") }).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn in_a_fresh_process(entries: usize, index: usize) -> Vec<f64> {
    let mut child = Command::new(env::current_exe().expect("a path"));
    let output = child.args([entries.to_string(), index.to_string()]).output().expect("a child");
    assert!(output.status.success(), "{output:?}");
    let line = String::from_utf8(output.stdout).expect("text");
    line.split_whitespace().map(|cell| cell.parse().expect("a number")).collect()
}

fn median(rounds: &[Vec<f64>], column: usize) -> f64 {
    let mut cells: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
    cells.sort_by(f64::total_cmp);
    cells[cells.len() / 2]
}

/// A map under test. `snapshot` is `None` where a clone would copy everything.
trait Structure: Default {
    fn put(&mut self, key: &Key, value: Value);
    fn find(&self, key: &Key) -> Option<u8>;
    fn sum(&self) -> u64;
    fn snapshot(&self) -> Option<Self>;
}

/// All measurements of one structure.
fn run<S: Structure>(entries: usize) -> Vec<f64> {
    let mut random = Random(1);
    let keys: Vec<Key> = (0..entries).map(|_| random.key()).collect();
    let mut order: Vec<usize> = (0..entries).collect();
    for index in (1..entries).rev() {
        order.swap(index, random.below(index + 1));
    }
    let per_entry = |elapsed: Duration| elapsed.as_nanos() as f64 / entries as f64;

    let before = resident_bytes();
    let mut map = S::default();
    let insert = timed(|| keys.iter().for_each(|key| map.put(key, [1; 100])));
    let memory = (resident_bytes() - before) as f64 / entries as f64 - 116.0;
    let update = timed(|| order.iter().for_each(|index| map.put(&keys[*index], [2; 100])));
    let get = timed(|| {
        let found: usize = order.iter().filter_map(|index| map.find(&keys[*index])).map(usize::from).sum();
        assert_eq!(found, 2 * entries);
    });
    let iterate = timed(|| assert_ne!(black_box(map.sum()), 0));
    let mut cells = vec![per_entry(insert), per_entry(update), per_entry(get), per_entry(iterate), memory];
    cells.extend(persistence(&mut map, || keys[random.below(entries)]));
    cells.push(timed(|| drop(map)).as_secs_f64() * 1e3);
    cells
}

/// What sharing costs: a clone, the first update after one, and updates in small batches.
fn persistence<S: Structure>(map: &mut S, mut any_key: impl FnMut() -> Key) -> [f64; 4] {
    const CLONES: usize = 20_000;
    const BATCHES: usize = 5_000;
    if map.snapshot().is_none() {
        return [f64::NAN; 4];
    }
    let mut kept = Vec::with_capacity(CLONES);
    let clone = timed(|| kept.extend((0..CLONES).map(|_| map.snapshot()))).as_nanos() as f64 / CLONES as f64;
    drop(kept);
    let mut first: Vec<f64> = (0..CLONES)
        .map(|_| {
            let (key, old) = (any_key(), map.snapshot());
            let elapsed = timed(|| map.put(&key, [3; 100]));
            drop(old);
            elapsed.as_nanos() as f64
        })
        .collect();
    first.sort_by(f64::total_cmp);
    let keys: Vec<Key> = (0..BATCHES * 64).map(|_| any_key()).collect();
    let mut published = map.snapshot();
    let publishing = timed(|| {
        for batch in keys.chunks(64) {
            batch.iter().for_each(|key| map.put(key, [4; 100]));
            published = map.snapshot();
        }
    });
    drop(published);
    let average = first.iter().sum::<f64>() / CLONES as f64;
    [clone, average, first[CLONES * 99 / 100], publishing.as_nanos() as f64 / keys.len() as f64]
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

/// SplitMix64: the same keys in every process.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn key(&mut self) -> Key {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.next().to_le_bytes());
        key[8..].copy_from_slice(&self.next().to_le_bytes());
        key
    }
}

fn hash(key: &Key) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key);
    hasher.finish()
}

impl Structure for mainstay::state::map::Map<Value> {
    fn put(&mut self, key: &Key, value: Value) {
        let entry = mainstay::state::map::Entry::new(hash(key), key.as_slice().into(), value, 100);
        self.insert(Arc::new(entry));
    }
    fn find(&self, key: &Key) -> Option<u8> {
        self.get(hash(key), key).map(|value| value[0])
    }
    fn sum(&self) -> u64 {
        self.iter().map(|entry| u64::from(entry.key()[0]) + u64::from(entry.value()[0])).sum()
    }
    fn snapshot(&self) -> Option<Self> {
        Some(self.clone())
    }
}

macro_rules! peers {
    ($($peer:ty { put: $put:ident, $value:ident => $store:expr, snapshot: $map:ident => $snapshot:expr })*) => {$(
        impl Structure for $peer {
            fn put(&mut self, key: &Key, $value: Value) {
                self.$put(*key, $store);
            }
            fn find(&self, key: &Key) -> Option<u8> {
                self.get(key).map(|value| value[0])
            }
            fn sum(&self) -> u64 {
                self.iter().map(|(key, value)| u64::from(key[0]) + u64::from(value[0])).sum()
            }
            fn snapshot(&self) -> Option<Self> {
                let $map = self;
                $snapshot
            }
        }
    )*};
}

peers! {
    imbl::GenericHashMap<Key, Arc<Value>, Sip, imbl::shared_ptr::DefaultSharedPtr> {
        put: insert, value => Arc::new(value), snapshot: map => Some(map.clone())
    }
    imbl::GenericHashMap<Key, Value, Sip, imbl::shared_ptr::DefaultSharedPtr> {
        put: insert, value => value, snapshot: map => Some(map.clone())
    }
    rpds::HashTrieMapSync<Key, Arc<Value>, Sip> {
        put: insert_mut, value => Arc::new(value), snapshot: map => Some(map.clone())
    }
    hashbrown::HashMap<Key, Arc<Value>, Sip> {
        put: insert, value => Arc::new(value), snapshot: _map => None
    }
    hashbrown::HashMap<Key, Value, Sip> {
        put: insert, value => value, snapshot: _map => None
    }
}
