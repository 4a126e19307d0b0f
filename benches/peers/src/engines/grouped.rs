//! A group commit on the caller's side: clients are tokio tasks that queue their writes, and one thread hands all that
//! has queued up to the engine as one batch, then answers. What an application does whose engine syncs for every call.

use std::path::Path;
use std::thread;

use tokio::sync::oneshot;

use crate::drive::now;
use crate::engine::{Ability, Client, Driven, Engine, Pair, Policy, Settings};

/// An engine whose batches are atomic and synced once.
pub trait Groups: Engine {
    const GROUPED: &'static str;

    fn grouped_settings() -> Settings;
}

pub struct Grouped<E> {
    queue: flume::Sender<Queued>,
    writer: thread::JoinHandle<()>,
    engine: E,
}

pub struct GroupedClient {
    queue: flume::Sender<Queued>,
}

struct Queued {
    pair: Pair,
    answer: oneshot::Sender<()>,
}

impl<E: Groups> Engine for Grouped<E> {
    const NAME: &'static str = E::GROUPED;
    const DRIVEN: Driven = Driven::Tasks;
    const ABILITIES: &'static [Ability] = &[Ability::DurablePuts];
    const PACKAGE: Option<&'static str> = E::PACKAGE;
    type Client = GroupedClient;

    fn settings(_: Policy) -> Settings {
        E::grouped_settings()
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let engine = E::open(dir, policy).await;
        let client = engine.client();
        let (queue, queued) = flume::unbounded();
        let writer = thread::spawn(move || write_groups(client, &queued));
        Self { queue, writer, engine }
    }

    fn client(&self) -> GroupedClient {
        GroupedClient { queue: self.queue.clone() }
    }

    async fn close(self) {
        drop(self.queue);
        self.writer.join().expect("a writer that does not panic");
        self.engine.close().await;
    }
}

fn write_groups(mut client: impl Client, queued: &flume::Receiver<Queued>) {
    let (mut pairs, mut answers) = (Vec::new(), Vec::new());
    while let Ok(first) = queued.recv() {
        for Queued { pair, answer } in std::iter::once(first).chain(queued.drain()) {
            pairs.push(pair);
            answers.push(answer);
        }
        now(client.put(&pairs));
        pairs.clear();
        for answer in answers.drain(..) {
            // Who is gone does not mind.
            let _ = answer.send(());
        }
    }
}

impl Client for GroupedClient {
    async fn put(&mut self, pairs: &[Pair]) {
        let mut waiting = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let (answer, answered) = oneshot::channel();
            self.queue.send(Queued { pair: *pair, answer }).expect("a writer");
            waiting.push(answered);
        }
        for answered in waiting {
            answered.await.expect("a writer that answers");
        }
    }
}
