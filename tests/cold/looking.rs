//! Looking at versions of a state that has outgrown its memory: what is in files stays there, what has to be in memory
//! is bounded, and nothing is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mainstay::kv::{Entity, Kv};
use mainstay::{LogError, Memory, OpenError, Runtime, View};

use crate::book::Book;
use crate::going_back::{KEYS, LIMIT, options, put};
use crate::support::directory;

/// All files, with what changes when somebody writes to them.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in dir.read_dir().unwrap().map(Result::unwrap) {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.insert(entry.path(), (about.len(), about.modified().unwrap()));
        }
    }
    files
}

fn cold_len(view: &View<Entity>) -> usize {
    view.shards().map(|shard| view.cold_len(shard).unwrap()).sum()
}

/// How much there may be, if it is too much.
fn allowed(looked: Result<View<Entity>, OpenError>) -> u64 {
    match looked {
        Err(OpenError::Shard { error: LogError::OutOfMemory { bytes, allowed }, .. }) => {
            assert!(bytes > allowed, "{bytes} of {allowed}");
            allowed
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is not too much"),
    }
}

/// Guards F48, F57.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cold_stays_cold_and_the_rest_is_bounded() {
    let dir = directory();
    let runtime = Runtime::open(Kv, options(dir.path(), LIMIT)).await.unwrap();
    let mut book = Book::default();
    put(&runtime, &mut book, 1, 0..KEYS).await;
    runtime.snapshot().await.unwrap();
    put(&runtime, &mut book, 2, 0..20).await;
    let (short, mut then) = (runtime.mark().await.unwrap().id, book.clone());
    put(&runtime, &mut book, 3, (0..KEYS).step_by(2)).await;
    let (long, mut later) = (runtime.mark().await.unwrap().id, book.clone());
    put(&runtime, &mut book, 4, (0..KEYS).step_by(3)).await;

    let view = runtime.view_at(short).await.unwrap();
    assert!(cold_len(&view) > 1_000, "{}", cold_len(&view));
    assert_eq!(then.check_view(&view).await, [""; 0]);
    // Twice the limit was logged.
    assert_eq!(allowed(runtime.view_at(long).await), LIMIT);
    assert_eq!(book.check(&runtime).await, [""; 0]);
    runtime.shutdown().await.unwrap();

    let before = files(dir.path());
    let enough = Memory::Bytes(LIMIT);
    let looked = Runtime::open_at(Kv, dir.path(), short, enough).await.unwrap();
    assert_eq!(cold_len(&looked), cold_len(&view));
    assert_eq!(then.check_view(&looked).await, [""; 0]);
    assert_eq!(allowed(Runtime::open_at(Kv, dir.path(), long, enough).await), LIMIT / 16 * 15);
    assert_eq!(allowed(Runtime::open_at(Kv, dir.path(), short, Memory::Bytes(160_000)).await), 150_000);
    let all = Runtime::open_at(Kv, dir.path(), long, Memory::Unlimited).await.unwrap();
    assert_eq!(later.check_view(&all).await, [""; 0]);
    assert_eq!(files(dir.path()), before);
    // Whatever becomes of the files.
    drop(dir);
    assert_eq!(then.check_view(&looked).await, [""; 0]);
}
