//! Counters through one rewrite: 300 increments before it, 200 while it runs, and `kill -9` at a known place or at a
//! random moment. What is found is exactly what was acknowledged, and so is what the version holds.
//!
//! A child process (this very test, started with a directory) does one such run and says what it was told. The rate of
//! the rewrite's snapshots is so low that they are still written when the last increment is acknowledged. The seed of
//! the random moments is printed; `COMPOSED_KILL_SEED` repeats them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mainstay::{Epoch, Lsn, Options, Position, Runtime, ShardId, SyncPolicy, Version, View};

use super::disk::manifest_on_disk;
use super::kills::{POLICIES, command, seed};
use super::random::Random;
use crate::support::{Counters, Entity, directory, small};

mod child;

const SHARDS: u32 = 5;
const KEYS_A_SHARD: usize = 2;
/// Increments of each of the ten keys: before the rewrite, around its cut, and certainly behind that.
const BEFORE: usize = 30;
const AROUND: usize = 10;
const BEHIND: usize = 10;
const ALL: usize = BEFORE + AROUND + BEHIND;
const KEYS: usize = SHARDS as usize * KEYS_A_SHARD;
/// A snapshot waits behind its first 256 bytes: for minutes, for two seconds, or not at all.
const NEVER_DONE: u64 = 1;
const SLOW: u64 = 128;
const FAST: u64 = 0;
const RANDOM_ROUNDS: u64 = 12;
const RATE: &str = "MAINSTAY_COMPOSED_KILL_RATE";

fn options(dir: &Path, policy: SyncPolicy, rate: u64) -> Options {
    let mut options = Options { shards: Some(SHARDS), sync: policy, ..small(dir) };
    // All of them have to have begun.
    (options.snapshots.bytes_per_second, options.snapshots.at_once) = (rate, 8);
    options
}

/// When the child is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    BeforeTheRewrite,
    WhileItRuns,
    WhenItWasTold,
    /// Behind so many increments and so many microseconds.
    Random(usize, u64),
}

/// What the child has said.
#[derive(Default)]
struct Heard {
    /// By key: where its increments were acknowledged, in order.
    sums: BTreeMap<String, Vec<(ShardId, Position)>>,
    version: Option<u64>,
    /// Everything was acknowledged; and was the rewrite running still?
    all: Option<bool>,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#sum", key, sum, shard, epoch, lsn] => {
                let position = Position { epoch: Epoch(epoch.parse().unwrap()), lsn: Lsn(lsn.parse().unwrap()) };
                let sums = self.sums.entry(key.to_owned()).or_default();
                sums.push((ShardId(shard.parse().unwrap()), position));
                assert_eq!(sum.parse(), Ok(sums.len()), "{key}: an increment was applied twice, or not");
            }
            ["#version", version] => self.version = Some(version.parse().unwrap()),
            ["#all", running] => self.all = Some(running == "running"),
            ["#failed", ..] => panic!("{line}"),
            _ => {}
        }
    }

    fn count(&self) -> usize {
        self.sums.values().map(Vec::len).sum()
    }

    /// Increments of a key that belong to the version.
    fn within(&self, key: &str, version: &Version) -> usize {
        let is_in = |(shard, position): &&(ShardId, Position)| *position < version.ends[shard.0 as usize];
        self.sums[key].iter().filter(is_in).count()
    }
}

/// Lets a child work until the moment, and kills it.
fn let_it_work(dir: &Path, policy: &str, moment: Moment) -> Heard {
    let rate = match moment {
        Moment::WhileItRuns => NEVER_DONE,
        // The version comes between the increments.
        Moment::Random(count, _) if count % 2 == 0 => FAST,
        _ => SLOW,
    };
    let mut child = command("composed::child::child", dir, policy)
        .env(RATE, rate.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut heard) = (child.stdin.take().unwrap(), Heard::default());
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        heard.hear(&line);
        let is_now = match moment {
            Moment::BeforeTheRewrite => line == "#before",
            Moment::WhileItRuns => heard.all.is_some(),
            Moment::WhenItWasTold => heard.all.is_some() && heard.version.is_some(),
            Moment::Random(count, _) => heard.count() >= count,
        };
        if is_now && !killed {
            if let Moment::Random(_, nap) = moment {
                std::thread::sleep(Duration::from_micros(nap));
            }
            child.kill().unwrap();
            killed = true;
        } else if line == "#before" && !killed {
            told.write_all(b"go on\n").unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it has ended by itself");
    heard
}

/// Everything that is there.
fn sums(view: &View<Entity>) -> BTreeMap<String, usize> {
    let shards = view.shards();
    let entries = shards.flat_map(|shard| view.iter(shard).unwrap().collect::<Vec<_>>());
    entries.map(|(key, entity)| (String::from_utf8(key.to_vec()).unwrap(), entity.sum as usize)).collect()
}

/// Kills a child, opens what it has left and goes back to the version, if there is one.
async fn round(name: &str, policy: SyncPolicy, moment: Moment) -> Heard {
    let (dir, what) = (directory(), format!("{name}, {moment:?}"));
    let heard = let_it_work(dir.path(), name, moment);
    let unfinished = child::snapshots(dir.path());
    let runtime = Runtime::open(Counters, options(dir.path(), policy, 0)).await.unwrap();
    assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None, "{what}");
    let found = sums(&runtime.view().await);
    let versions = runtime.versions();
    let is_random = matches!(moment, Moment::Random(..));
    assert!(heard.sums.keys().all(|key| found.contains_key(key)), "{what}: {found:?}");
    for (key, sum) in &found {
        let told = heard.sums.get(key).map_or(0, Vec::len);
        // Of each key one was on its way at a random moment, and none at the others.
        let most = told + usize::from(is_random && told < ALL);
        assert!((told..=most).contains(sum), "{what}: {key} is {sum}, not {told}");
    }
    match moment {
        Moment::BeforeTheRewrite => assert_eq!((heard.count(), versions.len()), (KEYS * BEFORE, 0), "{what}"),
        Moment::WhileItRuns => {
            assert_eq!((heard.count(), versions.len()), (KEYS * ALL, 0), "{what}");
            assert_eq!((heard.all, unfinished), (Some(true), SHARDS as usize), "{what}: it has not run");
        }
        Moment::WhenItWasTold => {
            assert_eq!((heard.count(), versions.len()), (KEYS * ALL, 1), "{what}");
            assert_eq!(heard.version, Some(versions[0].id.0), "{what}");
        }
        Moment::Random(..) => {
            assert!(versions.len() <= 1, "{what}");
            assert!(heard.version.is_none() || heard.version == versions.first().map(|told| told.id.0), "{what}");
        }
    }
    if let [version] = &versions[..] {
        go_back(&runtime, version, &heard, &found, &what).await;
    }
    let last = sums(&runtime.view().await);
    runtime.shutdown().await.unwrap();
    // The spare that somebody was making when it ended is swept by the next opening.
    let runtime = Runtime::open(Counters, options(dir.path(), policy, 0)).await.unwrap();
    assert_eq!(runtime.recovery().refused().map(|(_, why)| why.to_string()).next(), None, "{what}");
    assert_eq!(sums(&runtime.view().await), last, "{what}");
    runtime.shutdown().await.unwrap();
    let manifest = manifest_on_disk(dir.path());
    assert_eq!(manifest.orphans(), [""; 0], "{what}");
    assert_eq!(manifest.incomplete(), [""; 0], "{what}");
    heard
}

/// The version holds what was acknowledged before its cut, and going back to it leaves that.
async fn go_back(
    runtime: &Runtime<Counters>,
    version: &Version,
    heard: &Heard,
    found: &BTreeMap<String, usize>,
    what: &str,
) {
    let at = sums(&runtime.view_at(version.id).await.unwrap());
    for (key, told) in &heard.sums {
        let within = heard.within(key, version);
        // One that was never acknowledged may be the last one in it.
        let expected = if within == told.len() && found[key] > within { within..=within + 1 } else { within..=within };
        assert!(expected.contains(&at[key]), "{what}: {key} is {} in the version, not {within}", at[key]);
        assert!((BEFORE..=BEFORE + AROUND).contains(&at[key]), "{what}: {key} is {} in the version", at[key]);
    }
    runtime.rollback(version.id).await.unwrap();
    assert_eq!(sums(&runtime.view().await), at, "{what}");
}

/// Guards F16, F18, F36, F38, F41: 300 and 200 are 500.
#[tokio::test]
async fn killed_at_known_places_the_counters_are_exact() {
    let mut running = 0;
    for moment in [Moment::BeforeTheRewrite, Moment::WhileItRuns, Moment::WhenItWasTold] {
        for (name, policy) in POLICIES {
            let heard = round(name, policy, moment).await;
            let shards: BTreeSet<_> = heard.sums.values().flatten().map(|(shard, _)| *shard).collect();
            assert_eq!((heard.sums.len(), shards.len()), (KEYS, SHARDS as usize));
            running += usize::from(moment == Moment::WhenItWasTold && heard.all == Some(true));
        }
    }
    assert!(running > 0, "no rewrite that ended was running when the last increment was acknowledged");
}

/// The same at any moment: what is found is what was acknowledged, and what was on its way.
#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_missing() {
    let seed = seed("COMPOSED_KILL_SEED");
    let mut random = Random(seed);
    let (mut acknowledged, mut told) = (0, 0);
    for number in 0..RANDOM_ROUNDS {
        let (name, policy) = POLICIES[number as usize % POLICIES.len()];
        // Mostly while it is rewritten.
        let count = if number % 4 == 0 { random.below(300) } else { 300 + random.below(200) };
        let moment = Moment::Random(count as usize + 1, random.below(4_000));
        let heard = round(name, policy, moment).await;
        acknowledged += heard.count();
        told += u64::from(heard.version.is_some());
    }
    println!("{RANDOM_ROUNDS} kills, {acknowledged} increments acknowledged, {told} versions told");
}
