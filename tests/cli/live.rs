//! Looking while somebody writes: nothing sound is ever called damaged.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay::storage::disk::StandardDisk;
use mainstay::{Options, Runtime};

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
    let looks = tokio::task::spawn_blocking(move || looks(&path)).await.unwrap();
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

fn looks(dir: &Path) -> usize {
    let (begun, mut looks) = (Instant::now(), 0);
    let dir = dir.display();
    while begun.elapsed() < Duration::from_secs(3) {
        let verify = format!("verify {dir} --deep");
        let log = format!("log {dir} --shard 1 --from 5");
        let others = [format!("inspect {dir}"), log, format!("digest {dir}"), format!("repair {dir} --dry-run")];
        for arguments in [verify].into_iter().chain(others) {
            let (exit, text) = run(Arc::new(StandardDisk), &arguments);
            assert_eq!(exit, Exit::Sound, "{arguments}: {text}");
            looks += 1;
        }
    }
    looks
}
