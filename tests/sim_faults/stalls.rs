//! Calls that do not come back: deadlines, bounds, other shards, and threads that wake up too late.

use std::time::{Duration, Instant};

use mainstay::sim::{Operation, Stall};
use mainstay::{NotExecuted, Outcome, ReadError, ShardId, SubmitError, SyncPolicy};

use crate::scene::{Scene, options, until};

/// The next call of that sort on the shard's log hangs, and only that one.
pub fn stall(scene: &Scene, shard: u32, operation: Operation) -> Stall {
    let active = scene.active(shard);
    let mut armed = true;
    scene.disk.stall(move |call| {
        let hit = armed && call.path == active && call.operation == operation;
        armed &= !hit;
        hit
    })
}

pub async fn stalled(stall: &Stall) {
    until("the call hangs", || stall.waiting() > 0).await;
}

/// Guards F2, F3, F37, F57, F59: callers are answered within the deadline, what piles up is bounded by the credits, the
/// outcome is found out later, and it is true.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_sync_parks_nobody_for_ever_and_lets_nothing_pile_up() {
    let mut few = options(SyncPolicy::Always, 1);
    few.lane_commands = 8;
    few.submit_deadline = Duration::from_millis(400);
    let mut scene = Scene::open(few).await;
    scene.write("a").await;
    let stall = stall(&scene, 0, Operation::Sync);
    let started = Instant::now();
    scene.write_many("a", 40).await;
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(5), "they waited {waited:?}");
    assert_eq!(stall.waiting(), 1);

    let records = scene.book.records();
    let errors: Vec<_> = records.iter().filter_map(|record| record.answer.clone().err()).collect();
    let open = |error: &&SubmitError| matches!(error, SubmitError::Unconfirmed { .. });
    let unconfirmed = errors.iter().filter(open).count();
    let late = SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept);
    assert_eq!(errors.len(), 40);
    assert!((1..=8).contains(&unconfirmed), "{unconfirmed} were accepted with 8 credits");
    assert!(errors.iter().filter(|error| !open(error)).all(|error| *error == late));
    let busy = scene.runtime.try_submit(scene.book.entry("a", 20)).await;
    assert_eq!(busy, Err(SubmitError::NotExecuted(NotExecuted::Busy)));
    for record in records.iter().filter(|record| record.answer.is_err()) {
        let Some((shard, position)) = record.given() else { continue };
        assert_eq!(scene.runtime.outcome(shard, position).await, Outcome::Pending);
    }

    stall.release();
    for record in records.iter().filter(|record| record.answer.is_err()) {
        let Some((shard, position)) = record.given() else { continue };
        scene.runtime.durable(shard, position).await.unwrap();
        assert_eq!(scene.runtime.outcome(shard, position).await, Outcome::Durable);
    }
    // A stall is not a death, and the credits have come back.
    assert_eq!((scene.stats(0).restarts, scene.stats(0).moves), (0, 0));
    let receipts = scene.book.receipts();
    scene.write_many("a", 20).await;
    assert_eq!(scene.book.receipts(), receipts + 20);
    scene.check_after_crashes().await;
}

/// Guards F57: what readers and waiters ask for while a sync hangs does not pile up either: it takes no credits.
#[tokio::test(flavor = "multi_thread")]
async fn questions_to_a_stalled_shard_do_not_pile_up() {
    let mut hasty = options(SyncPolicy::Never, 1);
    hasty.view_deadline = Duration::from_millis(1);
    let mut scene = Scene::open(hasty).await;
    scene.write("a").await;
    let stall = stall(&scene, 0, Operation::Sync);
    let first = scene.write("a").await;
    let waiters: Vec<_> = (0..100)
        .map(|_| {
            let (runtime, position) = (scene.runtime.clone(), first.position);
            tokio::spawn(async move { runtime.durable(ShardId(0), position).await })
        })
        .collect();
    stalled(&stall).await;
    // Accepted by the shard, and answered by nobody yet: who reads now asks for a newer root.
    scene.write_many("a", 1).await;
    for _ in 0..200 {
        scene.runtime.view().await;
        let _ = scene.runtime.latest();
    }
    // The batch, a root that shows it, a sync, and a wish for room.
    assert!(scene.stats(0).waiting_batches <= 4, "{:?}", scene.stats(0));
    stall.release();
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    scene.check_after_crashes().await;
}

/// Guards F57: nor do the wishes of a shard that has no room in the log while its writer hangs.
#[tokio::test(flavor = "multi_thread")]
async fn wishes_for_room_do_not_pile_up() {
    /// So many commands of 1,000 bytes fit into two files of 16 KiB.
    const ROOM: usize = 32;
    let mut scene = Scene::open(options(SyncPolicy::Never, 1)).await;
    scene.write("a").await;
    scene.settle().await;
    let stall = stall(&scene, 0, Operation::Write);
    let mut callers = Vec::new();
    let mut submit = || {
        let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
        let entry = book.entry("a", 1000);
        callers.push(tokio::spawn(async move { book.submit(&runtime, entry).await }));
    };
    submit();
    stalled(&stall).await;
    for submitted in 1..=200 {
        submit();
        // More than this the file and its spare cannot take.
        until("it was pushed", || scene.stats(0).waiting + ROOM >= submitted).await;
        // A turn of the shard for each, so that each could wish: without it the test only proves less.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(scene.stats(0).waiting_batches <= ROOM + 2, "{:?}", scene.stats(0));
    stall.release();
    for caller in callers {
        caller.await.unwrap();
    }
    scene.check_after_crashes().await;
}

/// Guards F2: another shard does not notice; a view is stale on the stalled shard's keys only.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_shard_is_stale_and_the_others_are_fresh() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 2)).await;
    let (still, lively) = (scene.key(0), scene.key(1));
    scene.write(&still).await;
    scene.write(&lively).await;
    // Somebody may have asked for a root; then it comes with the next answer, and not with the one after.
    scene.runtime.view().await;
    scene.write(&still).await;
    let answered = scene.write(&still).await;
    let stall = stall(&scene, 0, Operation::Sync);
    let writing = {
        let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
        let entry = book.entry(&still, 20);
        tokio::spawn(async move { book.submit(&runtime, entry).await })
    };
    stalled(&stall).await;
    let newest = scene.write(&lively).await;
    let started = Instant::now();
    let view = scene.runtime.view().await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let account = view.get(lively.as_bytes()).unwrap().unwrap();
    assert_eq!(account.fold, newest.reply);
    match view.get(still.as_bytes()) {
        Err(ReadError::Stale { shard, answered: wanted, published }) => {
            assert_eq!(shard, ShardId(0));
            assert!(wanted > answered.position && published < wanted);
        }
        Ok(account) => panic!("nothing newer could be published: {account:?}"),
        Err(other) => panic!("{other}"),
    }
    stall.release();
    writing.await.unwrap();
    let view = scene.runtime.view().await;
    let last = scene.write(&still).await;
    assert_eq!(view.get(still.as_bytes()).unwrap().unwrap().history.len(), 4);
    assert_eq!(last.position.lsn.0, 5);
    scene.check_after_crashes().await;
}

/// An old thread that hangs in a call, a restart meanwhile, and the old thread waking up.
async fn restart_over(operation: Operation) {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    let old_file = scene.active(0);
    let stall = stall(&scene, 0, operation);
    let writing: Vec<_> = (0..3)
        .map(|_| {
            let (book, runtime) = (scene.book.clone(), scene.runtime.clone());
            let entry = book.entry("a", 20);
            tokio::spawn(async move { book.submit(&runtime, entry).await })
        })
        .collect();
    stalled(&stall).await;
    scene.kill_and_wait("0/shard").await;

    // The new life serves while the old thread hangs.
    let receipt = scene.write("b").await;
    assert_eq!(receipt.position.epoch.0, 2);
    assert_eq!(stall.waiting(), 1);
    for writing in writing {
        writing.await.unwrap();
    }
    scene.write_many("a", 3).await;
    let told = scene.book.records();
    let (stats, log_end) = (scene.stats(0), scene.disk.read(&old_file));
    scene.check_after_crashes().await;
    scene.check_after_kill().await;

    let calls = scene.disk.calls();
    stall.release();
    until("the old thread has woken", || stall.waiting() == 0).await;
    // It ends, and so does its name: until then it could still do something.
    until("the old writer is gone", || scene.is_gone("0/wal_writer.1")).await;
    let after = scene.disk.trace().into_iter().filter(|call| call.number > calls);
    let of_old: Vec<_> = after.filter(|call| call.path == old_file).collect();
    assert_eq!(of_old, [], "the old thread went on");
    if operation == Operation::Sync {
        assert_eq!(scene.disk.read(&old_file), log_end);
    }
    let now = scene.stats(0);
    assert_eq!((now.answered, now.durable), (stats.answered, stats.durable));
    let same = |(old, new): (&crate::book::Record, &crate::book::Record)| old.id == new.id && old.answer == new.answer;
    assert!(told.iter().zip(&scene.book.records()).all(same), "somebody was answered twice");
    scene.write_many("a", 3).await;
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}

/// Guards F4, F10, F14: nothing that an old thread does counts any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_wakes_from_a_sync_after_a_restart_changes_nothing() {
    restart_over(Operation::Sync).await;
}

/// Guards F4, F10, F14: its frame lands behind the place where the log was sealed.
#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_wakes_from_a_write_after_a_restart_changes_nothing() {
    restart_over(Operation::Write).await;
}

/// Guards F2, F3: a thread inside a call cannot be killed; it dies when it wakes, and what it had finished stays true.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_inside_a_sync_dies_when_it_wakes() {
    let mut scene = Scene::open(options(SyncPolicy::Always, 1)).await;
    scene.write("a").await;
    let stall = stall(&scene, 0, Operation::Sync);
    scene.write_many("a", 3).await;
    let records = scene.book.records();
    let open = |record: &&crate::book::Record| matches!(record.answer, Err(SubmitError::Unconfirmed { .. }));
    assert_eq!(records.iter().filter(open).count(), 3);
    scene.actor("0/wal_writer").unwrap().kill();
    stall.release();
    until("the pair begins anew", || scene.stats(0).restarts == 1).await;
    let receipt = scene.write("b").await;
    assert_eq!((receipt.position.epoch.0, receipt.position.lsn.0), (2, 5));
    scene.check_after_crashes().await;
    scene.check_after_kill().await;
}
