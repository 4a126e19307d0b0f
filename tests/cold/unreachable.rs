//! Going back to a version that needs cold files which are gone or damaged: the state that is there is not given up for
//! one that cannot be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use mainstay::kv::Kv;
use mainstay::model::{ColdFault, ColdSeq, Manifest};
use mainstay::sim::{Operation, SimDisk};
use mainstay::storage::layout::Layout;
use mainstay::{Memory, Options, ReadError, Runtime, ShardId, VersionError, VersionId};

use crate::book::Book;
use crate::damage::{self, damage};
use crate::disk::{DIR, is_cold, manifest};
use crate::state::{PATIENCE, key, value};

const KEYS: u32 = 300;

/// A directory at rest.
struct Scene {
    disk: SimDisk,
    first: VersionId,
    second: VersionId,
    /// What was in them, and what is there now.
    books: [Book; 3],
    /// Only the first version needs it.
    file: ColdSeq,
}

/// Has room for all of it, so that nothing is spilled.
fn calm() -> Options {
    Options { memory: Memory::Unlimited, spill: false, ..damage::options() }
}

fn path(file: ColdSeq) -> PathBuf {
    Layout::new(DIR.as_ref()).cold(ShardId(0), file)
}

async fn put(runtime: &Runtime<Kv>, book: &mut Book, version: u32, numbers: impl Iterator<Item = u32>) {
    let numbers: Vec<_> = numbers.collect();
    for chunk in numbers.chunks(25) {
        book.send(runtime, chunk.iter().map(|number| (key(*number), Some(value(*number, version)))).collect()).await;
    }
    assert_eq!(book.refused, []);
}

/// The cold files of the snapshot that a version begins with.
fn needed(manifest: &Manifest, version: VersionId) -> Vec<ColdSeq> {
    let end = manifest.versions[&version].points[0].end.lsn;
    let (_, base) = manifest.shards[0].snapshots_up_to(end).next().unwrap();
    base.cold.clone()
}

impl Scene {
    async fn new() -> Self {
        let disk = SimDisk::new(9);
        let (runtime, mut book) = damage::filled(&disk, damage::options()).await;
        let mut books = Vec::new();
        runtime.snapshot().await.unwrap();
        put(&runtime, &mut book, 2, (0..KEYS).step_by(50)).await;
        let first = runtime.mark().await.unwrap().id;
        books.push(book.clone());
        put(&runtime, &mut book, 3, 0..KEYS).await;
        runtime.snapshot().await.unwrap();
        let second = runtime.mark().await.unwrap().id;
        books.push(book.clone());
        put(&runtime, &mut book, 4, (0..KEYS).step_by(3)).await;
        books.push(book);
        runtime.shutdown().await.unwrap();
        let manifest = manifest(&disk);
        let others = needed(&manifest, second);
        let file = needed(&manifest, first).into_iter().find(|file| !others.contains(file)).unwrap();
        let books = books.try_into().ok().unwrap();
        Self { disk: disk.after_kill(), first, second, books, file }
    }
}

/// How many keys of a version cannot be read, all for this reason. The others are what they were.
async fn lost(runtime: &Runtime<Kv>, version: VersionId, book: &Book, why: ColdFault) -> usize {
    let view = runtime.view_at(version).await.unwrap();
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let mut lost = 0;
    for (key, found) in keys.iter().zip(view.read_many(&keys).await) {
        match found {
            Ok(found) => assert_eq!(found.map(|entity| entity.value().to_vec()), book.get(key), "{key}"),
            Err(ReadError::Unreadable(error)) if error.why == why => lost += 1,
            Err(error) => panic!("{key}: {error}"),
        }
    }
    lost
}

/// Tries until the log has all the files that it makes in its own time: then nothing at all is changed.
async fn refused(disk: &SimDisk, runtime: &Runtime<Kv>, version: VersionId) -> VersionError {
    let (started, rest) = (Instant::now(), |manifest: Manifest| (manifest.timeline, manifest.versions));
    let before = rest(manifest(disk));
    loop {
        let files = disk.files();
        let error = runtime.rollback(version).await.unwrap_err();
        assert_eq!(rest(manifest(disk)), before);
        if disk.files() == files {
            return error;
        }
        assert!(started.elapsed() < PATIENCE, "it changes something each time");
    }
}

/// Guards F43, F65: a missing file and a damaged page are found before anything is touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_values_that_cannot_be_read_is_not_gone_back_to() {
    let scene = Scene::new().await;
    for why in [ColdFault::Missing, ColdFault::Damaged] {
        let disk = scene.disk.after_kill();
        let runtime = Runtime::open_on(disk.clone(), Kv, calm()).await.unwrap();
        let [first, mut second, mut now] = scene.books.clone();
        match why {
            ColdFault::Missing => disk.erase(path(scene.file)).unwrap(),
            _ => drop(damage(&disk, scene.file)),
        }
        let error = refused(&disk, &runtime, scene.first).await;
        println!("{error}");
        let VersionError::Unreachable { version, reason } = error else { panic!("{why}: {error}") };
        assert_eq!(version, scene.first);
        assert!(reason.contains(&*path(scene.file).to_string_lossy()), "{reason}");
        // It can be looked at.
        let lost = lost(&runtime, scene.first, &first, why).await;
        assert!(lost > 0 && lost < KEYS as usize, "{lost}");
        assert_eq!(now.check(&runtime).await, [""; 0]);
        put(&runtime, &mut now, 5, 0..10).await;
        assert_eq!(now.check(&runtime).await, [""; 0]);
        runtime.rollback(scene.second).await.unwrap();
        assert_eq!(second.check(&runtime).await, [""; 0]);
        runtime.shutdown().await.unwrap();
        let runtime = Runtime::open_on(disk.after_kill(), Kv, calm()).await.unwrap();
        assert_eq!(second.check(&runtime).await, [""; 0]);
    }
}

/// Guards F65: damage where no value of the version lies keeps nobody from it: in a file's header, and in a page whose
/// values were all written again in front of the version.
#[tokio::test(flavor = "multi_thread")]
async fn damage_that_costs_a_version_nothing_is_no_matter() {
    let Scene { disk, first, books: [mut book, ..], file, .. } = Scene::new().await;
    let byte = disk.read(path(file)).unwrap()[10];
    disk.overwrite(path(file), 10, &[byte ^ 1]).unwrap();
    let runtime = Runtime::open_on(disk.clone(), Kv, calm()).await.unwrap();
    runtime.rollback(first).await.unwrap();
    assert_eq!(book.check(&runtime).await, [""; 0]);
    disk.overwrite(path(file), 10, &[byte]).unwrap();
    let keys = damage(&disk, file).keys;
    book.send(&runtime, keys.iter().map(|key| (key.clone(), Some(b"again".to_vec()))).collect()).await;
    let version = runtime.mark().await.unwrap().id;
    let then = book.clone();
    put(&runtime, &mut book, 6, 0..KEYS).await;
    assert!(needed(&manifest(&disk), version).contains(&file));
    runtime.rollback(version).await.unwrap();
    assert_eq!(then.clone().check(&runtime).await, [""; 0]);
}

/// Guards F62: who does not want the version any more waits for one read, and not for all its files.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_not_verified_to_its_end() {
    // What is read in order is dropped from the cache first.
    is_not_read_to_its_end(calm(), Operation::DropCache).await;
}

/// The same where the state is only made: its digest is of all values.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_has_no_digest_taken_to_its_end() {
    is_not_read_to_its_end(Options { digest: true, ..calm() }, Operation::Read).await;
}

/// The reading is given up in its first call of this kind.
async fn is_not_read_to_its_end(options: Options, first_call: Operation) {
    let scene = Scene::new().await;
    let (disk, files) = (scene.disk.clone(), needed(&manifest(&scene.disk), scene.first).len());
    assert!(files > 2, "{files}");
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    let stall = disk.stall(move |call| is_cold(&call.path) && call.operation == first_call);
    let going_back = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.rollback(scene.first).await }
    });
    let started = Instant::now();
    while stall.waiting() == 0 {
        assert!(started.elapsed() < PATIENCE && !going_back.is_finished(), "nothing is verified");
        tokio::task::yield_now().await;
    }
    runtime.cancel_snapshots();
    assert_eq!(going_back.await.unwrap(), Err(VersionError::Cancelled));
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reads);
    disk.fail_when(move |call| {
        let is_read = is_cold(&call.path) && call.operation == Operation::Read;
        counted.fetch_add(u32::from(is_read), Ordering::SeqCst);
        None
    });
    stall.release();
    runtime.shutdown().await.unwrap();
    // Who reads keeps the directory locked, and an opening without a digest reads no value.
    let options = Options { lock_wait: PATIENCE, ..calm() };
    let runtime = Runtime::open_on(disk.clone(), Kv, options).await.unwrap();
    assert!(reads.load(Ordering::SeqCst) <= 1, "{reads:?} reads of {files} files");
    let [mut first, _, mut now] = scene.books;
    assert_eq!(now.check(&runtime).await, [""; 0]);
    runtime.rollback(scene.first).await.unwrap();
    assert_eq!(first.check(&runtime).await, [""; 0]);
}
