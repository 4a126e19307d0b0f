//! Reads alone: a workload, and what the others are compared with.

use std::sync::Arc;
use std::time::Instant;

use crate::data::{Random, key};
use crate::drive;
use crate::engine::{Client, Engine};
use crate::measure::{Clock, Tally};

/// One get of so many is timed: a clock costs a fifth of a get.
const GETS_TIMED: u64 = 16;

/// So many clients that only get.
pub async fn gets<E: Engine>(engine: &Arc<E>, clients: usize, keys: u64, clock: Clock) -> Tally {
    let body = move |client, index| gets_of_one(client, Random::new(index), keys, clock);
    Tally::merged(drive::clients(engine, clients, body).await)
}

/// One client that gets until the end.
pub async fn gets_of_one(mut client: impl Client, mut random: Random, keys: u64, clock: Clock) -> Tally {
    let mut tally = Tally::new();
    loop {
        client.pause().await;
        for _ in 1..GETS_TIMED {
            get(&mut client, &mut random, keys).await;
        }
        let started = Instant::now();
        if !clock.runs_at(started) {
            return tally;
        }
        get(&mut client, &mut random, keys).await;
        tally.record(GETS_TIMED, started, &clock);
    }
}

/// A get of any key; every key is there.
pub async fn get(client: &mut impl Client, random: &mut Random, keys: u64) {
    let found = client.get(&key(random.below(keys))).await;
    assert!(found.is_some(), "a key that was loaded is gone");
}
