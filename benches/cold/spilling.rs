//! Filling a state beyond its memory, and what writing its cold files takes by itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Entity, Kv};
use mainstay::model::{ColdSeq, DirectoryId};
use mainstay::storage::cold::{ColdId, ColdWriter, SYNC_BYTES};
use mainstay::storage::disk::StandardDisk;
use mainstay::storage::layout::Layout;
use mainstay::{Runtime, ShardId, StateMachine, codec};

use super::Size;
use super::timed::Timed;

const CHUNK: u64 = 500;
const ROUNDS: usize = 3;
/// After so long without a new file there is none to come.
const SETTLED: Duration = Duration::from_millis(500);

pub fn key(number: u64) -> String {
    format!("key:{number:012}")
}

pub fn value(number: u64, bytes: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(bytes).collect()
}

/// Fills the state, measures and prints the rows. Returns the bytes of the cold files.
pub async fn table(runtime: &Runtime<Kv>, disk: &Timed, dir: &Path, size: Size) -> u64 {
    let started = Instant::now();
    for first in (0..size.entries).step_by(CHUNK as usize) {
        let numbers = first..(first + CHUNK).min(size.entries);
        let commands = numbers.map(|number| Command::set(key(number), value(number, size.value_bytes)));
        assert!(runtime.submit_many(commands.collect()).await.iter().all(Result::is_ok));
    }
    let filled = started.elapsed();
    let mut spilled = disk.spilled();
    loop {
        tokio::time::sleep(SETTLED).await;
        let now = disk.spilled();
        if now.files.len() == spilled.files.len() {
            break;
        }
        spilled = now;
    }
    let shards = runtime.stats().shards.len() as u32;
    let alone = median(|| write_cold(dir, shards, spilled.bytes, size.value_bytes));
    let plain = median(|| write_plain(dir, shards, spilled.bytes));
    let Some((first, last)) = spilled.span else { panic!("nothing was spilled: the state is not too large") };
    println!("{} writes/s while the state grew\n", (size.entries as f64 / filled.as_secs_f64()) as u64);
    println!("| cold files | MB | s | MB/s | of the plain file |\n|---|---|---|---|---|");
    let rows = [
        ("spilled while the state grew", last - first),
        ("of the spill threads", spilled.busy / shards),
        ("ceiling: their writer alone", alone),
        ("ceiling: a plain file", plain),
    ];
    for (name, time) in rows {
        let (megabytes, seconds) = (spilled.bytes as f64 / 1e6, time.as_secs_f64());
        let of = plain.as_secs_f64() / seconds * 100.0;
        println!("| {name} | {megabytes:.0} | {seconds:.2} | {:.0} | {of:.0} % |", megabytes / seconds);
    }
    spilled.bytes
}

fn median(measure: impl Fn() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

/// On a thread for each shard.
fn in_parallel(shards: u32, work: impl Fn(u32) + Sync) -> Duration {
    let (started, work) = (Instant::now(), &work);
    thread::scope(|scope| (0..shards).for_each(|shard| drop(scope.spawn(move || work(shard)))));
    started.elapsed()
}

/// Encodes values and writes them to a cold file for each shard, until all have so many bytes.
fn write_cold(dir: &Path, shards: u32, bytes: u64, value_bytes: usize) -> Duration {
    let root = dir.join("alone");
    let layout = Layout::new(&root);
    (0..shards).for_each(|shard| fs::create_dir_all(layout.shard(ShardId(shard))).unwrap());
    let time = in_parallel(shards, |shard| {
        let id = ColdId { directory: DirectoryId([0; 16]), shard: ShardId(shard), file: ColdSeq(1) };
        let mut writer = ColdWriter::create(&StandardDisk, &layout, id, Kv::SCHEMA).unwrap();
        for number in 0.. {
            if writer.bytes() >= bytes / u64::from(shards) {
                break;
            }
            let value = codec::encode(&Entity::new(&value(number, value_bytes), None)).unwrap();
            writer.push(key(number).as_bytes(), &value).unwrap();
        }
        writer.finish().unwrap();
    });
    fs::remove_dir_all(root).unwrap();
    time
}

/// Writes a file for each shard, synced as often as a cold file is.
fn write_plain(dir: &Path, shards: u32, bytes: u64) -> Duration {
    let name = |shard: u32| dir.join(format!("plain-{shard}"));
    let time = in_parallel(shards, |shard| {
        let (mut file, piece) = (File::create(name(shard)).unwrap(), vec![7; SYNC_BYTES]);
        let mut left = bytes / u64::from(shards);
        while left > 0 {
            let now = left.min(SYNC_BYTES as u64);
            file.write_all(&piece[..now as usize]).unwrap();
            file.sync_data().unwrap();
            left -= now;
        }
    });
    (0..shards).for_each(|shard| fs::remove_file(name(shard)).unwrap());
    time
}
