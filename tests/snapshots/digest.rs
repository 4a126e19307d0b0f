//! Digests: the same state has the same one however it came to be, and what is read back is held against it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, Ordering};

use mainstay::{Abort, At, LogError, Memory, OpenError, Options, Runtime, StateMachine, Txn, VersionError};

use super::reclaim::write;
use super::rollback::sums;
use crate::support::{Command, Counters, Entity, directory, small};

fn with_digest(dir: &std::path::Path) -> Options {
    Options { shards: Some(2), digest: true, ..small(dir) }
}

/// Guards F64, F67: a mark, a rewrite's scan, a recovery and a rollback agree.
#[tokio::test]
async fn whoever_takes_it_it_is_the_same() {
    let dir = directory();
    let runtime = Runtime::open(Counters, with_digest(dir.path())).await.unwrap();
    write(&runtime, 200).await;
    let marked = runtime.mark().await.unwrap();
    let rewritten = runtime.rewrite().await.unwrap();
    assert!(marked.digest.is_some());
    assert_eq!(marked.digest, rewritten.digest);
    write(&runtime, 1).await;
    let later = runtime.mark().await.unwrap();
    assert_ne!(later.digest, marked.digest);
    runtime.shutdown().await.unwrap();

    // Recovered from a snapshot, and followed from there.
    let runtime = Runtime::open(Counters, with_digest(dir.path())).await.unwrap();
    assert_eq!(runtime.mark().await.unwrap().digest, later.digest);
    runtime.rollback(rewritten.id).await.unwrap();
    assert_eq!(runtime.mark().await.unwrap().digest, marked.digest);
    runtime.shutdown().await.unwrap();

    // Without following it, a rewrite scans.
    let runtime = Runtime::open(Counters, Options { digest: false, ..with_digest(dir.path()) }).await.unwrap();
    assert_eq!(runtime.mark().await.unwrap().digest, None);
    assert_eq!(runtime.rewrite().await.unwrap().digest, marked.digest);
}

/// A machine whose `apply` depends on something that is not logged.
struct Moody;

static MOOD: AtomicI64 = AtomicI64::new(0);

impl StateMachine for Moody {
    type Command = Command;
    type Entity = Entity;
    type Reply = i64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        match command {
            Command::Add(key, _) | Command::Put(key, _) | Command::Panic(key) => Cow::Borrowed(key),
        }
    }

    fn apply(&self, at: At, state: &mut Txn<'_, Entity>, command: Command) -> Result<i64, Abort> {
        let sum = MOOD.load(Ordering::Relaxed);
        state.put(&self.key(&command), Entity { sum, bytes: Vec::new(), time: at.time.0 });
        Ok(sum)
    }
}

/// Guards F64: a replay that makes another state is not served.
#[tokio::test]
async fn a_replay_that_differs_is_refused() {
    let dir = directory();
    let options = Options { shards: None, ..with_digest(dir.path()) };
    let runtime = Runtime::open(Moody, options.clone()).await.unwrap();
    runtime.submit(Command::Add(b"a".to_vec(), 1)).await.unwrap();
    let version = runtime.mark().await.unwrap();
    runtime.submit(Command::Add(b"b".to_vec(), 1)).await.unwrap();
    let before = runtime.view().await.get(b"b").unwrap().unwrap().sum;
    MOOD.store(7, Ordering::Relaxed);
    let refused = runtime.rollback(version.id).await;
    assert!(
        matches!(&refused, Err(VersionError::Unreachable { reason, .. }) if reason.contains("digest")),
        "{refused:?}"
    );
    assert_eq!(runtime.view().await.get(b"b").unwrap().unwrap().sum, before, "nothing was touched");
    let looked = Runtime::open_at(Moody, dir.path(), version.id, Memory::Unlimited).await;
    assert!(matches!(looked, Err(OpenError::Shard { error: LogError::Digest { .. }, .. })));
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open(Moody, options).await.unwrap();
    assert!(matches!(runtime.recovery().refused().next(), Some((_, LogError::Digest { .. }))));
}

/// A backup's version has the digest of what was backed up.
#[tokio::test]
async fn a_backup_is_held_against_it() {
    let dir = directory();
    let runtime = Runtime::open(Counters, with_digest(&dir.path().join("live"))).await.unwrap();
    write(&runtime, 100).await;
    let backup = dir.path().join("backup");
    let version = runtime.backup(&backup).await.unwrap();
    let copy = Runtime::open(Counters, with_digest(&backup)).await.unwrap();
    assert_eq!(copy.versions()[0].digest, version.digest);
    assert_eq!(copy.mark().await.unwrap().digest, version.digest);
    assert_eq!(sums(&copy.view().await), sums(&runtime.view().await));
}

/// Going back changes neither whether the state is followed nor what is compared.
#[tokio::test]
async fn a_rollback_leaves_the_option_what_it_is() {
    let dir = directory();
    let off = Options { digest: false, ..with_digest(dir.path()) };
    let runtime = Runtime::open(Counters, off).await.unwrap();
    write(&runtime, 50).await;
    let scanned = runtime.rewrite().await.unwrap();
    let plain = runtime.mark().await.unwrap();
    assert_eq!((scanned.digest.is_some(), plain.digest), (true, None));
    runtime.rollback(scanned.id).await.unwrap();
    assert_eq!(runtime.mark().await.unwrap().digest, None);
    write(&runtime, 50).await;
    let later = runtime.mark().await.unwrap();
    runtime.shutdown().await.unwrap();
    let runtime = Runtime::open(Counters, with_digest(dir.path())).await.unwrap();
    runtime.rollback(later.id).await.unwrap();
    assert!(runtime.mark().await.unwrap().digest.is_some());
    runtime.rollback(scanned.id).await.unwrap();
    assert_eq!(runtime.mark().await.unwrap().digest, scanned.digest);
}
