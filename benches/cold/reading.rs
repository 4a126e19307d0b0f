//! Reading what is not in memory, and reading as much from a plain file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mainstay::kv::{Entity, Kv};
use mainstay::{ReadError, Runtime, View};

use super::Size;
use super::spilling::{key, value};
use super::support::{Run, run};
use super::timed::Timed;

/// So many are on their way at a time, where it is not one.
const TOGETHER: usize = 64;
const PAGE_BYTES: usize = 4096;
const PIECE_BYTES: usize = 1 << 20;

/// A generator of numbers that are in no order.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What is read, and how often.
struct Subject {
    view: View<Entity>,
    plain: Arc<File>,
    plain_bytes: u64,
    size: Size,
}

/// Measures and prints the rows.
pub async fn table(runtime: &Runtime<Kv>, disk: &Timed, dir: &Path, bytes: u64, size: Size) {
    let path = dir.join("plain");
    let mut plain = File::create_new(&path).unwrap();
    let piece = vec![7; PIECE_BYTES];
    (0..bytes.div_ceil(PIECE_BYTES as u64)).for_each(|_| plain.write_all(&piece).unwrap());
    plain.sync_all().unwrap();
    let plain = Arc::new(File::open(&path).unwrap());
    let subject = Subject { view: runtime.view().await, plain, plain_bytes: bytes, size };
    let mut files: Vec<PathBuf> = disk.spilled().files;
    files.push(path.clone());
    println!("| page cache | read | reads/s | p50 us | p99 us | p99.9 us | had by the runtime's cache |");
    println!("|---|---|---|---|---|---|---|");
    for cache in ["warm", "dropped"] {
        let prepare = || if cache == "warm" { read_all(&files) } else { Timed::forget(&files) };
        let mut seed = 0;
        for (name, measured) in Measured::ALL {
            prepare();
            seed += 1;
            let before = runtime.stats();
            let run = subject.measure(measured, seed).await;
            let after = runtime.stats();
            let (reads, hits) = (after.cold_reads - before.cold_reads, after.cache_hits - before.cache_hits);
            row(cache, name, run, (reads + hits > 0).then(|| hits as f64 / (reads + hits) as f64));
        }
    }
    fs::remove_file(path).unwrap();
}

fn row(cache: &str, name: &str, run: Run, hits: Option<f64>) {
    let hits = hits.map_or(String::new(), |hits| format!("{:.0} %", hits * 100.0));
    let Run { per_second, p50_us, p99_us, p999_us, .. } = run;
    println!("| {cache} | {name} | {per_second:.0} | {p50_us:.0} | {p99_us:.0} | {p999_us:.0} | {hits} |");
}

/// Has the kernel learn all of these files.
fn read_all(paths: &[PathBuf]) {
    let mut buffer = vec![0; PIECE_BYTES];
    for path in paths {
        let Ok(file) = File::open(path) else { continue };
        let mut offset = 0;
        while let count @ 1.. = file.read_at(&mut buffer, offset).unwrap() {
            offset += count as u64;
        }
    }
}

#[derive(Clone, Copy)]
enum Measured {
    Plain(usize),
    Read(usize),
    ReadMany,
}

impl Measured {
    const ALL: [(&str, Self); 5] = [
        ("ceiling: 4 KiB of a plain file", Self::Plain(1)),
        ("`read`", Self::Read(1)),
        ("ceiling: 4 KiB of a plain file, 64 threads", Self::Plain(TOGETHER)),
        ("`read`, 64 tasks", Self::Read(TOGETHER)),
        ("`read_many` of 64, a key", Self::ReadMany),
    ];
}

impl Subject {
    async fn measure(&self, measured: Measured, seed: u64) -> Run {
        match measured {
            Measured::Plain(threads) => self.plain(threads, seed),
            Measured::Read(tasks) => self.read(tasks, seed).await,
            Measured::ReadMany => self.read_many(seed).await,
        }
    }

    /// A key that is not in memory.
    fn cold_key(view: &View<Entity>, size: Size, random: &mut Random) -> u64 {
        loop {
            let number = random.below(size.entries);
            if let Err(ReadError::Cold(_)) = view.get(key(number).as_bytes()) {
                return number;
            }
        }
    }

    fn plain(&self, threads: usize, seed: u64) -> Run {
        let started = Instant::now();
        let latencies = thread::scope(|scope| {
            let reading = |thread: usize| {
                scope.spawn(move || {
                    let (mut random, mut buffer) = (Random(seed << 32 | thread as u64), [0; PAGE_BYTES]);
                    let one = || {
                        let offset = random.below(self.plain_bytes / PAGE_BYTES as u64) * PAGE_BYTES as u64;
                        let started = Instant::now();
                        self.plain.read_exact_at(&mut buffer, offset).unwrap();
                        started.elapsed()
                    };
                    std::iter::repeat_with(one).take(self.size.reads / threads).collect::<Vec<_>>()
                })
            };
            let readers: Vec<_> = (0..threads).map(reading).collect();
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
        });
        run(latencies, started.elapsed())
    }

    async fn read(&self, tasks: usize, seed: u64) -> Run {
        let (started, mut readers) = (Instant::now(), Vec::new());
        for task in 0..tasks {
            let (view, size) = (self.view.clone(), self.size);
            readers.push(tokio::spawn(async move {
                let (mut random, mut latencies) = (Random(seed << 32 | task as u64), Vec::new());
                for _ in 0..size.reads / tasks {
                    let number = Self::cold_key(&view, size, &mut random);
                    let one = Instant::now();
                    let found = view.read(key(number).as_bytes()).await.unwrap().unwrap();
                    latencies.push(one.elapsed());
                    assert_eq!(found.value(), value(number, size.value_bytes));
                }
                latencies
            }));
        }
        let mut latencies = Vec::new();
        for reader in readers {
            latencies.extend(reader.await.unwrap());
        }
        run(latencies, started.elapsed())
    }

    async fn read_many(&self, seed: u64) -> Run {
        let (mut random, mut latencies) = (Random(seed << 32), Vec::new());
        let started = Instant::now();
        for _ in 0..self.size.reads / TOGETHER {
            let numbers: Vec<_> = (0..TOGETHER).map(|_| Self::cold_key(&self.view, self.size, &mut random)).collect();
            let keys: Vec<_> = numbers.iter().map(|number| key(*number)).collect();
            let one = Instant::now();
            let found = self.view.read_many(&keys).await;
            latencies.extend([one.elapsed() / TOGETHER as u32; TOGETHER]);
            for (number, found) in numbers.into_iter().zip(found) {
                assert_eq!(found.unwrap().unwrap().value(), value(number, self.size.value_bytes));
            }
        }
        let elapsed: Duration = started.elapsed();
        run(latencies, elapsed)
    }
}
