//! `kill -9` while counters are written, versions marked and shards rewritten: what was acknowledged is there, once.
//!
//! A child process (this very test, started with a directory) writes and prints every acknowledged sum; the parent
//! kills it at a random moment. The seed is printed; `REWRITE_KILL_SEED` repeats the same choices,
//! `REWRITE_KILL_ROUNDS` makes it run longer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay::{Options, Runtime, SyncPolicy, VersionError};

use super::disk::manifest_on_disk;
use super::random::Random;
use crate::support::{Counters, add, directory, small};

const ROUNDS: u64 = 24;
/// Then a new directory and the next policy.
const ROUNDS_A_DIRECTORY: u64 = 6;
const COUNTERS: u64 = 8;
const DIR: &str = "MAINSTAY_REWRITE_KILL_DIR";
const POLICY: &str = "MAINSTAY_REWRITE_KILL_POLICY";
pub const POLICIES: [(&str, SyncPolicy); 3] = [
    ("always", SyncPolicy::Always),
    ("interval", SyncPolicy::Interval(Duration::from_millis(3))),
    ("never", SyncPolicy::Never),
];

fn options(dir: &Path, policy: SyncPolicy) -> Options {
    let mut options = Options { shards: Some(2), sync: policy, ..small(dir) };
    (options.versions.keep, options.snapshots.commands) = (2, 300);
    options
}

/// That of the environment, or another one each time. It is printed.
pub fn seed(name: &str) -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number(name).unwrap_or(clock.as_nanos() as u64);
    println!("{name}={seed}");
    seed
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// This very test as another process, which works in the directory.
pub fn command(test: &str, dir: &Path, policy: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir).env(POLICY, policy).stdout(Stdio::piped());
    command
}

/// What a child was started with. Nothing, if this process is no child.
pub fn told() -> Option<(PathBuf, SyncPolicy)> {
    let (dir, policy) = (std::env::var(DIR).ok()?, std::env::var(POLICY).ok()?);
    let (_, policy) = POLICIES.into_iter().find(|(name, _)| *name == policy).unwrap();
    Some((dir.into(), policy))
}

/// A line of its own, whatever the test's harness prints.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n#{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// The child: works until it is killed. Nothing, if this process is no child.
#[test]
fn child() {
    let Some((dir, policy)) = told() else { return };
    let work = async {
        let runtime = Runtime::open(Counters, options(&dir, policy)).await.unwrap();
        assert_eq!(runtime.recovery().refused().count(), 0);
        let rewriter = runtime.clone();
        tokio::spawn(async move {
            for turn in 0_u64.. {
                say("begun");
                let made = if turn % 3 == 0 { rewriter.mark().await } else { rewriter.rewrite().await };
                match made {
                    Ok(version) => say(&format!("version {}", version.id.0)),
                    Err(VersionError::Lapsed(_) | VersionError::Deadline) => say("lapsed"),
                    Err(error) => say(&format!("failed {error}")),
                }
            }
        });
        let counters = (0..COUNTERS).map(|counter| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                loop {
                    match runtime.submit(add(&format!("counter {counter}"), 1)).await {
                        Ok(receipt) => say(&format!("sum {counter} {}", receipt.reply)),
                        Err(error) => return say(&format!("failed {error}")),
                    }
                }
            })
        });
        for counter in counters.collect::<Vec<_>>() {
            counter.await.unwrap();
        }
    };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}

/// What the children have said.
#[derive(Default)]
struct Heard {
    sums: BTreeMap<u64, i64>,
    version: u64,
}

/// What all children have come to.
#[derive(Debug, Default)]
struct Counts {
    versions: u64,
    /// Versions during which something was submitted and acknowledged; and all that was acknowledged during any.
    straddled: u64,
    straddling: u64,
    /// Children that were killed while a version was made, and something had been acknowledged meanwhile.
    killed_within: u64,
    compared: u64,
}

/// Acknowledged since a version was begun; `None` while none is made.
type Since = Option<u64>;

impl Heard {
    fn hear(&mut self, line: &str, since: &mut Since, counts: &mut Counts) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#sum", counter, sum] => {
                self.sums.insert(counter.parse().unwrap(), sum.parse().unwrap());
                *since = since.map(|count| count + 1);
            }
            ["#begun"] => *since = Some(0),
            ["#lapsed"] => *since = None,
            ["#version", version] => {
                self.version = version.parse().unwrap();
                let straddling = since.take().unwrap();
                counts.versions += 1;
                // By then one counter was acknowledged twice: the second one was submitted meanwhile.
                counts.straddled += u64::from(straddling > COUNTERS);
                counts.straddling += straddling;
            }
            ["#failed", ..] => panic!("{line}"),
            _ => {}
        }
    }
}

/// Lets a child work, and kills it after so many acknowledgements and a moment.
fn let_it_work(dir: &Path, policy: &str, random: &mut Random, heard: &mut Heard, counts: &mut Counts) {
    let mut child = command("kills::child", dir, policy).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut left = 50 + random.below(1_200);
    let nap = Duration::from_micros(random.below(4_000));
    let (mut since, mut killed) = (None, false);
    for line in lines {
        let line = line.unwrap();
        heard.hear(&line, &mut since, counts);
        left = left.saturating_sub(u64::from(line.starts_with("#sum")));
        if left == 0 && !killed {
            // Where in a rewrite that is nobody knows.
            std::thread::sleep(nap);
            child.kill().unwrap();
            killed = true;
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it has ended by itself");
    counts.killed_within += u64::from(since.is_some_and(|count| count > 0));
}

/// Guards F16, F18, F36, F38, F41: nothing is lost, applied twice, or left behind.
#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_during_rewrites() {
    let rounds = number("REWRITE_KILL_ROUNDS").unwrap_or(ROUNDS);
    let (mut random, started) = (Random(seed("REWRITE_KILL_SEED")), Instant::now());
    let (mut heard, mut dir, mut counts) = (Heard::default(), directory(), Counts::default());
    for round in 0..rounds {
        if round % ROUNDS_A_DIRECTORY == 0 {
            (dir, heard) = (directory(), Heard::default());
        }
        let (name, policy) = POLICIES[(round / ROUNDS_A_DIRECTORY) as usize % POLICIES.len()];
        let_it_work(dir.path(), name, &mut random, &mut heard, &mut counts);
        // As often as not the next child finds what this one has left.
        if random.below(2) == 0 && round % ROUNDS_A_DIRECTORY != ROUNDS_A_DIRECTORY - 1 {
            continue;
        }
        let runtime = Runtime::open(Counters, options(dir.path(), policy)).await.unwrap();
        let refused: Vec<_> = runtime.recovery().refused().map(|(_, error)| error.to_string()).collect();
        assert_eq!(refused, [""; 0], "round {round}");
        let retained: Vec<_> = runtime.versions().into_iter().map(|version| version.id.0).collect();
        // The last one may have been made, and its predecessor not retired, when nobody was told yet.
        assert!(heard.version == 0 || retained.iter().any(|id| *id >= heard.version), "round {round}: {retained:?}");
        assert!(retained.len() <= 3, "round {round}: {retained:?}");
        let view = runtime.view().await;
        for (counter, sum) in &mut heard.sums {
            let found = view.get(format!("counter {counter}").as_bytes()).unwrap().unwrap().sum;
            assert!((*sum..=*sum + 1).contains(&found), "round {round}: counter {counter} is {found}, not {sum}");
            counts.compared += 1;
            *sum = found;
        }
        runtime.shutdown().await.unwrap();
        let manifest = manifest_on_disk(dir.path());
        assert_eq!(manifest.orphans(), [""; 0], "round {round}");
        assert_eq!(manifest.incomplete(), [""; 0], "round {round}");
    }
    println!("{rounds} kills in {:?}, {counts:?}", started.elapsed());
    assert!(counts.versions >= rounds, "too few versions: {counts:?}");
    // Writes went on while versions were made, and it was then that children were killed.
    assert!(counts.straddled >= rounds && counts.straddling > counts.versions, "{counts:?}");
    assert!(counts.killed_within > 0, "{counts:?}");
}
