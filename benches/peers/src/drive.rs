//! Runs a body for each client: on tokio tasks or on threads of the operating system, as the engine is made for.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{Driven, Engine, Policy};

/// Runs `body` with a client for each of so many, all at once, and collects what they return.
pub async fn clients<E, R, F, B>(engine: &Arc<E>, count: usize, body: B) -> Vec<R>
where
    E: Engine,
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
    B: Fn(E::Client, usize) -> F + Clone + Send + 'static,
{
    let mut results = Vec::with_capacity(count);
    match E::DRIVEN {
        Driven::Tasks => {
            let spawned: Vec<_> = (0..count).map(|index| tokio::spawn(body(engine.client(), index))).collect();
            for task in spawned {
                results.push(task.await.expect("a client that does not panic"));
            }
        }
        Driven::Threads => {
            let spawn = |index| {
                let (engine, body) = (Arc::clone(engine), body.clone());
                thread::spawn(move || now(body(engine.client(), index)))
            };
            let spawned: Vec<_> = (0..count).map(spawn).collect();
            for thread in spawned {
                results.push(thread.join().expect("a client that does not panic"));
            }
        }
    }
    results
}

/// The result of a future that never waits.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("an engine for threads blocks instead"),
    }
}

/// Has a buffered engine synced once a second, if it does not do that itself; until dropped.
pub struct Syncing {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Syncing {
    pub fn start<E: Engine>(engine: &Arc<E>, policy: Policy) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let needed = policy == Policy::Buffered && !E::SYNCS_ITSELF;
        let thread = needed.then(|| {
            let (engine, ended) = (Arc::clone(engine), Arc::clone(&ended));
            thread::spawn(move || every_second(&ended, || engine.sync()))
        });
        Self { ended, thread }
    }
}

fn every_second(ended: &AtomicBool, work: impl Fn()) {
    let mut next = Instant::now() + Duration::from_secs(1);
    while !ended.load(Ordering::Relaxed) {
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
        if Instant::now() >= next {
            work();
            next += Duration::from_secs(1);
        }
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("a sync that does not panic");
        }
    }
}
