//! A byte of a cold file changes on the disk: its keys are unreadable and say where, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay::kv::{Command, Kv};
use mainstay::model::{ColdFault, ColdSeq, Unreadable};
use mainstay::sim::{FaultKind, Operation, SimDisk};
use mainstay::storage::cold::{self, ColdError, ColdId, Found};
use mainstay::storage::layout::Layout;
use mainstay::{NotExecuted, Options, ReadError, Runtime, ShardId, SubmitError};

use crate::book::Book;
use crate::disk::{DIR, is_cold, manifest, small};
use crate::state::{Model, PATIENCE, key, until, value};

const SHARD: ShardId = ShardId(0);

pub fn options() -> Options {
    // However slow the machine is: a spill that takes long is waited for.
    Options { submit_deadline: PATIENCE, sync_deadline: PATIENCE, ..small() }
}

/// Values of a page: its file, where it begins, and the keys.
pub struct Damage {
    file: ColdSeq,
    sector: u32,
    pub keys: Vec<String>,
}

/// Changes a byte of the first page of the first cold file that there is.
fn damage_first(disk: &SimDisk) -> Damage {
    damage(disk, *manifest(disk).shards[0].cold.keys().next().unwrap())
}

/// Changes a byte of the first page of a cold file.
pub fn damage(disk: &SimDisk, file: ColdSeq) -> Damage {
    let (layout, manifest) = (Layout::new(DIR.as_ref()), manifest(disk));
    let id = ColdId { directory: manifest.directory, shard: SHARD, file };
    let mut keys = Vec::new();
    let scanned = cold::scan(disk, &layout, id, &mut |found| {
        if let Found::Value(value) = found
            && value.location.sector == 1
        {
            keys.push(String::from_utf8(value.key.to_vec()).unwrap());
        }
        Ok::<_, ColdError>(())
    });
    assert!(scanned.unwrap().is_whole);
    let path = layout.cold(SHARD, file);
    assert!(is_cold(&path));
    let at = 512 + 200;
    let byte = disk.read(&path).unwrap()[at];
    disk.overwrite(&path, at as u64, &[byte ^ 0x10]).unwrap();
    Damage { file, sector: 1, keys }
}

/// What cannot be read, of all keys.
async fn unreadable(runtime: &Runtime<Kv>, book: &Book) -> Vec<(String, Unreadable)> {
    let view = runtime.view().await;
    let keys: Vec<_> = (0..300).map(key).collect();
    let mut unreadable = Vec::new();
    for (key, found) in keys.iter().zip(view.read_many(&keys).await) {
        match found {
            Ok(found) => assert_eq!(found.map(|entity| entity.value().to_vec()), book.get(key), "{key}"),
            Err(ReadError::Unreadable(error)) => unreadable.push((key.clone(), error)),
            Err(error) => panic!("{key}: {error}"),
        }
    }
    unreadable
}

async fn holds_for_its_keys_alone(runtime: &Runtime<Kv>, book: &mut Book, damage: Damage) {
    let Damage { file, sector, mut keys } = damage;
    keys.sort();
    assert!(keys.len() > 1, "{keys:?}");
    for _ in 0..2 {
        let found = unreadable(runtime, book).await;
        assert_eq!(found.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), keys);
        for (_, error) in found {
            assert_eq!((error.shard, error.file, error.sector), (SHARD, file, sector));
            assert_eq!(error.why, ColdFault::Damaged);
        }
    }
    // Who reads it is told why; beside it everything goes on.
    let append = |key: &str| Command::Append { key: key.to_owned().into(), suffix: "more".into() };
    match runtime.submit(append(&keys[0])).await {
        Err(SubmitError::NotExecuted(NotExecuted::Unreadable(error))) => {
            assert_eq!((error.file, error.sector), (file, sector));
        }
        other => panic!("{:?}", other.map(drop)),
    }
    book.send(runtime, vec![(key(1_000), Some(value(1_000, 1)))]).await;
    // Who does not read it heals it.
    for key in &keys {
        book.send(runtime, vec![(key.clone(), Some(b"new".to_vec()))]).await;
    }
    assert_eq!(unreadable(runtime, book).await, []);
    runtime.submit(append(&keys[0])).await.unwrap();
    book.note(&keys[0], Some(b"newmore".to_vec()), Ok(()));
    assert_eq!(book.refused, []);
    let stats = runtime.stats().shards[0].clone();
    assert_eq!((stats.refusal, stats.restarts), (None, 0));
}

pub async fn filled(disk: &SimDisk, options: Options) -> (Runtime<Kv>, Book) {
    let mut book = Book::default();
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    for chunk in (0..300).collect::<Vec<_>>().chunks(25) {
        book.send(&runtime, chunk.iter().map(|number| (key(*number), Some(value(*number, 1)))).collect()).await;
    }
    assert_eq!(book.refused, []);
    (runtime, book)
}

#[tokio::test]
async fn a_page_that_is_damaged_while_it_is_open_costs_its_own_keys() {
    let disk = SimDisk::new(1);
    let (runtime, mut book) = filled(&disk, options()).await;
    let damage = damage_first(&disk);
    holds_for_its_keys_alone(&runtime, &mut book, damage).await;
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open_on(disk.after_kill(), Kv, options()).await.unwrap();
    assert_eq!(book.check(&runtime).await, [""; 0]);
}

#[tokio::test]
async fn a_page_that_is_damaged_when_it_is_opened_costs_its_own_keys() {
    let disk = SimDisk::new(2);
    let (runtime, mut book) = filled(&disk, options()).await;
    runtime.snapshot().await.unwrap();
    runtime.shutdown().await.unwrap();
    let disk = disk.after_kill();
    let damage = damage_first(&disk);
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    holds_for_its_keys_alone(&runtime, &mut book, damage).await;
    runtime.shutdown().await.unwrap();
    // The snapshot still refers to the page, and the log behind it overwrites that.
    let runtime = Runtime::open_on(disk.after_kill(), Kv, options()).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    assert_eq!(book.check(&runtime).await, [""; 0]);
    runtime.snapshot().await.unwrap();
}

/// Guards F46, F52: a file that cannot be read keeps its own values where they are, and no other file from being
/// compacted.
#[tokio::test]
async fn a_file_that_cannot_be_read_stops_no_compaction() {
    let disk = SimDisk::new(11);
    let runtime = Runtime::open_on(disk.clone(), Kv, options()).await.unwrap();
    let mut model = Model::default();
    model.put(&runtime, 0..400).await;
    until(&runtime, "spilled", |stats| stats.shards[0].cold_files > 2).await;
    let first = manifest(&disk).shards[0].cold.keys().next().copied();
    let path = Layout::new(DIR.as_ref()).cold(SHARD, first.unwrap());
    // Views and commands have it open; a compaction opens it.
    let tried = Arc::new(AtomicUsize::new(0));
    let (counted, named) = (Arc::clone(&tried), path.clone());
    disk.fail_when(move |call| {
        let is_opened = call.operation == Operation::Open && call.path == named;
        is_opened.then(|| counted.fetch_add(1, Ordering::SeqCst)).map(|_| FaultKind::ErrorOnce)
    });
    model.remove(&runtime, (0..400).filter(|number| number % 4 != 0)).await;
    until(&runtime, "compacted", |now| {
        tried.load(Ordering::SeqCst) > 0 && now.shards[0].compactions > 0 && now.shards[0].cold_live > 0
    })
    .await;
    assert!(disk.files().contains_key(&path), "what it has is still there");
    model.check(&runtime, 400).await;
}
