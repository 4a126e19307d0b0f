//! Puts, each client one after the other: single ones or batches. The latency is that of the whole batch.

use std::sync::Arc;
use std::time::Instant;

use crate::case::Scale;
use crate::data::Random;
use crate::drive;
use crate::engine::{Client, Engine};
use crate::measure::{Clock, Sample, Tally};

pub async fn run<E: Engine>(engine: &Arc<E>, clients: usize, batch: usize, scale: &Scale) -> Sample {
    let (clock, keys) = (Clock::seconds(scale.seconds), scale.keys);
    let body = move |client, index| puts_of_one(client, Random::new(index), keys, batch, clock);
    let tally = Tally::merged(drive::clients(engine, clients, body).await);
    let mut sample = Sample::new();
    tally.report("put", &clock, &mut sample);
    sample
}

/// One client that puts until the end.
pub async fn puts_of_one(mut client: impl Client, mut random: Random, keys: u64, batch: usize, clock: Clock) -> Tally {
    let mut tally = Tally::new();
    let mut pairs = Vec::with_capacity(batch);
    loop {
        pairs.clear();
        pairs.extend((0..batch).map(|_| random.pair(keys)));
        let started = Instant::now();
        if !clock.runs_at(started) {
            return tally;
        }
        client.put(&pairs).await;
        tally.record(batch as u64, started, &clock);
    }
}
