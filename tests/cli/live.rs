//! Looking while somebody writes: nothing sound is ever called damaged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Kv};
use mainstay::storage::disk::StandardDisk;
use mainstay::{Memory, Options, Runtime, SyncPolicy};

use crate::places::{options, run};
use crate::support::{Counters, add, directory};
use crate::tool::Exit;

/// Guards F38: every reading command, over and over, beside a runtime that rolls, snapshots, prunes, marks and retires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_beside_a_writer_finds_nothing_wrong() {
    let dir = directory();
    let mut options = Options { dir: dir.path().to_owned(), ..options() };
    options.versions.keep = 2;
    let runtime = Runtime::open(Counters, options).await.unwrap();
    runtime.submit(add("first", 1)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (runtime, stop) = (runtime.clone(), Arc::clone(&stop));
        async move {
            let mut rounds = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for n in 0..40 {
                    runtime.submit(add(&format!("key {n}"), 1)).await.unwrap();
                }
                // A cut may be given up on a busy machine.
                let _ = match rounds % 3 {
                    0 => runtime.snapshot().await.is_ok(),
                    1 => runtime.mark().await.is_ok(),
                    _ => runtime.rewrite().await.is_ok(),
                };
                rounds += 1;
            }
            rounds
        }
    });
    let path = dir.path().to_owned();
    let looks = tokio::task::spawn_blocking(move || looks(&path, 1, false)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    let rounds = writer.await.unwrap();
    println!("{looks} looks beside {rounds} rounds of a writer");
    assert!(looks >= 10 && rounds >= 3, "{looks} looks, {rounds} rounds");
    // Whoever has it open keeps it.
    let (exit, text) = run(Arc::new(StandardDisk), &format!("rollback {} --version 1", dir.path().display()));
    assert_eq!((exit, text.contains("the lock is held")), (Exit::Failed, true), "{text}");
    let (exit, text) = run(Arc::new(StandardDisk), &format!("repair {} --apply", dir.path().display()));
    assert_eq!((exit, text.contains("the lock is held")), (Exit::Failed, true), "{text}");
}

/// Guards F38, F52: the same beside a runtime that spills, compacts and gives cold files up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_beside_a_spiller_finds_nothing_wrong() {
    let dir = directory();
    let mut options = Options {
        shards: Some(1),
        sync: SyncPolicy::Never,
        segment_bytes: 1 << 18,
        command_bytes_max: 4 << 10,
        memory: Memory::Bytes(1 << 20),
        ..Options::new(dir.path())
    };
    options.versions.keep = 1;
    let runtime = Runtime::open(Kv, options).await.unwrap();
    runtime.submit(Command::set("first", "1")).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (runtime, stop) = (runtime.clone(), Arc::clone(&stop));
        async move {
            let mut rounds = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                for n in 0..20 {
                    let key = |n: usize| format!("key {}", (rounds * 37 + n * 101) % 4_000);
                    let commands = (0..25).map(|m| Command::set(key(n * 25 + m), vec![b'x'; 500])).collect();
                    // Memory may be full for a moment.
                    let _ = runtime.submit_many(commands).await;
                }
                // What keeps too much alive is given up.
                let _ = if rounds.is_multiple_of(5) {
                    runtime.mark().await.is_ok()
                } else {
                    runtime.snapshot().await.is_ok()
                };
                rounds += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let path = dir.path().to_owned();
    let looks = tokio::task::spawn_blocking(move || looks(&path, 0, true)).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let [shard] = &runtime.stats().shards[..] else { panic!("one shard") };
    println!("{looks} looks, {} spills, {} compactions", shard.spills, shard.compactions);
    assert!(looks >= 5 && shard.spills >= 3, "{looks} looks, {shard:?}");
}

/// On a busy machine `is_hurried` may replace files faster than all of them are read: that is told, and no damage.
fn looks(dir: &Path, shard: u32, is_hurried: bool) -> usize {
    let (begun, mut looks) = (Instant::now(), 0);
    let dir = dir.display();
    while begun.elapsed() < Duration::from_secs(3) {
        let verify = format!("verify {dir} --deep");
        let log = format!("log {dir} --shard {shard} --from 5");
        let others = [format!("inspect {dir}"), log, format!("digest {dir}"), format!("repair {dir} --dry-run")];
        for arguments in [verify].into_iter().chain(others) {
            let (exit, text) = run(Arc::new(StandardDisk), &arguments);
            let is_too_fast = is_hurried && exit == Exit::Failed && text.contains("unreadable: ");
            assert!(exit == Exit::Sound || is_too_fast, "{arguments}: {exit:?}: {text}");
            looks += usize::from(exit == Exit::Sound);
        }
        backup(&dir.to_string());
    }
    looks
}

/// There may be no version yet, or none that stays for so long; nothing is damaged, and what was made is whole.
fn backup(dir: &str) {
    let place = directory();
    let dest = place.path().join("backup");
    let dest = dest.display();
    let (exit, text) = run(Arc::new(StandardDisk), &format!("backup {dir} {dest}"));
    assert_ne!(exit, Exit::Damage, "{text}");
    if exit == Exit::Sound {
        let (exit, text) = run(Arc::new(StandardDisk), &format!("verify {dest} --deep"));
        assert_eq!(exit, Exit::Sound, "{text}");
    }
}
