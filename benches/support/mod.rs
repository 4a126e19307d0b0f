//! What the benches share: a machine, a directory on the real disk, medians, and the hand-written loops that are the
//! ceilings.
#![allow(dead_code, reason = "each bench uses its part")]

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay::{Abort, At, StateMachine, Txn};

/// Puts 100-byte values under 16-byte keys.
pub struct Puts;

impl StateMachine for Puts {
    type Command = (u128, Bytes);
    type Entity = Bytes;
    type Reply = ();
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Self::Command) -> Cow<'a, [u8]> {
        Cow::Owned(command.0.to_le_bytes().to_vec())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, Bytes>, (key, value): Self::Command) -> Result<(), Abort> {
        state.put(&key.to_le_bytes(), value);
        Ok(())
    }

    fn heap_bytes(&self, entity: &Bytes) -> usize {
        entity.len()
    }
}

/// A command for one of so many keys, from a small generator.
pub fn put(random: &mut u64, keys: u64) -> (u128, Bytes) {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (u128::from((*random >> 20) % keys), Bytes::from(vec![7; 100]))
}

/// A directory on the disk that the checkout is on.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Throughput and latency of one run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// Puts a run together from its latencies.
pub fn run(mut latencies: Vec<Duration>, elapsed: Duration) -> Run {
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies.len() - 1) as f64 * part) as usize;
        latencies[index].as_nanos() as f64 / 1e3
    };
    Run {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
    }
}

/// The run with the median throughput.
pub fn median(mut runs: Vec<Run>) -> Run {
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs[runs.len() / 2]
}

/// A file of zeroes, synced.
pub fn prewritten(dir: &Path, bytes: usize) -> File {
    let mut file = File::options().create(true).truncate(true).write(true).open(dir.join("prewritten")).unwrap();
    file.write_all(&vec![0; bytes]).unwrap();
    file.sync_all().unwrap();
    file
}

/// Ceiling for one writer: write 4 KiB to a prewritten file and sync.
pub fn ceiling_sync(dir: &Path, time: Duration) -> Run {
    let file = prewritten(dir, 16 << 20);
    let (started, mut latencies, mut offset) = (Instant::now(), Vec::new(), 0);
    while started.elapsed() < time {
        let one = Instant::now();
        file.write_all_at(&[5; 4096], offset).unwrap();
        file.sync_data().unwrap();
        latencies.push(one.elapsed());
        offset = (offset + 4096) % (16 << 20);
    }
    run(latencies, started.elapsed())
}

/// Ceiling for many writers: tokio clients, a queue, one thread that writes and syncs what has queued up, oneshots.
/// No state, no lanes, no limits, no recovery.
pub fn ceiling_group_commit(dir: &Path, tasks: usize, time: Duration) -> Run {
    type Item = (Vec<u8>, tokio::sync::oneshot::Sender<()>);
    let file = prewritten(dir, 64 << 20);
    let (sender, receiver) = flume::unbounded::<Item>();
    let writer = std::thread::spawn(move || {
        let (mut frame, mut replies, mut offset) = (Vec::new(), Vec::new(), 0);
        while let Ok(item) = receiver.recv() {
            for (bytes, reply) in std::iter::once(item).chain(receiver.drain()) {
                frame.extend_from_slice(&bytes);
                replies.push(reply);
            }
            file.write_all_at(&frame, offset).unwrap();
            file.sync_data().unwrap();
            offset = (offset + frame.len() as u64) % (60 << 20);
            frame.clear();
            for reply in replies.drain(..) {
                let _ = reply.send(());
            }
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let result = runtime.block_on(closed_loop(tasks, time, move |_| {
        let sender = sender.clone();
        async move {
            let (reply, answer) = tokio::sync::oneshot::channel();
            sender.send((vec![7; 130], reply)).unwrap();
            answer.await.unwrap();
        }
    }));
    drop(runtime);
    writer.join().unwrap();
    result
}

/// So many tasks, each of which does one operation after the other for a while.
pub async fn closed_loop<F, Fut>(tasks: usize, time: Duration, operation: F) -> Run
where
    F: Fn(u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut joined = Vec::new();
    for task in 0..tasks as u64 {
        let operation = operation.clone();
        joined.push(tokio::spawn(async move {
            let (mut latencies, mut n) = (Vec::with_capacity(1 << 16), task << 32);
            while started.elapsed() < time {
                let one = Instant::now();
                operation(n).await;
                latencies.push(one.elapsed());
                n += 1;
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in joined {
        latencies.extend(task.await.unwrap());
    }
    run(latencies, started.elapsed())
}
