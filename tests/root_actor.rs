//! The root as an ordinary ractor actor under the application's own supervisor.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use mainstay::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call, registry};
use mainstay::sim::{Operation, SimDisk};
use mainstay::{
    NotExecuted, OpenError, Options, Outcome, Root, RootArguments, RootMessage, Runtime, ShardId, ShutdownError,
    SubmitError,
};
use support::{Counters, add, small};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Reports what it hears of its child, and keeps it: with the end of an actor comes its state.
struct Supervisor;

type Heard = mpsc::UnboundedSender<String>;

impl Actor for Supervisor {
    type Msg = RpcReplyPort<ActorRef<RootMessage<Counters>>>;
    type State = (ActorRef<RootMessage<Counters>>, Heard, Vec<SupervisionEvent>);
    type Arguments = (RootArguments<Counters>, Heard);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (arguments, heard): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (root, _) = Root::spawn_linked(None, Root::default(), arguments, myself.get_cell()).await?;
        Ok((root, heard, Vec::new()))
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        reply: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        drop(reply.send(state.0.clone()));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match &event {
            SupervisionEvent::ActorTerminated(..) => drop(state.1.send("terminated".to_owned())),
            SupervisionEvent::ActorFailed(_, error) => drop(state.1.send(error.to_string())),
            _ => {}
        }
        state.2.push(event);
        Ok(())
    }
}

/// More than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn options() -> Options {
    Options { shards: Some(2), sync_deadline: Duration::from_secs(60), ..small(Path::new("/data")) }
}

struct Embedded {
    supervisor: ActorRef<RpcReplyPort<ActorRef<RootMessage<Counters>>>>,
    root: ActorRef<RootMessage<Counters>>,
    heard: mpsc::UnboundedReceiver<String>,
}

async fn embed(sim: &SimDisk) -> Embedded {
    let (sender, heard) = mpsc::unbounded_channel();
    let arguments = RootArguments::new(Counters, options()).on_disk(sim.clone());
    let (supervisor, _) = Actor::spawn(None, Supervisor, (arguments, sender)).await.unwrap();
    let root = call!(supervisor, |reply| reply).unwrap();
    Embedded { supervisor, root, heard }
}

#[tokio::test]
async fn every_message_does_what_the_handle_does() {
    let sim = SimDisk::new(1);
    let Embedded { root, mut heard, .. } = embed(&sim).await;
    let submit = |command| |reply| RootMessage::Submit { command, reply };
    let receipt = call!(root, submit(add("a", 5))).unwrap().unwrap();
    assert_eq!(receipt.reply, 5);
    let many = vec![add("a", 1), add("b", 2)];
    let answers = call!(root, |reply| RootMessage::SubmitMany { commands: many, reply }).unwrap();
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().reply).collect::<Vec<_>>(), [6, 2]);
    let nowhere = ShardId(7);
    let to = |reply| RootMessage::SubmitTo { shard: nowhere, command: add("a", 1), reply };
    let refused = SubmitError::NotExecuted(NotExecuted::NoSuchShard);
    assert_eq!(call!(root, to).unwrap().unwrap_err(), refused);
    let view = call!(root, RootMessage::View).unwrap();
    assert_eq!(view.get(b"a").unwrap().unwrap().sum, 6);
    assert!(call!(root, RootMessage::Latest).unwrap().get(b"a").is_ok());
    let (shard, position) = (receipt.shard, receipt.position);
    let outcome = call!(root, |reply| RootMessage::Outcome { shard, position, reply }).unwrap();
    assert_eq!(outcome, Outcome::Durable);
    call!(root, |reply| RootMessage::Durable { shard, position, reply }).unwrap().unwrap();
    assert_eq!(call!(root, RootMessage::Stats).unwrap().shards.len(), 2);
    call!(root, RootMessage::Snapshot).unwrap().unwrap();
    let marked = call!(root, RootMessage::Mark).unwrap().unwrap();
    let rewritten = call!(root, RootMessage::Rewrite).unwrap().unwrap();
    let backup = Path::new("/backup").to_owned();
    call!(root, |reply| RootMessage::Backup { dir: backup, reply }).unwrap().unwrap();
    assert_eq!(call!(root, RootMessage::Versions).unwrap(), [marked.clone(), rewritten.clone()]);
    call!(root, |reply| RootMessage::Retire { version: rewritten.id, reply }).unwrap().unwrap();
    call!(root, |reply| RootMessage::Rollback { version: marked.id, reply }).unwrap().unwrap();
    let runtime = call!(root, RootMessage::Runtime).unwrap();
    // A handle from the root does not keep it: the supervisor decides.
    drop(runtime.clone());
    runtime.submit(add("a", 1)).await.unwrap();
    call!(root, RootMessage::Shutdown).unwrap().unwrap();
    assert_eq!(heard.recv().await.unwrap(), "terminated");
    let refused = SubmitError::NotExecuted(NotExecuted::ShuttingDown);
    assert_eq!(runtime.submit(add("a", 1)).await.unwrap_err(), refused);
}

/// A supervisor that ends takes its root along: every caller gets an answer, and the directory opens again.
#[tokio::test]
async fn the_end_of_the_supervisor_is_the_end_of_the_runtime() {
    let sim = SimDisk::new(2);
    let Embedded { supervisor, root, .. } = embed(&sim).await;
    let runtime = call!(root, RootMessage::Runtime).unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let submits: Vec<_> = (0..50)
        .map(|n| {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.submit(add(&format!("{n}"), 1)).await })
        })
        .collect();
    supervisor.kill();
    let mut executed = 1;
    for submit in submits {
        match submit.await.unwrap() {
            Ok(_) | Err(SubmitError::Unconfirmed { .. }) => executed += 1,
            Err(SubmitError::NotExecuted(NotExecuted::ShuttingDown)) => {}
            other => panic!("{other:?}"),
        }
    }
    let again = Runtime::open_on(sim, Counters, options()).await.unwrap();
    let view = again.latest();
    let found: usize = view.shards().map(|shard| view.len(shard).unwrap()).sum();
    assert!((1..=executed).contains(&found), "{found} of {executed}");
}

/// Guards F2: a root that is stopped answers everybody, also if its supervisor keeps its state for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_stopped_keeps_nobody_waiting() {
    let sim = SimDisk::new(5);
    let Embedded { supervisor, root, mut heard } = embed(&sim).await;
    let runtime = call!(root, RootMessage::Runtime).unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let stall = sim.stall(|call| call.operation == Operation::Sync);
    let caller = {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.submit(add("a", 1)).await })
    };
    while stall.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let started = Instant::now();
    root.stop(None);
    let answer = timeout(PATIENCE, caller).await.expect("nobody answers").unwrap().unwrap_err();
    let refused = SubmitError::NotExecuted(NotExecuted::ShuttingDown);
    // What hangs may be the sync of something before it.
    assert!(matches!(answer, SubmitError::Unconfirmed { .. }) || answer == refused, "{answer:?}");
    assert_eq!(runtime.submit(add("a", 1)).await.unwrap_err(), refused);
    assert_eq!(heard.recv().await.unwrap(), "terminated");
    // Not by a deadline of its own.
    assert!(started.elapsed() < options().sync_deadline / 2);
    drop((stall, supervisor));
}

/// Guards F2: nor whoever has asked it to shut down.
#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_stopped_while_it_ends_says_so() {
    let sim = SimDisk::new(6);
    let Embedded { supervisor, root, mut heard } = embed(&sim).await;
    let runtime = call!(root, RootMessage::Runtime).unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let stall = sim.stall(|call| call.operation == Operation::Sync);
    let (reply, asked) = mainstay::ractor::concurrency::oneshot();
    root.cast(RootMessage::Shutdown(reply.into())).unwrap();
    // A stop would overtake the question.
    while runtime.stats().shards[0].refusal.is_none() {
        tokio::task::yield_now().await;
    }
    root.stop(None);
    assert_eq!(heard.recv().await.unwrap(), "terminated");
    let said = timeout(PATIENCE, asked).await.expect("nobody says that it has ended");
    assert!(said.is_err(), "it has ended, and not in good order");
    assert_eq!(runtime.shutdown().await, Err(ShutdownError::Ended));
    drop((stall, supervisor));
}

/// Without its keeper a runtime could not begin, move or seal anything: it ends, and says why.
#[tokio::test]
async fn the_death_of_the_keeper_ends_the_root() {
    let sim = SimDisk::new(3);
    let Embedded { root, mut heard, .. } = embed(&sim).await;
    let runtime = call!(root, RootMessage::Runtime).unwrap();
    runtime.submit(add("a", 1)).await.unwrap();
    let prefix = {
        let children = root.get_children();
        let keeper =
            children.iter().find_map(|child| child.get_name().filter(|name| name.ends_with("/manifest_keeper")));
        keeper.unwrap()
    };
    registry::where_is(prefix).unwrap().kill();
    assert_eq!(heard.recv().await.unwrap(), "the manifest keeper has died");
    let refused = SubmitError::NotExecuted(NotExecuted::ShuttingDown);
    assert_eq!(runtime.submit(add("b", 1)).await.unwrap_err(), refused);
    let again = Runtime::open_on(sim, Counters, options()).await.unwrap();
    assert_eq!(again.latest().get(b"a").unwrap().unwrap().sum, 1);
}

/// What keeps the directory from opening reaches whoever spawned the root, with its type.
#[tokio::test]
async fn a_failed_open_is_a_failed_start() {
    let sim = SimDisk::new(4);
    let bad = Options { lane_commands: 0, ..options() };
    let error = Runtime::open_on(sim, Counters, bad).await.unwrap_err();
    assert!(matches!(error, OpenError::Options(_)), "{error}");
}
