//! A shard whose `apply` does not get on: who is told what, and when.

use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{Lsn, NotExecuted, Options, Runtime, SubmitError};

use crate::gate::{Gate, Gated, OpenOnDrop, poll_once, until};
use crate::support::{Counters, add};
use crate::{SHARD, one_shard};

const LANE: u32 = 8;

/// Guards F2, F3, F37, F59: what `apply` has not begun is certainly not executed when its deadline has passed, whether
/// it waited in the lane or in front of it; what it has begun is answered truly, however late.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deadlines_in_front_of_a_slow_apply() {
    let gate = Gate::default();
    let _open = OpenOnDrop(gate.clone());
    let options = Options {
        lane_commands: LANE,
        submit_deadline: Duration::from_millis(100),
        sync_deadline: Duration::from_secs(60),
        ..one_shard(Path::new("/data"))
    };
    let sim = SimDisk::new(1);
    let runtime = Runtime::open_on(sim.clone(), Gated(Counters, gate.clone()), options.clone()).await.unwrap();
    let submit = |name: &'static str| {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.submit(add(name, 1)).await })
    };
    let begun = submit("begun");
    until("apply is held up", || gate.somebody_waits()).await;
    // Seven have room beside it, the others wait for credits.
    let late: Vec<_> = (0..2 * LANE).map(|_| submit("late")).collect();
    let many = {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.submit_many(vec![add("late", 1); 5]).await })
    };
    until("the lane is full", || runtime.stats().shards[0].waiting == LANE as usize - 1).await;
    let busy = runtime.try_submit(add("late", 1)).await.unwrap_err();
    assert_eq!(busy, SubmitError::NotExecuted(NotExecuted::Busy));
    let too_late = SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept);
    for late in late {
        assert_eq!(late.await.unwrap().unwrap_err(), too_late);
    }
    for late in many.await.unwrap() {
        assert_eq!(late.unwrap_err(), too_late);
    }
    assert!(!begun.is_finished());
    gate.open_below(Lsn(2));
    let begun = tokio::time::timeout(Duration::from_secs(20), begun).await;
    let receipt = begun.expect("apply has gone on to what was given up").unwrap().unwrap();
    assert_eq!((receipt.reply, receipt.position.lsn), (1, Lsn(1)));
    // What was given up takes no room and no position.
    let attempt = |name| Box::pin(runtime.try_submit(add(name, 1)));
    until("the lane is empty", || runtime.stats().shards[0].waiting == 0).await;
    let mut next = attempt("next");
    until("credits are back", || {
        poll_once(&mut next) == Poll::Pending || {
            next = attempt("next");
            false
        }
    })
    .await;
    until("apply is held up again", || gate.somebody_waits()).await;
    gate.open();
    assert_eq!(next.await.unwrap().position.lsn, Lsn(2));
    let view = runtime.view().await;
    assert_eq!((view.end(SHARD).unwrap().lsn, view.get(b"late").unwrap()), (Lsn(3), None));
    let again = Runtime::open_on(sim.crash(1), Counters, options).await.unwrap();
    assert_eq!((again.latest().end(SHARD).unwrap().lsn, again.latest().get(b"late").unwrap()), (Lsn(3), None));
}
