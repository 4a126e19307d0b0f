//! Increments: reads, modifies and writes a counter, and learns the sum.

use std::sync::Arc;
use std::time::Instant;

use crate::case::Scale;
use crate::data::{Random, key};
use crate::drive;
use crate::engine::{Client, Engine};
use crate::measure::{Clock, Sample, Tally};

pub async fn run<E: Engine>(engine: &Arc<E>, clients: usize, scale: &Scale) -> Sample {
    let (clock, keys) = (Clock::seconds(scale.seconds), scale.keys);
    let body = move |client, index| adds_of_one(client, Random::new(index), keys, clock);
    let tally = Tally::merged(drive::clients(engine, clients, body).await);
    check(engine, keys).await;
    let mut sample = Sample::new();
    tally.report("add", &clock, &mut sample);
    sample
}

async fn adds_of_one(mut client: impl Client, mut random: Random, keys: u64, clock: Clock) -> Tally {
    let mut tally = Tally::new();
    loop {
        let key = key(random.below(keys));
        let started = Instant::now();
        if !clock.runs_at(started) {
            return tally;
        }
        client.add(&key).await;
        tally.record(1, started, &clock);
    }
}

/// Two increments in a row differ by one.
async fn check<E: Engine>(engine: &Arc<E>, keys: u64) {
    let body = move |mut client: E::Client, _| async move {
        let key = key(keys / 2);
        let first = client.add(&key).await;
        assert_eq!(client.add(&key).await, first.wrapping_add(1), "an increment was lost");
    };
    drive::clients(engine, 1, body).await;
}
