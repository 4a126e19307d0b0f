//! Money moves between accounts of different shards while versions are made: no version may know of an arrival without
//! the departure that was acknowledged before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mainstay::storage::layout::Layout;
use mainstay::storage::{manifest_log, recovery, snapshot};
use mainstay::{Options, Position, Runtime, ShardId, SyncPolicy, Version, VersionError};

use super::complete;
use crate::support::{Command, Counters, Entity, add, directory, small};

const SHARDS: u32 = 4;
const ACCOUNTS: u64 = 24;
const START: i64 = 1_000;
const MOVERS: u64 = 12;
const CUTS: usize = 200;
/// One of so many cuts is a rewrite.
const REWRITES: usize = 20;

/// A departure and what follows it: submitted only when the departure was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    from: (ShardId, Position),
    to: Option<(ShardId, Position)>,
}

#[derive(Clone, Default)]
struct Books {
    transfers: Arc<Mutex<BTreeMap<u64, Transfer>>>,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

fn account(number: u64) -> String {
    format!("account {number}")
}

/// Moves one unit at a time until it is told to stop. A shard that is held makes it wait, and nothing else.
async fn keep_moving(runtime: Runtime<Counters>, books: Books, seed: u64) {
    let mut random = super::random::Random(seed);
    while !books.stop.load(Ordering::SeqCst) {
        let from = random.below(ACCOUNTS);
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let departed = runtime.submit(add(&account(from), -1)).await.unwrap();
        let transfer = Transfer { from: (departed.shard, departed.position), to: None };
        let id = books.next.fetch_add(1, Ordering::SeqCst);
        books.transfers.lock().unwrap().insert(id, transfer);
        let arrived = runtime.submit(add(&account(to), 1)).await.unwrap();
        let arrival = Some((arrived.shard, arrived.position));
        books.transfers.lock().unwrap().insert(id, Transfer { to: arrival, ..transfer });
    }
}

/// Is it part of the version?
fn is_in(version: &Version, (shard, position): (ShardId, Position)) -> bool {
    position < version.ends[shard.0 as usize]
}

/// What is on its way in the version: departed, and not arrived. Panics at an arrival without departure.
fn on_the_way(version: &Version, transfers: &BTreeMap<u64, Transfer>) -> i64 {
    let mut count = 0;
    for (id, transfer) in transfers {
        let arrived = transfer.to.is_some_and(|to| is_in(version, to));
        let departed = is_in(version, transfer.from);
        assert!(departed || !arrived, "{}: transfer {id} has arrived and not departed: {transfer:?}", version.id);
        count += i64::from(departed && !arrived);
    }
    count
}

/// Every account of a retained version, from its snapshot and the log behind that.
fn sum_at(dir: &std::path::Path, version: &Version) -> i64 {
    let disk: Arc<dyn mainstay::storage::disk::Disk> = Arc::new(mainstay::storage::disk::StandardDisk);
    let layout = Layout::new(dir);
    let manifest = manifest_log::open(&disk, &layout).unwrap().manifest;
    assert_eq!(complete::check(disk.as_ref(), &layout, &manifest), [""; 0]);
    let mut sums: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
    for (shard, end) in (0..).map(ShardId).zip(&version.ends) {
        let record = manifest.shard(shard).unwrap();
        let below = record.snapshots.iter().filter(|(_, snapshot)| snapshot.end.lsn <= end.lsn);
        let base = below.max_by_key(|(_, snapshot)| snapshot.end.lsn);
        let mut from = mainstay::Lsn::FIRST;
        if let Some((number, record)) = base {
            from = record.end.lsn;
            let expected = snapshot::Expected::recorded(manifest.directory, shard, *number, record);
            let path = layout.snapshot(shard, *number);
            snapshot::read(disk.as_ref(), &path, &expected, &mut |_, key, value| {
                let snapshot::Value::Here(value) = value else { unreachable!("all of it is in memory") };
                let entity: Entity = mainstay::codec::decode(value)?;
                assert_eq!(sums.insert(key.to_vec(), entity.sum), None);
                Ok(())
            })
            .unwrap();
        }
        let wanted = recovery::Wanted { from, known_end: None };
        recovery::recover(disk.as_ref(), &layout, &manifest, shard, wanted, &mut |_, batch| {
            for (at, bytes) in (0..).zip(batch.commands()) {
                let lsn = batch.first.plus(at);
                if let Command::Add(key, add) = mainstay::codec::decode(bytes).unwrap()
                    && (from..end.lsn).contains(&lsn)
                {
                    *sums.entry(key).or_default() += add;
                }
            }
            Ok(())
        })
        .unwrap();
    }
    sums.values().sum()
}

async fn cut_while_money_moves(policy: SyncPolicy, cuts: usize, seed: u64) {
    println!("{policy:?}, seed {seed}");
    let dir = directory();
    let mut options = Options { shards: Some(SHARDS), sync: policy, ..small(dir.path()) };
    options.segment_bytes = 64 * 1024;
    options.versions.keep = 5;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let mut used = BTreeSet::new();
    for number in 0..ACCOUNTS {
        used.insert(runtime.submit(add(&account(number), START)).await.unwrap().shard);
    }
    assert!(used.len() > 1, "all accounts are in one shard");
    let books = Books::default();
    let movers: Vec<_> =
        (0..MOVERS).map(|mover| tokio::spawn(keep_moving(runtime.clone(), books.clone(), seed + mover))).collect();
    let (mut versions, mut lapsed, mut holds) = (Vec::new(), 0, Vec::new());
    let started = Instant::now();
    while versions.len() < cuts {
        assert!(started.elapsed() < Duration::from_secs(120), "{} cuts", versions.len());
        let rewrite = versions.len() % REWRITES == REWRITES - 1;
        let made = if rewrite { runtime.rewrite().await } else { runtime.mark().await };
        match made {
            Ok(version) => versions.push(version),
            // On a busy machine somebody may not get a turn within the time that a shard may hold.
            Err(VersionError::Lapsed(_) | VersionError::Deadline) => lapsed += 1,
            Err(error) => panic!("{error}"),
        }
        holds.extend(runtime.stats().shards.iter().map(|shard| shard.last_hold));
    }
    books.stop.store(true, Ordering::SeqCst);
    for mover in movers {
        mover.await.unwrap();
    }
    let retained = runtime.versions();
    let longest = runtime.stats().shards.iter().map(|shard| shard.longest_hold).max().unwrap();
    runtime.shutdown().await.unwrap();

    let transfers = books.transfers.lock().unwrap().clone();
    let ways: Vec<_> = versions.iter().map(|version| on_the_way(version, &transfers)).collect();
    let caught = ways.iter().filter(|way| **way > 0).count();
    for version in &retained {
        let sum = sum_at(dir.path(), version);
        assert_eq!(sum, START * ACCOUNTS as i64 - on_the_way(version, &transfers), "{}", version.id);
    }
    holds.sort();
    println!(
        "{} cuts in {:?}, {lapsed} lapsed, {} transfers, {caught} cuts with some on their way; held {:?} in the \
         median, {longest:?} at most",
        versions.len(),
        started.elapsed(),
        transfers.len(),
        holds[holds.len() / 2],
    );
    assert!(transfers.len() > cuts && caught * 4 > cuts, "nothing went on during the cuts");
    assert!(versions.windows(2).all(|pair| pair[0].ends.iter().zip(&pair[1].ends).all(|(a, b)| a <= b)));
    assert_eq!(retained.len(), 5);
    assert_eq!(retained[..], versions[versions.len() - 5..]);
}

/// Guards F38, F42: in the order of acknowledgements a version is one instant, and its state is exactly that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_write_straddles_a_cut() {
    cut_while_money_moves(SyncPolicy::Always, CUTS, 11).await;
}

/// The same where acknowledgements come before the sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_write_straddles_a_cut_under_an_interval() {
    cut_while_money_moves(SyncPolicy::Interval(Duration::from_millis(5)), CUTS / 2, 12).await;
    cut_while_money_moves(SyncPolicy::Never, CUTS / 2, 13).await;
}
