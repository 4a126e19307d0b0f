//! mainstay, by clients that do not wait for the answer to one batch before they send the next.
//!
//! Every batch is answered, and looked at; four of a client are on their way at most. What a put takes here is the time
//! until the client may go on.

use std::collections::VecDeque;
use std::path::Path;

use tokio::task::JoinHandle;

use super::mainstay::{Mainstay, MainstayClient};
use crate::engine::{Ability, Client, Driven, Engine, Pair, Policy, Settings};

const ON_THE_WAY: usize = 4;

pub struct Ahead(Mainstay<false>);

pub struct AheadClient {
    one: MainstayClient<false>,
    on_the_way: VecDeque<JoinHandle<()>>,
}

impl Engine for Ahead {
    const NAME: &'static str = "mainstay ahead";
    const DRIVEN: Driven = Driven::Tasks;
    const ABILITIES: &'static [Ability] = &[Ability::BufferedPuts];
    const PACKAGE: Option<&'static str> = Some("mainstay");
    type Client = AheadClient;

    fn settings(_: Policy) -> Settings {
        Settings::of(
            "1 shard, `Interval(1 s)`; each client has up to four `submit_many` on their way; defaults otherwise",
        )
        .but("a put takes until the client may go on, not until its answer")
    }

    async fn open(dir: &Path, policy: Policy) -> Self {
        Self(Mainstay::open(dir, policy).await)
    }

    fn client(&self) -> AheadClient {
        AheadClient { one: self.0.client(), on_the_way: VecDeque::new() }
    }

    async fn settle(&self) {
        self.0.settle().await;
    }

    async fn close(self) {
        self.0.close().await;
    }
}

impl Client for AheadClient {
    async fn put(&mut self, pairs: &[Pair]) {
        if self.on_the_way.len() == ON_THE_WAY
            && let Some(oldest) = self.on_the_way.pop_front()
        {
            oldest.await.expect("a batch that was answered");
        }
        let (mut client, pairs) = (self.one.again(), pairs.to_vec());
        self.on_the_way.push_back(tokio::spawn(async move { client.put(&pairs).await }));
    }
}
