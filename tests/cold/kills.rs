//! `kill -9` while a child writes past its memory: whatever it had acknowledged is readable.
//!
//! The child is this very test, started with a directory; it prints what was acknowledged, and the parent kills it at
//! a random moment. `COLD_KILL_SEED` repeats the choices, `COLD_KILL_ROUNDS` makes it run longer.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mainstay::kv::{Command, Kv};
use mainstay::{Memory, Options, Runtime, SyncPolicy};

use crate::dice::Random;
use crate::state::{cold, key, value};
use crate::support::directory;

const ROUNDS: u64 = 10;
const KEYS: u32 = 400;
const CHUNK: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const DIR: &str = "MAINSTAY_COLD_KILL_DIR";
const FROM: &str = "MAINSTAY_COLD_KILL_FROM";

fn options(dir: &Path) -> Options {
    let mut options = Options {
        shards: Some(2),
        sync: SyncPolicy::Never,
        segment_bytes: 64 << 10,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(192 << 10),
        // However slow the machine is: a spill that takes long is waited for.
        submit_deadline: PATIENCE,
        sync_deadline: PATIENCE,
        ..Options::new(dir)
    };
    // What is overwritten beside a snapshot never is too much for it.
    options.snapshots.overlap_bytes = 4 << 20;
    options
}

/// What a key has after so many passes. Some are deleted.
fn content(number: u32, pass: u32) -> Option<Vec<u8>> {
    (!(number + pass).is_multiple_of(5) && pass > 0).then(|| value(number, pass))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A line of its own, whatever the test's harness prints.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n#{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// The child: writes a third of the keys, pass after pass, until it is killed. Nothing, if this process is no child.
#[test]
fn child() {
    let (Ok(dir), Some(from)) = (std::env::var(DIR), number(FROM)) else { return };
    let work = async {
        let runtime = Runtime::open(Kv, options(dir.as_ref())).await.unwrap();
        for pass in from as u32.. {
            if pass % 3 == 0 {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.snapshot().await });
            }
            // A third of them: the others have time to get cold, and stay that.
            for first in (0..KEYS).step_by(CHUNK as usize).filter(|first| (first / CHUNK + pass).is_multiple_of(3)) {
                let commands = (first..first + CHUNK).map(|number| match content(number, pass) {
                    Some(value) => Command::set(key(number), value),
                    None => Command::delete(key(number)),
                });
                for answer in runtime.submit_many(commands.collect()).await {
                    if let Err(error) = answer {
                        return say(&format!("failed {error}"));
                    }
                }
                say(&format!("done {first} {pass}"));
            }
        }
    };
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}

/// Lets a child work from this pass on and kills it after so many acknowledgements and a moment. Returns the pass that
/// it has come to.
fn let_it_work(dir: &Path, from: u32, random: &mut Random, done: &mut [u32]) -> u32 {
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["kills::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut left, mut last, mut killed) = (20 + random.below(200), from, false);
    let nap = Duration::from_micros(random.below(4_000));
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#done", first, pass] => {
                let (first, pass): (u32, u32) = (first.parse().unwrap(), pass.parse().unwrap());
                done[first as usize..(first + CHUNK) as usize].fill(pass);
                last = pass;
                left = left.saturating_sub(1);
            }
            ["#failed", ..] => panic!("{line}"),
            _ => {}
        }
        if left == 0 && !killed {
            // Where in a spill that is nobody knows.
            std::thread::sleep(nap);
            child.kill().unwrap();
            killed = true;
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it has ended by itself");
    last
}

/// Guards F43 to F51.
#[tokio::test]
async fn what_was_acknowledged_survives_kill_9_while_values_are_spilled() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("COLD_KILL_SEED").unwrap_or(clock);
    println!("COLD_KILL_SEED={seed}");
    let (mut random, started, dir) = (Random(seed), Instant::now(), directory());
    let (mut done, mut from, mut most_cold) = (vec![0; KEYS as usize], 1, 0);
    for round in 0..number("COLD_KILL_ROUNDS").unwrap_or(ROUNDS) {
        let last = let_it_work(dir.path(), from, &mut random, &mut done);
        // As often as not the next child finds what this one has left. What it had not acknowledged is written again.
        from = last + 2;
        if random.below(3) == 0 {
            continue;
        }
        let runtime = Runtime::open(Kv, options(dir.path())).await.unwrap();
        assert_eq!(runtime.recovery().refused().count(), 0, "round {round}");
        let view = runtime.view().await;
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        for (number, found) in (0..).zip(view.read_many(&keys).await) {
            let found = found.unwrap_or_else(|error| panic!("round {round}: {number}: {error}"));
            let found = found.map(|entity| entity.value().to_vec());
            let acknowledged = done[number as usize];
            // Or a later pass, which was on its way.
            let pass = (acknowledged..=last + 1).find(|pass| content(number, *pass) == found);
            let Some(pass) = pass else {
                let begin = found.map(|value| String::from_utf8_lossy(&value[..15]).into_owned());
                panic!("round {round}: {number} is {begin:?}, and {acknowledged} was acknowledged, {last} the last")
            };
            done[number as usize] = pass;
        }
        most_cold = most_cold.max(cold(&runtime));
        runtime.shutdown().await.unwrap();
    }
    println!("{from} passes, up to {most_cold} cold, {:?}", started.elapsed());
    assert!(most_cold > 50);
}
