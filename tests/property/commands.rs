//! What is drawn: every command of the machine, how it is submitted, and how a life of the runtime ends.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mainstay::kv::{Command, Expiry, Kv, When};
use mainstay::{ShardId, StateMachine, SyncPolicy};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// So many keys there are.
pub const KEYS: u8 = 12;
/// Later than any test runs, in milliseconds since the epoch.
const FAR_MS: u64 = 1 << 44;

#[derive(Clone, Debug)]
pub enum Step {
    /// One command, and its answer.
    Submit(Command),
    /// Several on their way at a time, and their answers.
    Many(Vec<Command>),
    /// Has what was answered synced, up to so many hundredths of it.
    Durable(u8),
    /// A life ends, and another one begins.
    End { end: End, flight: Flight },
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Shutdown,
    /// The power is cut when the orderly shutdown has returned.
    ShutdownThenPowerCut(u64),
    /// The last handle goes.
    Drop,
    Kill,
    PowerCut(u64),
}

/// What is on its way when the end comes.
#[derive(Clone, Debug)]
pub struct Flight {
    pub commands: Vec<Command>,
    /// The end comes after so many of their answers,
    pub answers: usize,
    /// and after so many turns of the executor.
    pub turns: u8,
}

pub fn key(number: u8) -> Bytes {
    Bytes::from(vec![number; 1 + usize::from(number)])
}

/// The command as one for each shard that it is about, as an application has to split it.
pub fn parts(command: Command, shards: u32, shard_of: impl Fn(&[u8]) -> ShardId) -> Vec<(ShardId, Command)> {
    let split = |keys: Vec<Bytes>| grouped(keys, |key| shard_of(key)).into_iter();
    match command {
        Command::Clear => (0..shards).map(|shard| (ShardId(shard), Command::Clear)).collect(),
        Command::Delete { keys } => split(keys).map(|(shard, keys)| (shard, Command::Delete { keys })).collect(),
        Command::Sweep { keys } => split(keys).map(|(shard, keys)| (shard, Command::Sweep { keys })).collect(),
        Command::SetMany { pairs } => {
            let parts = grouped(pairs, |(key, _)| shard_of(key)).into_iter();
            parts.map(|(shard, pairs)| (shard, Command::SetMany { pairs })).collect()
        }
        one => vec![(shard_of(&Kv.key(&one)), one)],
    }
}

fn grouped<T>(items: Vec<T>, shard_of: impl Fn(&T) -> ShardId) -> BTreeMap<ShardId, Vec<T>> {
    let mut groups = BTreeMap::new();
    for item in items {
        groups.entry(shard_of(&item)).or_insert_with(Vec::new).push(item);
    }
    groups
}

fn keys() -> impl Strategy<Value = Bytes> {
    (0..KEYS).prop_map(key)
}

/// Few enough to be met again.
fn small() -> impl Strategy<Value = Bytes> {
    (-1..2_i64).prop_map(|number| Bytes::from(number.to_string()))
}

fn values() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => small(),
        1 => Just(Bytes::from(i64::MAX.to_string())),
        1 => Just(Bytes::from(i64::MIN.to_string())),
        1 => prop_oneof![Just("007"), Just("-0"), Just("+1"), Just("")].prop_map(Bytes::from),
        3 => vec(any::<u8>(), 0..300).prop_map(Bytes::from),
    ]
}

/// Passed at once, while the test runs, long after it, or never.
fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        4 => Just(Expiry::Never),
        2 => Just(Expiry::Keep),
        1 => Just(Expiry::At(1)),
        1 => (0..5_u64).prop_map(|n| Expiry::At(FAR_MS + n)),
        3 => (0..4_u64).prop_map(Expiry::After),
        1 => (0..5_u64).prop_map(|n| Expiry::After(FAR_MS + n)),
        1 => Just(Expiry::After(u64::MAX)),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    let conditions = prop_oneof![2 => Just(When::Always), 1 => Just(When::IfAbsent), 1 => Just(When::IfPresent)];
    let addends = prop_oneof![4 => -9..9_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    prop_oneof![
        16 => (keys(), values(), conditions, expiries(), any::<bool>()).prop_map(
            |(key, value, when, expiry, previous)| Command::Set { key, value, when, expiry, previous }
        ),
        2 => vec((keys(), values()), 1..5).prop_map(|pairs| Command::SetMany { pairs }),
        2 => vec(keys(), 1..4).prop_map(|keys| Command::Delete { keys }),
        2 => keys().prop_map(|key| Command::Take { key }),
        4 => (keys(), addends).prop_map(|(key, by)| Command::Increment { key, by }),
        3 => (keys(), values()).prop_map(|(key, suffix)| Command::Append { key, suffix }),
        4 => (keys(), option::of(small()), option::of(values()), expiries()).prop_map(
            |(key, expected, value, expiry)| Command::CompareAndSet { key, expected, value, expiry }
        ),
        3 => (keys(), expiries()).prop_map(|(key, expiry)| Command::Expire { key, expiry }),
        2 => keys().prop_map(|key| Command::Persist { key }),
        2 => vec(keys(), 1..8).prop_map(|keys| Command::Sweep { keys }),
        1 => Just(Command::Clear),
    ]
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        1 => Just(End::Shutdown),
        1 => any::<u64>().prop_map(End::ShutdownThenPowerCut),
        1 => Just(End::Drop),
        2 => Just(End::Kill),
        4 => any::<u64>().prop_map(End::PowerCut),
    ]
}

fn flights() -> impl Strategy<Value = Flight> {
    let commands = prop_oneof![1 => Just(Vec::new()), 2 => vec(commands(), 1..25)];
    (commands, 0..100_usize, 0..8_u8).prop_map(|(commands, percent, turns)| {
        let answers = commands.len() * percent / 100;
        Flight { commands, answers, turns }
    })
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => commands().prop_map(Step::Submit),
        5 => vec(commands(), 1..20).prop_map(Step::Many),
        1 => (0..=100_u8).prop_map(Step::Durable),
        4 => (ends(), flights()).prop_map(|(end, flight)| Step::End { end, flight }),
    ]
}

/// A policy, a number of shards, and what happens.
pub fn cases() -> impl Strategy<Value = (SyncPolicy, u32, Vec<Step>)> {
    let policies = prop_oneof![
        2 => Just(SyncPolicy::Always),
        1 => Just(SyncPolicy::Interval(Duration::from_millis(1))),
        1 => Just(SyncPolicy::Interval(Duration::from_secs(3_600))),
        2 => Just(SyncPolicy::Never),
    ];
    (policies, 1..4_u32, vec(steps(), 1..60))
}
