//! Directories that must not be opened: a typed error, and nothing touched.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{ManifestError, OpenError, Options, Runtime};
use support::{Counters, add, directory, small};

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

async fn open_error(options: Options) -> OpenError {
    Runtime::open(Counters, options).await.unwrap_err()
}

/// Guards F29.
#[tokio::test]
async fn a_second_open_is_locked_also_from_the_same_process() {
    let dir = directory();
    let options = Options { lock_wait: Duration::ZERO, ..Options::new(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    let error = open_error(options.clone()).await;
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(runtime);
    // Dropping stops at once; the next open waits for the threads that may still write.
    let options = Options { lock_wait: Duration::from_secs(5), ..options };
    Runtime::open(Counters, options).await.unwrap();
}

/// Guards F68.
#[tokio::test]
async fn another_shard_count_is_an_error() {
    let dir = directory();
    let options = Options { shards: Some(2), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    runtime.shutdown().await.unwrap();
    drop(runtime);
    // Opening waits for the thread that may still make a spare.
    drop(Runtime::open(Counters, options.clone()).await.unwrap());
    let before = content(dir.path());
    let error = open_error(Options { shards: Some(3), ..options.clone() }).await;
    assert!(matches!(error, OpenError::ShardCount { found: 2, wanted: 3 }), "{error}");
    assert_eq!(before, content(dir.path()));
    let runtime = Runtime::open(Counters, Options { shards: None, ..options }).await.unwrap();
    assert_eq!(runtime.shard_count(), 2);
}

#[tokio::test]
async fn a_newer_manifest_is_refused_before_anything_else_is_believed() {
    let sim = SimDisk::new(1);
    let options = Options { shards: Some(1), ..small(Path::new("/data")) };
    drop(Runtime::open_on(sim.clone(), Counters, options.clone()).await.unwrap());
    let sim = sim.after_kill();
    let path = "/data/manifest-0000000000000001.log";
    let text = sim.read(path).unwrap();
    assert!(text.starts_with(b"mainstay-manifest-1:"));
    sim.overwrite(path, 18, b"2").unwrap();
    let before = sim.files();
    let error = Runtime::open_on(sim.clone(), Counters, options).await.unwrap_err();
    let expected = ManifestError::NewerFormat { path: path.into(), found: 2, supported: 1 };
    assert_eq!(error.to_string(), expected.to_string());
    assert_eq!(before, sim.files());
}

#[tokio::test]
async fn a_file_a_missing_parent_and_a_network_file_system() {
    let dir = directory();
    let file = dir.path().join("file");
    fs::write(&file, b"mine").unwrap();
    let error = open_error(Options::new(&file)).await;
    assert!(matches!(error, OpenError::NotADirectory { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let error = open_error(Options::new(dir.path().join("no/parent"))).await;
    assert!(matches!(error, OpenError::Disk(_)), "{error}");
    assert!(error.to_string().contains("no/parent"), "{error}");
    let sim = SimDisk::new(2);
    sim.pretend_file_system("nfs");
    let error = Runtime::open_on(sim.clone(), Counters, Options::new("/data")).await.unwrap_err();
    assert!(matches!(error, OpenError::NetworkFileSystem { kind: "nfs", .. }), "{error}");
}

/// Root may write anywhere, so the simulated disk stands in for a directory that cannot be written.
#[tokio::test]
async fn a_read_only_directory_is_an_error_that_names_the_file() {
    let sim = SimDisk::new(3);
    let options = Options { shards: Some(1), ..small(Path::new("/data")) };
    drop(Runtime::open_on(sim.clone(), Counters, options.clone()).await.unwrap());
    let sim = sim.after_kill();
    let before = sim.files();
    sim.fail_when(|call| call.operation.is_mutation().then_some(mainstay::sim::FaultKind::ErrorOnce));
    let error = Runtime::open_on(sim.clone(), Counters, options).await.unwrap_err();
    assert!(matches!(error, OpenError::Disk(_)), "{error}");
    assert!(error.to_string().contains("/data/"), "{error}");
    assert_eq!(before, sim.files());
}

/// Opening and closing without a command changes no byte.
#[tokio::test]
async fn opening_and_closing_changes_nothing() {
    let dir = directory();
    let options = Options { shards: Some(2), ..small(dir.path()) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    for n in 0..50 {
        runtime.submit(add(&format!("{n}"), n)).await.unwrap();
    }
    runtime.shutdown().await.unwrap();
    drop(runtime);
    // The first open may sweep spares that were being made.
    drop(Runtime::open(Counters, options.clone()).await.unwrap());
    let before = {
        let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
        let before = content(dir.path());
        runtime.shutdown().await.unwrap();
        before
    };
    for orderly in [true, false] {
        let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
        assert_eq!(runtime.view().await.get(b"7").unwrap().unwrap().sum, 7);
        if orderly {
            runtime.shutdown().await.unwrap();
        }
        drop(runtime);
        assert_eq!(before, content(dir.path()));
    }
}

/// Guards F60: a tokio runtime without timers is refused, and not found out by the first caller.
#[test]
fn a_runtime_without_timers_is_refused() {
    let tokio = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let options = Options { shards: Some(1), ..small(Path::new("/data")) };
    let error = tokio.block_on(Runtime::open_on(SimDisk::new(1), Counters, options)).unwrap_err();
    assert!(matches!(&error, OpenError::Actor { reason } if reason.contains("timers")), "{error}");
}
