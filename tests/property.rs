//! Random commands, ends and reopenings against a plain map: after every reopen the state and its digest are the same.
//!
//! Expiries are far in the past or far in the future, so the wall clock decides nothing; that logged time decides
//! expiry in the same way on every replay is what the digest shows. Under `Always` the disk is also cut off.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mainstay::kv::{self, Command, Expiry, Kv, When};
use mainstay::sim::SimDisk;
use mainstay::{Options, Runtime, SyncPolicy, Time};
use proptest::prelude::*;

const FAR_MS: u64 = 1 << 44;

#[derive(Clone, Debug)]
enum Step {
    Submit(Command),
    Many(Vec<Command>),
    Shutdown,
    Drop,
    Kill,
    PowerCut(u64),
}

type Model = BTreeMap<Bytes, (Bytes, Option<u64>)>;

fn key() -> impl Strategy<Value = Bytes> {
    (0u8..12).prop_map(|key| Bytes::from(vec![key; 1 + usize::from(key)]))
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        (-50i64..50).prop_map(|number| Bytes::from(number.to_string())),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from),
    ]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        3 => Just(Expiry::Never),
        1 => Just(Expiry::Keep),
        1 => Just(Expiry::At(1)),
        1 => (0u64..5).prop_map(|n| Expiry::At(FAR_MS + n)),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let when = prop_oneof![Just(When::Always), Just(When::IfAbsent), Just(When::IfPresent)];
    prop_oneof![
        4 => (key(), value(), when, expiry()).prop_map(|(key, value, when, expiry)| {
            Command::Set { key, value, when, expiry, previous: false }
        }),
        1 => key().prop_map(Command::delete),
        1 => (key(), -9i64..9).prop_map(|(key, by)| Command::increment(key, by)),
        1 => (key(), value()).prop_map(|(key, suffix)| Command::Append { key, suffix }),
        1 => (key(), expiry()).prop_map(|(key, expiry)| Command::Expire { key, expiry }),
        1 => key().prop_map(|key| Command::Persist { key }),
    ]
}

fn step(always: bool) -> impl Strategy<Value = Step> {
    let cut = if always { 2 } else { 0 };
    prop_oneof![
        20 => command().prop_map(Step::Submit),
        4 => proptest::collection::vec(command(), 1..20).prop_map(Step::Many),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Drop),
        2 => Just(Step::Kill),
        cut + 1 => any::<u64>().prop_map(move |seed| {
            if cut > 0 { Step::PowerCut(seed) } else { Step::Kill }
        }),
    ]
}

fn case() -> impl Strategy<Value = (SyncPolicy, u32, Vec<Step>)> {
    let policy = prop_oneof![
        Just(SyncPolicy::Always),
        Just(SyncPolicy::Interval(Duration::from_millis(1))),
        Just(SyncPolicy::Never),
    ];
    (policy, 1u32..4).prop_flat_map(|(policy, shards)| {
        let steps = proptest::collection::vec(step(policy == SyncPolicy::Always), 1..60);
        (Just(policy), Just(shards), steps)
    })
}

/// What the command does to a plain map, with everything that has expired taken out.
fn apply(model: &mut Model, command: &Command) {
    let until = |expiry: &Expiry, before: Option<u64>| match expiry {
        Expiry::Keep => before,
        Expiry::At(ms) => Some(*ms),
        _ => None,
    };
    match command.clone() {
        Command::Set { key, value, when, expiry, .. } => {
            let before = model.get(&key).cloned();
            let holds = match when {
                When::Always => true,
                When::IfAbsent => before.is_none(),
                When::IfPresent => before.is_some(),
            };
            if holds {
                let until = until(&expiry, before.and_then(|(_, until)| until));
                model.insert(key, (value, until));
            }
        }
        Command::Delete { keys } => keys.iter().for_each(|key| drop(model.remove(key))),
        Command::Increment { key, by } => {
            let (value, until) = model.get(&key).cloned().unwrap_or((Bytes::from("0"), None));
            let number = std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok().filter(|number| number.to_string() == text));
            if let Some(sum) = number.and_then(|number| number.checked_add(by)) {
                model.insert(key, (Bytes::from(sum.to_string()), until));
            }
        }
        Command::Append { key, suffix } => {
            let (value, until) = model.get(&key).cloned().unwrap_or_default();
            model.insert(key, (Bytes::from([value, suffix].concat()), until));
        }
        Command::Expire { key, expiry } => {
            if let Some((_, expires)) = model.get_mut(&key) {
                *expires = until(&expiry, *expires);
            }
        }
        Command::Persist { key } => {
            if let Some((_, expires)) = model.get_mut(&key) {
                *expires = None;
            }
        }
        other => panic!("not generated: {other:?}"),
    }
    model.retain(|_, (_, until)| until.is_none_or(|ms| ms >= FAR_MS));
}

struct Run {
    sim: SimDisk,
    options: Options,
    runtime: Runtime<Kv>,
    model: Model,
}

impl Run {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Submit(command) => {
                apply(&mut self.model, &command);
                self.runtime.submit(command).await.unwrap();
            }
            Step::Many(commands) => {
                commands.iter().for_each(|command| apply(&mut self.model, command));
                for answer in self.runtime.submit_many(commands).await {
                    answer.unwrap();
                }
            }
            end => self.end(end).await,
        }
        self.check().await;
    }

    async fn end(&mut self, end: Step) {
        let now = kv::wall_clock();
        let digest = kv::digest(&self.runtime.view().await, now).unwrap();
        match end {
            Step::Shutdown => self.runtime.shutdown().await.unwrap(),
            Step::Kill => self.sim = self.sim.after_kill(),
            Step::PowerCut(seed) => self.sim = self.sim.crash(seed),
            Step::Submit(_) | Step::Many(_) | Step::Drop => {}
        }
        let runtime = || Runtime::open_on(self.sim.clone(), Kv, self.options.clone());
        if matches!(end, Step::Kill | Step::PowerCut(_)) {
            self.runtime = runtime().await.unwrap();
        } else {
            // The lock is free only when the old one has gone.
            let stand_in = Runtime::open_on(SimDisk::new(0), Kv, self.options.clone()).await.unwrap();
            drop(std::mem::replace(&mut self.runtime, stand_in));
            self.runtime = runtime().await.unwrap();
        }
        assert_eq!(self.runtime.recovery().refused().count(), 0);
        assert_eq!(kv::digest(&self.runtime.latest(), now).unwrap(), digest);
    }

    async fn check(&self) {
        let view = self.runtime.view().await;
        for key in (0u8..12).map(|key| Bytes::from(vec![key; 1 + usize::from(key)])) {
            let found = kv::read(&view, &key, Time(0)).unwrap();
            let found = found.map(|entity| (Bytes::copy_from_slice(entity.value()), entity.expires_ms()));
            assert_eq!(found, self.model.get(&key).cloned(), "{key:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    /// Guards F14, F18, F38: replay gives exactly what was answered, once.
    #[test]
    fn every_reopen_finds_the_same_state((sync, shards, steps) in case()) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(async {
            let sim = SimDisk::new(steps.len() as u64);
            let options = Options {
                shards: Some(shards),
                sync,
                segment_bytes: 16 * 1024,
                command_bytes_max: 2048,
                ..Options::new(Path::new("/data"))
            };
            let runtime = Runtime::open_on(sim.clone(), Kv, options.clone()).await.unwrap();
            let mut run = Run { sim, options, runtime, model: Model::new() };
            for step in steps {
                run.step(step).await;
            }
        });
    }
}
