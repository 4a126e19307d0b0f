//! Clients that choose by chance between a get and a put, after as many that only get.
//!
//! What is lost of the gets is lost against the same clients reading alone, in the same process, right before.

use std::sync::Arc;
use std::time::Instant;

use super::loops;
use crate::case::Scale;
use crate::data::Random;
use crate::drive;
use crate::engine::{Client, Engine};
use crate::measure::{Clock, Sample, Tally};

/// One get of so many is timed, as where nobody writes.
const GETS_TIMED: u64 = 16;

pub async fn run<E: Engine>(engine: &Arc<E>, clients: usize, gets_percent: u64, scale: &Scale) -> Sample {
    let keys = scale.keys;
    let clock = Clock::seconds(scale.seconds / 2.0);
    let alone = loops::gets(engine, clients, keys, clock).await.per_second(&clock);
    let clock = Clock::seconds(scale.seconds);
    let body = move |client, index| mix_of_one(client, Random::new(index), keys, gets_percent, clock);
    let (gets, puts): (Vec<_>, Vec<_>) = drive::clients(engine, clients, body).await.into_iter().unzip();
    let mut sample = Sample::new();
    report(&Tally::merged(gets), &Tally::merged(puts), alone, &clock, &mut sample);
    sample
}

/// Both sides' figures, and what the gets lose.
pub fn report(gets: &Tally, puts: &Tally, alone: f64, clock: &Clock, sample: &mut Sample) {
    gets.report("get", clock, sample);
    puts.report("put", clock, sample);
    sample.insert("get alone/s".to_owned(), alone);
    sample.insert("gets lost %".to_owned(), (1.0 - gets.per_second(clock) / alone) * 100.0);
}

async fn mix_of_one(
    mut client: impl Client,
    mut random: Random,
    keys: u64,
    gets_percent: u64,
    clock: Clock,
) -> (Tally, Tally) {
    let (mut gets, mut puts) = (Tally::new(), Tally::new());
    let mut untimed = 0;
    loop {
        let gets_now = random.below(100) < gets_percent;
        if gets_now && untimed + 1 < GETS_TIMED {
            loops::get(&mut client, &mut random, keys).await;
            untimed += 1;
            continue;
        }
        let pair = [random.pair(keys)];
        let started = Instant::now();
        if !clock.runs_at(started) {
            return (gets, puts);
        }
        if gets_now {
            loops::get(&mut client, &mut random, keys).await;
            untimed += 1;
            gets.record(untimed, started, &clock);
            untimed = 0;
        } else {
            client.put(&pair).await;
            puts.record(1, started, &clock);
        }
    }
}
