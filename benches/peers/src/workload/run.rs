//! Opens an engine, brings it into the state that the case begins with, and runs the case.

use std::path::Path;
use std::sync::Arc;

use super::{adds, beside, loops, memory, mix, puts, recovery};
use crate::case::{Case, Scale};
use crate::data::Random;
use crate::data::key;
use crate::drive::Syncing;
use crate::engine::{Client, Engine};
use crate::measure::{Clock, Sample};

const LOAD_BATCH: u64 = 1_000;

/// The figures of one case.
pub async fn run<E: Engine>(case: &Case, scale: &Scale, dir: &Path) -> Sample {
    match case {
        Case::Memory => return memory::run::<E>(scale, dir).await,
        Case::Recovery { .. } => return recovery::run::<E>(case, scale, dir).await,
        _ => {}
    }
    let engine = Arc::new(E::open(dir, case.policy()).await);
    let syncing = Syncing::start(&engine, case.policy());
    // A durable put costs its sync, whatever is there already; the others depend on what they find.
    if !matches!(case, Case::Durable { .. }) {
        load(&engine, scale.keys).await;
        engine.settle().await;
    }
    // Files that are made with the first write are there, then.
    engine.client().put(&[Random::new(usize::MAX).pair(scale.keys)]).await;
    let sample = match *case {
        Case::Durable { clients } => puts::run(&engine, clients, 1, scale).await,
        Case::Buffered { clients, batch } => puts::run(&engine, clients, batch, scale).await,
        Case::Gets { clients } => gets(&engine, clients, scale).await,
        Case::Mix { clients, gets_percent } => mix::run(&engine, clients, gets_percent, scale).await,
        Case::Beside { puts_per_second } => beside::run(&engine, puts_per_second, scale).await,
        Case::Adds { clients, .. } => adds::run(&engine, clients, scale).await,
        Case::Memory | Case::Recovery { .. } => unreachable!("handled above"),
    };
    drop(syncing);
    close(engine).await;
    sample
}

/// Puts a value under every key, in batches.
pub async fn load<E: Engine>(engine: &Arc<E>, keys: u64) {
    let mut client = engine.client();
    let mut random = Random::new(usize::MAX);
    let mut pairs = Vec::new();
    for index in 0..keys {
        pairs.push((key(index), random.value()));
        if pairs.len() as u64 == LOAD_BATCH || index + 1 == keys {
            client.put(&pairs).await;
            pairs.clear();
        }
    }
}

/// Ends an engine in good order.
pub async fn close<E: Engine>(engine: Arc<E>) {
    Arc::into_inner(engine).expect("no client left").close().await;
}

async fn gets<E: Engine>(engine: &Arc<E>, clients: usize, scale: &Scale) -> Sample {
    let clock = Clock::seconds(scale.seconds);
    let tally = loops::gets(engine, clients, scale.keys, clock).await;
    let mut sample = Sample::new();
    tally.report("get", &clock, &mut sample);
    sample
}
