//! Directories that must not be opened: a typed error, and nothing touched.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{LogError, ManifestError, OpenError, Options, Runtime, ShardId};
use support::{Counters, add, directory, small};

/// Everything below a directory: files with their bytes, directories without.
fn content(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::from([(dir.to_owned(), None)]);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), Some(fs::read(&path).unwrap()));
        }
    }
    found
}

/// A directory that holds a command of each of two shards and is closed.
async fn written(dir: &Path) -> Options {
    let options = Options { shards: Some(2), ..small(dir) };
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    for n in 0..50 {
        runtime.submit(add(&format!("{n}"), n)).await.unwrap();
    }
    runtime.shutdown().await.unwrap();
    drop(runtime);
    // Opening waits for the threads that may still make spares, and sweeps what they have left.
    drop(Runtime::open(Counters, options.clone()).await.unwrap());
    options
}

/// Writes over a part of a file.
fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let mut found = fs::read(path).unwrap();
    found[offset..offset + bytes.len()].copy_from_slice(bytes);
    fs::write(path, found).unwrap();
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
    let options = written(dir.path()).await;
    let before = content(dir.path());
    let error = open_error(Options { shards: Some(3), ..options.clone() }).await;
    assert!(matches!(error, OpenError::ShardCount { found: 2, wanted: 3 }), "{error}");
    assert_eq!(before, content(dir.path()));
    let runtime = Runtime::open(Counters, Options { shards: None, ..options }).await.unwrap();
    assert_eq!(runtime.shard_count(), 2);
}

/// Guards F20, F28: whichever file is of a newer format, it stays as it is, and so do all others.
#[tokio::test]
async fn a_file_of_a_newer_format_is_left_as_it_is() {
    let manifest = "manifest-0000000000000001.log";
    for (name, version) in [("CURRENT", "mainstay-current-".len()), (manifest, "mainstay-manifest-".len())] {
        let dir = directory();
        let options = written(dir.path()).await;
        overwrite(&dir.path().join(name), version, b"3");
        let before = content(dir.path());
        let error = open_error(options).await;
        let newer = matches!(&error, OpenError::Manifest(ManifestError::NewerFormat { path, found: 3, .. })
            if path.ends_with(name));
        assert!(newer, "{name}: {error}");
        assert_eq!(before, content(dir.path()), "{name}");
    }
    let dir = directory();
    let options = written(dir.path()).await;
    let segment = dir.path().join("shard-1/wal-0000000000000001.seg");
    overwrite(&segment, 8, &2u32.to_le_bytes());
    // Its hash is that of a header which newer code has written, not of a damaged one.
    let hash = blake3::hash(&fs::read(&segment).unwrap()[..224]);
    overwrite(&segment, 224, hash.as_bytes());
    let before = content(dir.path());
    let runtime = Runtime::open(Counters, options).await.unwrap();
    let (shard, error) = runtime.recovery().refused().next().unwrap();
    assert!(shard == ShardId(1) && matches!(error, LogError::NewerFormat { found: 2, .. }), "{shard}: {error}");
    runtime.shutdown().await.unwrap_err();
    drop(runtime);
    assert_eq!(before, content(dir.path()));
}

#[tokio::test]
async fn a_newer_manifest_is_refused_before_anything_else_is_believed() {
    let sim = SimDisk::new(1);
    let options = Options { shards: Some(1), ..small(Path::new("/data")) };
    drop(Runtime::open_on(sim.clone(), Counters, options.clone()).await.unwrap());
    let sim = sim.after_kill();
    let path = "/data/manifest-0000000000000001.log";
    let text = sim.read(path).unwrap();
    assert!(text.starts_with(b"mainstay-manifest-2:"));
    sim.overwrite(path, 18, b"3").unwrap();
    let before = sim.files();
    let error = Runtime::open_on(sim.clone(), Counters, options).await.unwrap_err();
    let expected = ManifestError::NewerFormat { path: path.into(), found: 3, supported: 2 };
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
    assert_eq!(content(dir.path()), BTreeMap::from([(dir.path().to_owned(), None), (file, Some(b"mine".to_vec()))]));
    let error = open_error(Options::new(dir.path().join("no/parent"))).await;
    assert!(matches!(error, OpenError::Disk(_)), "{error}");
    assert!(error.to_string().contains("no/parent"), "{error}");
    let sim = SimDisk::new(2);
    sim.pretend_file_system("nfs");
    let error = Runtime::open_on(sim.clone(), Counters, Options::new("/data")).await.unwrap_err();
    assert!(matches!(error, OpenError::NetworkFileSystem { kind: "nfs", .. }), "{error}");
}

/// Guards F28, F31: a file where a shard's directory was refuses that shard's log, or a new directory, and stays.
#[tokio::test]
async fn a_file_in_place_of_a_shards_directory_is_left_as_it_is() {
    let dir = directory();
    let shard = dir.path().join("shard-0");
    fs::write(&shard, b"mine").unwrap();
    open_error(Options::new(dir.path())).await;
    assert_eq!(fs::read(&shard).unwrap(), b"mine");
    let names: Vec<_> = content(dir.path()).into_keys().collect();
    assert_eq!(names, [dir.path().to_owned(), dir.path().join("LOCK"), shard], "nothing else was made");

    let dir = directory();
    let options = written(dir.path()).await;
    let (shard, aside) = (dir.path().join("shard-0"), dir.path().join("aside"));
    fs::rename(&shard, &aside).unwrap();
    fs::write(&shard, b"mine").unwrap();
    let before = content(dir.path());
    let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
    let (_, error) = runtime.recovery().refused().next().unwrap();
    assert!(matches!(error, LogError::Disk(_)), "{error}");
    runtime.shutdown().await.unwrap_err();
    drop(runtime);
    assert_eq!(before, content(dir.path()));
    fs::remove_file(&shard).unwrap();
    fs::rename(&aside, &shard).unwrap();
    let runtime = Runtime::open(Counters, options).await.unwrap();
    assert_eq!(runtime.latest().get(b"7").unwrap().unwrap().sum, 7);
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
    // Nor is a directory begun where nothing can be written.
    let sim = SimDisk::new(4);
    sim.fail_when(|call| call.operation.is_mutation().then_some(mainstay::sim::FaultKind::ErrorOnce));
    let error = Runtime::open_on(sim.clone(), Counters, Options::new("/data")).await.unwrap_err();
    assert!(matches!(&error, OpenError::Disk(error) if error.path == Path::new("/data")), "{error}");
    assert_eq!(sim.files(), BTreeMap::new());
}

/// A directory that was never written to is made by the first open, and looks the same after every later one.
#[tokio::test]
async fn a_fresh_directory_is_made_once() {
    for shards in [1, 3] {
        for first_is_orderly in [true, false] {
            let dir = directory();
            let options = Options { shards: Some(shards), ..small(dir.path()) };
            let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
            let made = content(dir.path());
            if first_is_orderly {
                runtime.shutdown().await.unwrap();
            }
            drop(runtime);
            for orderly in [true, false, true] {
                let runtime = Runtime::open(Counters, options.clone()).await.unwrap();
                assert_eq!(runtime.view().await.get(b"7").unwrap(), None);
                assert_eq!(runtime.recovery().shards[0].commands, 0);
                if orderly {
                    runtime.shutdown().await.unwrap();
                }
                drop(runtime);
                assert_eq!(made, content(dir.path()), "{shards} shards");
            }
        }
    }
}

/// Opening and closing without a command changes no byte.
#[tokio::test]
async fn opening_and_closing_changes_nothing() {
    let dir = directory();
    let options = written(dir.path()).await;
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
