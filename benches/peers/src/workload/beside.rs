//! One client that gets beside one that puts: in steps of 64 as often as its rate asks for, or without a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{loops, mix, puts};
use crate::case::Scale;
use crate::data::Random;
use crate::drive;
use crate::engine::{Client, Driven, Engine};
use crate::measure::{Clock, Sample, Tally};

const BATCH: usize = 64;

pub async fn run<E: Engine>(engine: &Arc<E>, puts_per_second: Option<u64>, scale: &Scale) -> Sample {
    let keys = scale.keys;
    let clock = Clock::seconds(scale.seconds / 2.0);
    let alone = loops::gets(engine, 1, keys, clock).await.per_second(&clock);
    let clock = Clock::seconds(scale.seconds);
    let body = move |client, index| async move {
        let random = Random::new(index);
        match (index, puts_per_second) {
            (0, _) => (loops::gets_of_one(client, random, keys, clock).await, Tally::new()),
            (_, None) => (Tally::new(), puts::puts_of_one(client, random, keys, BATCH, clock).await),
            (_, Some(rate)) => (Tally::new(), paced::<E>(client, random, keys, rate, clock).await),
        }
    };
    let (gets, puts): (Vec<_>, Vec<_>) = drive::clients(engine, 2, body).await.into_iter().unzip();
    let mut sample = Sample::new();
    mix::report(&Tally::merged(gets), &Tally::merged(puts), alone, &clock, &mut sample);
    sample
}

/// Puts at a rate. A put that begins late is timed from when it was due.
async fn paced<E: Engine>(mut client: E::Client, mut random: Random, keys: u64, rate: u64, clock: Clock) -> Tally {
    let mut tally = Tally::new();
    let step = Duration::from_secs_f64(BATCH as f64 / rate as f64);
    let mut due = Instant::now();
    while clock.runs_at(due) {
        let pairs: Vec<_> = (0..BATCH).map(|_| random.pair(keys)).collect();
        let wait = due.saturating_duration_since(Instant::now());
        match E::DRIVEN {
            Driven::Tasks => tokio::time::sleep(wait).await,
            Driven::Threads => std::thread::sleep(wait),
        }
        client.put(&pairs).await;
        tally.record(BATCH as u64, due, &clock);
        due += step;
    }
    tally
}
