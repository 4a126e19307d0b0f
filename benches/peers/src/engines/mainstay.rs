//! mainstay, by its public interface only.
//!
//! Reads are made as a server makes them: a *request* of up to 64 gets takes one `view()`, which shows everything that
//! was answered before, and a client that has written takes a new one. `mainstay latest` takes `latest()` for every
//! single get instead: it never waits, and may not show the newest writes.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use mainstay::{Abort, At, Options, Runtime, StateMachine, SyncPolicy, Txn, View};
use serde::{Deserialize, Serialize};

use crate::engine::{Ability, Client, Driven, Engine, Key, Pair, Policy, Settings, Value, incremented};

const GETS_A_REQUEST: u32 = 64;

pub struct Mainstay<const LATEST: bool> {
    runtime: Runtime<Values>,
}

pub struct MainstayClient<const LATEST: bool> {
    runtime: Runtime<Values>,
    view: Option<View<Value>>,
    /// Gets of the request so far.
    gets: u32,
}

pub struct Values;

#[derive(Serialize, Deserialize)]
pub enum Command {
    Put(#[serde(with = "serde_bytes")] Key, Value),
    Add(#[serde(with = "serde_bytes")] Key),
}

impl StateMachine for Values {
    type Command = Command;
    type Entity = Value;
    type Reply = u64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        let (Command::Put(key, _) | Command::Add(key)) = command;
        Cow::Borrowed(key)
    }

    fn apply(&self, _: At, state: &mut Txn<'_, Value>, command: Command) -> Result<u64, Abort> {
        match command {
            Command::Put(key, value) => {
                state.put(&key, value);
                Ok(0)
            }
            Command::Add(key) => {
                let old = state.get(&key)?;
                let (value, sum) = incremented(old.as_deref().map(|value| value.as_slice()));
                state.put(&key, value);
                Ok(sum)
            }
        }
    }

    fn heap_bytes(&self, _: &Value) -> usize {
        size_of::<Value>()
    }
}

impl<const LATEST: bool> Engine for Mainstay<LATEST> {
    const NAME: &'static str = if LATEST { "mainstay latest" } else { "mainstay" };
    const DRIVEN: Driven = Driven::Tasks;
    const ABILITIES: &'static [Ability] = if LATEST {
        &[Ability::Gets]
    } else {
        &[
            Ability::DurablePuts,
            Ability::BufferedPuts,
            Ability::Gets,
            Ability::DurableAdds,
            Ability::BufferedAdds,
            Ability::Recovery,
        ]
    };
    const PACKAGE: Option<&'static str> = Some("mainstay");
    type Client = MainstayClient<LATEST>;

    fn settings(policy: Policy) -> Settings {
        match (LATEST, policy) {
            (true, _) => Settings::of("1 shard, `Interval(1 s)`; `latest()` for every get")
                .but("a get may miss the newest writes, the client's own among them"),
            (false, Policy::Durable) => {
                Settings::of("1 shard, `Always`; tokio tasks, one `submit` each at a time; defaults otherwise")
            }
            (false, Policy::Buffered) => Settings::of(
                "1 shard, `Interval(1 s)`; tokio tasks, `submit_many` for batches; one `view()` for up to 64 gets, and \
                 a new one after the client's own put; defaults otherwise",
            ),
        }
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        let sync = match policy {
            Policy::Durable => SyncPolicy::Always,
            Policy::Buffered => SyncPolicy::Interval(Duration::from_secs(1)),
        };
        let options = Options { shards: Some(1), sync, ..Options::new(dir) };
        Self { runtime: Runtime::open(Values, options).await.expect("a directory to open") }
    }

    fn client(&self) -> MainstayClient<LATEST> {
        MainstayClient { runtime: self.runtime.clone(), view: None, gets: 0 }
    }

    /// Roots are published on demand: `latest()` finds one afterwards.
    async fn settle(&self) {
        drop(self.runtime.view().await);
    }

    async fn close(self) {
        self.runtime.shutdown().await.expect("an orderly end");
    }
}

impl<const LATEST: bool> MainstayClient<LATEST> {
    /// Another client of the same runtime.
    pub fn again(&self) -> Self {
        Self { runtime: self.runtime.clone(), view: None, gets: 0 }
    }

    async fn submit(&mut self, command: Command) -> u64 {
        self.view = None;
        self.runtime.submit(command).await.expect("a receipt").reply
    }
}

impl<const LATEST: bool> Client for MainstayClient<LATEST> {
    async fn put(&mut self, pairs: &[Pair]) {
        if let [(key, value)] = pairs {
            self.submit(Command::Put(*key, *value)).await;
            return;
        }
        self.view = None;
        let commands = pairs.iter().map(|(key, value)| Command::Put(*key, *value)).collect();
        let answers = self.runtime.submit_many(commands).await;
        assert!(answers.iter().all(Result::is_ok), "every command gets its receipt");
    }

    async fn get(&mut self, key: &Key) -> Option<u8> {
        self.gets += 1;
        if self.gets == GETS_A_REQUEST {
            (self.gets, self.view) = (0, None);
        }
        if LATEST {
            let found = self.runtime.latest().get(key).expect("a shard that was not refused");
            return found.map(|value| value[50]);
        }
        let view = match self.view.take() {
            Some(view) => view,
            None => self.runtime.view().await,
        };
        let view = self.view.insert(view);
        view.get(key).expect("a shard that publishes").map(|value| value[50])
    }

    async fn pause(&mut self) {
        tokio::task::coop::consume_budget().await;
    }

    async fn add(&mut self, key: &Key) -> u64 {
        self.submit(Command::Add(*key)).await
    }
}
