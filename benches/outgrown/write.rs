//! The process that writes until it is killed, and tells what was acknowledged.
//!
//! Each chunk of keys has one writer, who writes it anew only when its last version was acknowledged. So after a kill a
//! key has the version that was acknowledged last, or one that was on its way.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Kv};
use mainstay::{NotExecuted, Runtime, SubmitError};
use tokio::time::sleep;

use crate::data::{CHUNK, Case, Ledger, key};
use crate::random::Random;

/// Each with a chunk on its way.
const WRITERS: u64 = 8;
const READERS: u64 = 4;
/// Of so many chunks one is written once more.
const AGAIN: u64 = 8;
/// Who was refused for want of memory tries again after this.
const PAUSE: Duration = Duration::from_millis(10);
const TELL: Duration = Duration::from_millis(100);

struct Work {
    case: Case,
    runtime: Runtime<Kv>,
    /// By chunk: the version that was acknowledged last, and the newest that may be there.
    acknowledged: Vec<AtomicU64>,
    begun: Vec<AtomicU64>,
    began: Instant,
    /// So many keys were there before.
    found: u64,
    writes: AtomicU64,
    reads: AtomicU64,
    refused: AtomicU64,
}

pub fn run(dir: &Path, case: Case, ledger: &Ledger, mut random: Random) -> ExitCode {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = open(dir, case).await;
        let is_new = ledger.0.iter().all(|version| *version == 0);
        // A life before this one may have begun the next version.
        let begun = ledger.0.iter().map(|version| AtomicU64::new(version + u64::from(!is_new))).collect();
        let work = Arc::new(Work {
            case,
            runtime,
            acknowledged: ledger.0.iter().copied().map(AtomicU64::new).collect(),
            begun,
            began: Instant::now(),
            found: if is_new { 0 } else { case.entries },
            writes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        for _ in 0..READERS {
            let (work, random) = (Arc::clone(&work), Random(random.below(u64::MAX)));
            tokio::spawn(async move { work.read(random).await });
        }
        let writers = (0..WRITERS).map(|writer| {
            let (work, mut random) = (Arc::clone(&work), Random(random.below(u64::MAX)));
            tokio::spawn(async move {
                work.write_all(writer, &mut random).await;
                random
            })
        });
        let writers: Vec<_> = writers.collect();
        let telling = Arc::clone(&work);
        tokio::spawn(async move {
            loop {
                sleep(TELL).await;
                telling.tell();
            }
        });
        for (writer, written) in (0..).zip(writers) {
            let (work, mut random) = (Arc::clone(&work), written.await.unwrap());
            tokio::spawn(async move { work.write_again(writer, &mut random).await });
        }
        if is_new {
            work.tell();
            say("written");
        }
        std::future::pending().await
    })
}

/// Opens the directory and tells how long that took.
pub async fn open(dir: &Path, case: Case) -> Runtime<Kv> {
    let started = Instant::now();
    let runtime = Runtime::open(Kv, case.options(dir)).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    say(&format!("opened {}", started.elapsed().as_secs_f64()));
    runtime
}

/// A line to the parent; without one there is nothing to do.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

impl Work {
    fn own(&self, writer: u64) -> impl Iterator<Item = u64> + use<> {
        (writer..self.begun.len() as u64).step_by(WRITERS as usize)
    }

    /// Everything that was never written, and some of it again.
    async fn write_all(&self, writer: u64, random: &mut Random) {
        let is_new = |chunk: &u64| self.begun[*chunk as usize].load(SeqCst) == 0;
        for (count, chunk) in (1..).zip(self.own(writer).filter(is_new)) {
            self.write(chunk).await;
            if count % AGAIN == 0 {
                self.write(writer + WRITERS * random.below(count)).await;
            }
        }
    }

    /// What there is, at random, for ever.
    async fn write_again(&self, writer: u64, random: &mut Random) {
        let count = self.own(writer).count() as u64;
        if count > 0 {
            loop {
                self.write(writer + WRITERS * random.below(count)).await;
            }
        }
    }

    /// The next version of a chunk.
    async fn write(&self, chunk: u64) {
        let version = self.begun[chunk as usize].fetch_add(1, SeqCst) + 1;
        let mut left: Vec<_> = self.case.chunk(chunk).collect();
        while !left.is_empty() {
            let commands = left.iter().map(|number| Command::set(key(*number), self.case.value(*number, version)));
            let answers = self.runtime.submit_many(commands.collect()).await;
            let mut answers = answers.into_iter();
            left.retain(|number| match answers.next() {
                Some(Ok(_)) => false,
                Some(Err(SubmitError::NotExecuted(NotExecuted::OutOfMemory { .. }))) => true,
                answer => fail(&format!("{}: {:?}", key(*number), answer.map(|answer| answer.map(drop)))),
            });
            if !left.is_empty() {
                self.refused.fetch_add(left.len() as u64, SeqCst);
                sleep(PAUSE).await;
            }
        }
        self.acknowledged[chunk as usize].store(version, SeqCst);
        self.writes.fetch_add(self.case.chunk(chunk).count() as u64, SeqCst);
        say(&format!("done {chunk} {version}"));
    }

    /// Reads keys that were acknowledged, for ever: in memory or not, new or old, they must be there.
    async fn read(&self, mut random: Random) {
        loop {
            // They come in about this order.
            let number = random.below((self.found + self.writes.load(SeqCst)).clamp(1, self.case.entries));
            let chunk = (number / CHUNK) as usize;
            let least = self.acknowledged[chunk].load(SeqCst);
            if least == 0 {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            let found = self.runtime.view().await.read(key(number).as_bytes()).await;
            let most = self.begun[chunk].load(SeqCst);
            let version = match &found {
                Ok(Some(entity)) => self.case.version(number, entity.value()),
                Ok(None) => None,
                Err(error) => fail(&format!("{}: {error}", key(number))),
            };
            if !version.is_some_and(|version| (least..=most).contains(&version)) {
                fail(&format!("{} is {version:?}, and {least} was acknowledged, {most} the last", key(number)));
            }
            self.reads.fetch_add(1, SeqCst);
            // What is in memory is there without a wait, and others have to come to their turn.
            tokio::task::yield_now().await;
        }
    }

    fn tell(&self) {
        let stats = self.runtime.stats();
        let sum = |number: fn(&mainstay::ShardStats) -> u64| stats.shards.iter().map(number).sum::<u64>();
        let (files, keys) = (sum(|shard| shard.cold_files), sum(|shard| shard.cold_entries));
        let [writes, reads, refused] = [&self.writes, &self.reads, &self.refused].map(|count| count.load(SeqCst));
        let (seconds, pages) = (self.began.elapsed().as_secs_f64(), stats.cold_reads);
        say(&format!("at {seconds} {writes} {refused} {reads} {pages} {keys} {files}"));
    }
}

/// Ends the process: something is not as it must be.
pub fn fail(why: &str) -> ! {
    say(&format!("wrong {why}"));
    std::process::exit(1);
}
