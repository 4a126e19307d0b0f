//! Commands that cannot be replayed, and commands of an older schema.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::borrow::Cow;
use std::path::Path;

use mainstay::sim::SimDisk;
use mainstay::{
    Abort, At, CodecError, Epoch, LogError, Lsn, NotExecuted, Options, Outcome, Poison, Position, Runtime,
    StateMachine, SubmitError, Txn,
};
use serde::{Deserialize, Serialize};

/// Sums by key; what it understands and what it trips over depends on the version of the code.
struct Sums<const SCHEMA: u32> {
    trips_over: i64,
}

#[derive(Serialize, Deserialize)]
struct Add {
    key: u8,
    add: i64,
}

impl<const SCHEMA: u32> StateMachine for Sums<SCHEMA> {
    type Command = Add;
    type Entity = i64;
    type Reply = i64;
    const SCHEMA: u32 = SCHEMA;

    fn key<'a>(&self, command: &'a Add) -> Cow<'a, [u8]> {
        Cow::Owned(vec![command.key])
    }

    fn apply(&self, at: At, state: &mut Txn<'_, i64>, command: Add) -> Result<i64, Abort> {
        assert!(command.add != self.trips_over, "this version trips over {}", command.add);
        // The schema that the command was logged with is the same on every replay.
        let factor = i64::from(at.schema);
        let sum = state.get(&[command.key])?.map_or(0, |sum| *sum) + factor * command.add;
        state.put(&[command.key], sum);
        Ok(sum)
    }

    fn upcast_command(&self, schema: u32, bytes: &[u8]) -> Result<Add, CodecError> {
        if SCHEMA == 2 && schema == 1 {
            return mainstay::codec::decode(bytes);
        }
        Err(CodecError::unknown_schema(schema, SCHEMA))
    }
}

const NOTHING: i64 = i64::MIN;

fn options(poison: Poison) -> Options {
    Options { shards: Some(1), poison, ..support::small(Path::new("/data")) }
}

async fn open<const SCHEMA: u32>(sim: &SimDisk, trips_over: i64, poison: Poison) -> Runtime<Sums<SCHEMA>> {
    Runtime::open_on(sim.clone(), Sums { trips_over }, options(poison)).await.unwrap()
}

async fn three_commands() -> SimDisk {
    let sim = SimDisk::new(1);
    let runtime = open::<1>(&sim, NOTHING, Poison::Refuse).await;
    for add in [1, 10, 100] {
        runtime.submit(Add { key: 0, add }).await.unwrap();
    }
    runtime.shutdown().await.unwrap();
    drop(runtime);
    sim.after_kill()
}

/// Guards F15: one command that panics in a replay does not fail every start, and is left out for ever.
#[tokio::test]
async fn poison_is_refused_with_its_position_or_skipped_and_remembered() {
    let sim = three_commands().await;
    let before = sim.files();
    let runtime = open::<1>(&sim, 10, Poison::Refuse).await;
    let (_, error) = runtime.recovery().refused().next().unwrap();
    assert!(matches!(error, LogError::Poison { position, .. } if position.lsn == Lsn(2)), "{error}");
    let refused = runtime.submit(Add { key: 0, add: 1 }).await.unwrap_err();
    assert_eq!(refused, SubmitError::NotExecuted(NotExecuted::Refused));
    drop(runtime);
    assert_eq!(before, sim.files());

    let sim = sim.after_kill();
    let runtime = open::<1>(&sim, 10, Poison::Skip).await;
    assert_eq!(runtime.recovery().shards[0].poison_skipped, 1);
    assert_eq!(*runtime.latest().get(&[0]).unwrap().unwrap(), 101);
    drop(runtime);

    // Code that could apply it leaves it out all the same: every replay gives the same state.
    let sim = sim.crash(1);
    let runtime = open::<1>(&sim, NOTHING, Poison::Refuse).await;
    assert_eq!(runtime.recovery().shards[0].poison_skipped, 1);
    assert_eq!(*runtime.latest().get(&[0]).unwrap().unwrap(), 101);
    let receipt = runtime.submit(Add { key: 0, add: 1 }).await.unwrap();
    assert_eq!((receipt.reply, receipt.position.lsn), (102, Lsn(4)));
    // What callers are told is what the state shows.
    let (shard, epoch) = (receipt.shard, Epoch(1));
    for (lsn, outcome) in [(1, Outcome::Durable), (2, Outcome::NotExecuted), (3, Outcome::Durable)] {
        assert_eq!(runtime.outcome(shard, Position { epoch, lsn: Lsn(lsn) }).await, outcome);
    }
}

/// Guards F17: commands of an older schema go through the upcast, those of an unknown one are poison.
#[tokio::test]
async fn an_older_schema_is_upcast_and_a_newer_one_refused() {
    let sim = three_commands().await;
    let runtime = open::<2>(&sim, NOTHING, Poison::Refuse).await;
    assert_eq!(*runtime.latest().get(&[0]).unwrap().unwrap(), 111);
    assert_eq!(runtime.submit(Add { key: 0, add: 1 }).await.unwrap().reply, 113);
    drop(runtime);
    let sim = sim.after_kill();
    let runtime = open::<2>(&sim, NOTHING, Poison::Refuse).await;
    assert_eq!(*runtime.latest().get(&[0]).unwrap().unwrap(), 113);
    drop(runtime);
    let sim = sim.after_kill();
    let runtime = open::<1>(&sim, NOTHING, Poison::Refuse).await;
    let (_, error) = runtime.recovery().refused().next().unwrap();
    assert!(matches!(error, LogError::Poison { position, .. } if position.lsn == Lsn(4)));
}

/// A command whose type writes less than it reads.
#[derive(Serialize, Deserialize)]
struct Partial {
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<u8>,
    there: u8,
}

struct Partials;

impl StateMachine for Partials {
    type Command = Partial;
    type Entity = u8;
    type Reply = ();
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, _: &'a Partial) -> Cow<'a, [u8]> {
        Cow::Borrowed(b"key")
    }

    fn apply(&self, _: At, state: &mut Txn<'_, u8>, command: Partial) -> Result<(), Abort> {
        state.put(b"key", command.absent.unwrap_or_default() + command.there);
        Ok(())
    }
}

/// Guards F15: what could not be read back is refused before it is logged, and is not found out by the next opening.
#[tokio::test]
async fn a_command_that_does_not_decode_is_not_accepted() {
    let sim = SimDisk::new(2);
    let runtime = Runtime::open_on(sim.clone(), Partials, options(Poison::Refuse)).await.unwrap();
    runtime.submit(Partial { absent: Some(1), there: 1 }).await.unwrap();
    let refused = runtime.submit(Partial { absent: None, there: 9 }).await.unwrap_err();
    assert!(matches!(refused, SubmitError::NotExecuted(NotExecuted::NotEncodable(_))), "{refused}");
    assert_eq!(runtime.view().await.get(b"key").unwrap().as_deref(), Some(&2));
    drop(runtime);
    let runtime = Runtime::open_on(sim.after_kill(), Partials, options(Poison::Refuse)).await.unwrap();
    assert_eq!(runtime.recovery().refused().count(), 0);
    assert_eq!(runtime.recovery().shards[0].commands, 1);
    assert_eq!(runtime.stats().shards[0].entries, 1, "also before the first command");
}
