//! Deadlines of commands that wait hold, whatever the tokio runtimes do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use mainstay::sim::SimDisk;
use mainstay::{NotExecuted, Options, Runtime, SubmitError};
use tokio::task::JoinHandle;

use crate::gate::{Gate, Gated, OpenOnDrop, until};
use crate::support::{Counters, add};
use crate::{PATIENCE, one_shard};

const TOO_LATE: SubmitError = SubmitError::NotExecuted(NotExecuted::DeadlineBeforeAccept);

fn hasty() -> Options {
    Options { submit_deadline: Duration::from_millis(100), ..one_shard(Path::new("/data")) }
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Guards F33: the actors' tokio runtime is one of a single thread, and nobody drives it.
#[test]
fn a_runtime_that_nobody_drives() {
    let (actors, callers) = (tokio_runtime(), tokio_runtime());
    let runtime = actors.block_on(Runtime::open_on(SimDisk::new(1), Counters, hasty())).unwrap();
    for _ in 0..2 {
        let answer = callers.block_on(async { tokio::time::timeout(PATIENCE, runtime.submit(add("a", 1))).await });
        assert_eq!(answer.expect("nobody looks at the deadline"), Err(TOO_LATE));
    }
}

/// A runtime whose `apply` is held up until the gate opens, and the command that it is held up in.
async fn held_up(gate: &Gate) -> (Runtime<Gated<Counters>>, JoinHandle<bool>) {
    let runtime = Runtime::open_on(SimDisk::new(1), Gated(Counters, gate.clone()), hasty()).await.unwrap();
    let begun = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.submit(add("a", 1)).await.is_ok() }
    });
    until("apply is held up", || gate.somebody_waits()).await;
    (runtime, begun)
}

/// A waker that panics, as a broken executor's would.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

/// Guards F33: one caller's waker does not cost the others their deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waker_that_panics() {
    let gate = Gate::default();
    let _open = OpenOnDrop(gate.clone());
    let (runtime, begun) = held_up(&gate).await;
    let mut broken = Box::pin(runtime.submit(add("b", 1)));
    assert!(broken.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    for _ in 0..2 {
        assert_eq!(runtime.submit(add("c", 1)).await, Err(TOO_LATE));
    }
    assert_eq!(broken.await, Err(TOO_LATE));
    gate.open();
    assert!(begun.await.unwrap());
}

/// A waker that asks the runtime something, as one that polls at once would.
struct Asks(Runtime<Gated<Counters>>, AtomicU64);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1 + self.0.stats().shards[0].waiting as u64, Ordering::SeqCst);
    }
}

/// Guards F33: whoever is woken is somebody else's code, and may come back for a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waker_that_asks() {
    let gate = Gate::default();
    let _open = OpenOnDrop(gate.clone());
    let (runtime, begun) = held_up(&gate).await;
    let asks = Arc::new(Asks(runtime.clone(), AtomicU64::new(0)));
    let mut late = Box::pin(runtime.submit(add("b", 1)));
    assert!(late.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&asks)))).is_pending());
    until("it is woken", || asks.1.load(Ordering::SeqCst) > 0).await;
    assert_eq!(late.await, Err(TOO_LATE));
    gate.open();
    assert!(begun.await.unwrap());
}
