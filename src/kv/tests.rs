//! The machine against a plain model with expiry, its encoding, and the digest across shard counts.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Clock, Command, Digest, Entity, Expiry, Kv, Refusal, Reply, When, digest, read};
use crate::codec;
use crate::machine::{At, StateMachine};
use crate::model::{Epoch, Lsn, Position, Routing, ShardId, Time};
use crate::state::map::Map;
use crate::state::{Bury, EntityRef, KeyHasher, Root, Scratch, Txn, View};
use crate::sync::Arc;

struct DropNow;

impl Bury<Entity> for DropNow {
    fn bury(&self, _: Map<Entity>) {}
}

/// Shards without a runtime, all at the same logged time.
struct Shards {
    hasher: KeyHasher,
    maps: Vec<Map<Entity>>,
    time: Time,
}

impl Shards {
    fn new(count: u32) -> Self {
        let hasher = KeyHasher::new(&Routing { id: KeyHasher::ROUTING_ID, key: [3; 16] }, count);
        Self { hasher, maps: (0..count).map(|_| Map::new()).collect(), time: Time(0) }
    }

    fn apply(&mut self, shard: ShardId, command: &Command) -> Reply {
        let position = Position { epoch: Epoch(1), lsn: Lsn(1) };
        let at = At { shard, position, time: self.time, schema: Kv::SCHEMA };
        // What is applied is what a replay would decode.
        let command = codec::decode(&codec::encode(command).unwrap()).unwrap();
        let mut scratch = Scratch::default();
        let measure = |entity: &Entity| Kv.heap_bytes(entity);
        let mut txn = Txn::new(&mut self.maps[shard.0 as usize], &self.hasher, &mut scratch, &measure);
        let reply = Kv.apply(at, &mut txn, command).unwrap();
        txn.land();
        reply
    }

    fn apply_by_key(&mut self, command: &Command) -> Reply {
        let shard = self.hasher.shard(self.hasher.hash(&Kv.key(command)));
        self.apply(shard, command)
    }

    fn view(&self) -> View<Entity> {
        let roots = self.maps.iter().map(|map| {
            let end = Position { epoch: Epoch(1), lsn: Lsn(1) };
            Ok(Arc::new(Root::new(map.clone(), end, self.time, Arc::new(DropNow))))
        });
        View::new(self.hasher, roots.collect())
    }
}

/// Keys with their values and expiries. What has expired is taken out before each step.
#[derive(Default)]
struct Model {
    entries: BTreeMap<Bytes, (Bytes, Option<u64>)>,
    now_ms: u64,
}

impl Model {
    fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.entries.retain(|_, (_, expires)| expires.is_none_or(|ms| ms > now_ms));
    }

    fn entity(&self, key: &Bytes) -> Option<EntityRef<Entity>> {
        self.entries.get(key).map(|(value, expires)| Entity::new(value, *expires).into())
    }

    fn put(&mut self, key: &Bytes, value: &Bytes, expiry: Expiry) {
        let expires = match expiry {
            Expiry::Never => None,
            Expiry::Keep => self.entries.get(key).and_then(|(_, expires)| *expires),
            Expiry::After(ms) => Some(self.now_ms + ms),
            Expiry::At(ms) => Some(ms),
        };
        self.entries.insert(key.clone(), (value.clone(), expires));
        self.advance(self.now_ms);
    }

    fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Set { key, value, when, expiry, previous } => {
                let old = self.entity(key);
                let holds = match when {
                    When::Always => true,
                    When::IfAbsent => old.is_none(),
                    When::IfPresent => old.is_some(),
                };
                let previous = old.filter(|_| *previous);
                if !holds {
                    return Reply::NotStored { previous };
                }
                self.put(key, value, *expiry);
                Reply::Stored { previous }
            }
            Command::SetMany { pairs } => {
                for (key, value) in pairs {
                    self.put(key, value, Expiry::Never);
                }
                Reply::Stored { previous: None }
            }
            Command::Delete { keys } => {
                let before = self.entries.len();
                self.entries.retain(|key, _| !keys.contains(key));
                Reply::Removed { count: (before - self.entries.len()) as u64 }
            }
            Command::Take { key } => {
                let value = self.entity(key);
                self.entries.remove(key);
                Reply::Taken { value }
            }
            Command::Increment { key, by } => self.increment(key, *by),
            Command::Append { key, suffix } => {
                let mut value = self.entries.get(key).map_or(Vec::new(), |(old, _)| old.to_vec());
                value.extend_from_slice(suffix);
                let length = value.len() as u64;
                self.put(key, &value.into(), Expiry::Keep);
                Reply::Length(length)
            }
            Command::CompareAndSet { key, expected, value, expiry } => {
                let previous = self.entity(key);
                if self.entries.get(key).map(|(value, _)| value) != expected.as_ref() {
                    return Reply::NotStored { previous };
                }
                match value {
                    Some(value) => self.put(key, value, *expiry),
                    None => drop(self.entries.remove(key)),
                }
                Reply::Stored { previous }
            }
            Command::Expire { key, expiry } => {
                let Some((value, _)) = self.entries.get(key).cloned() else {
                    return Reply::Unchanged;
                };
                self.put(key, &value, *expiry);
                Reply::Rescheduled
            }
            Command::Persist { key } => {
                let expiry = self.entries.get_mut(key).and_then(|(_, expires)| expires.take());
                if expiry.is_some() { Reply::Rescheduled } else { Reply::Unchanged }
            }
            Command::Clear | Command::Sweep { .. } => unreachable!("checked by the caller"),
        }
    }

    fn increment(&mut self, key: &Bytes, by: i64) -> Reply {
        let text =
            self.entries.get(key).map_or("0".to_owned(), |(value, _)| String::from_utf8_lossy(value).into_owned());
        let number: i64 = match text.parse() {
            Ok(number) if format!("{number}") == text => number,
            _ => return Reply::Refused(Refusal::NotAnInteger),
        };
        let Some(sum) = number.checked_add(by) else {
            return Reply::Refused(Refusal::Overflow);
        };
        self.put(key, &sum.to_string().into(), Expiry::Keep);
        Reply::Number(sum)
    }

    fn physical(&self) -> Vec<(Vec<u8>, Entity)> {
        let entity = |(value, expires): &(Bytes, Option<u64>)| Entity::new(value, *expires);
        self.entries.iter().map(|(key, value)| (key.to_vec(), entity(value))).collect()
    }
}

fn keys() -> impl Strategy<Value = Bytes> {
    (0..6_u8).prop_map(|number| Bytes::from(vec![b'k', number]))
}

fn values() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into()),
        (-3..3_i64).prop_map(|number| number.to_string().into()),
        Just(Bytes::from("9223372036854775807")),
        Just(Bytes::from("007")),
        Just(Bytes::from("-0")),
        Just(Bytes::from("+1")),
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
    ]
}

fn expiries() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Never),
        Just(Expiry::Keep),
        (0..50_u64).prop_map(Expiry::After),
        (0..2_000_u64).prop_map(Expiry::At),
    ]
}

fn conditions() -> impl Strategy<Value = When> {
    prop_oneof![Just(When::Always), Just(When::IfAbsent), Just(When::IfPresent)]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (keys(), values(), conditions(), expiries(), any::<bool>()).prop_map(
            |(key, value, when, expiry, previous)| Command::Set { key, value, when, expiry, previous }
        ),
        1 => vec((keys(), values()), 0..4).prop_map(|pairs| Command::SetMany { pairs }),
        1 => vec(keys(), 0..4).prop_map(|keys| Command::Delete { keys }),
        1 => keys().prop_map(|key| Command::Take { key }),
        2 => (keys(), any::<i64>()).prop_map(|(key, by)| Command::Increment { key, by }),
        2 => (keys(), values()).prop_map(|(key, suffix)| Command::Append { key, suffix }),
        2 => (keys(), option::of(values()), option::of(values()), expiries()).prop_map(
            |(key, expected, value, expiry)| Command::CompareAndSet { key, expected, value, expiry }
        ),
        1 => (keys(), expiries()).prop_map(|(key, expiry)| Command::Expire { key, expiry }),
        1 => keys().prop_map(|key| Command::Persist { key }),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Command),
    Sweep(Vec<Bytes>),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        30 => commands().prop_map(Step::Apply),
        2 => vec(keys(), 0..6).prop_map(Step::Sweep),
        1 => Just(Step::Clear),
    ];
    vec((0..30_u64, step), 1..80)
}

fn shown(view: &View<Entity>, key: &[u8], now: Time) -> Option<EntityRef<Entity>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read(view, key, now)).unwrap()
}

proptest! {
    #[test]
    fn it_does_what_a_plain_map_with_expiry_does(steps in steps()) {
        let mut shards = Shards::new(1);
        let mut model = Model::default();
        for (pause_ms, step) in steps {
            let now_ms = model.now_ms + pause_ms;
            model.advance(now_ms);
            shards.time = Time::from_millis(now_ms);
            match step {
                Step::Apply(command) => {
                    prop_assert_eq!(shards.apply(ShardId(0), &command), model.apply(&command));
                }
                Step::Sweep(keys) => {
                    shards.apply(ShardId(0), &Command::Sweep { keys: keys.clone() });
                    let left = |key: &Bytes| shards.maps[0].get(shards.hasher.hash(key), key);
                    for key in &keys {
                        prop_assert_eq!(left(key).is_some(), model.entries.contains_key(key));
                    }
                }
                Step::Clear => {
                    shards.apply(ShardId(0), &Command::Clear);
                    prop_assert!(shards.maps[0].is_empty());
                    model.entries.clear();
                }
            }
            let view = shards.view();
            for number in 0..6 {
                let key = Bytes::from(vec![b'k', number]);
                let seen = shown(&view, &key, Time(0));
                prop_assert_eq!(seen, model.entity(&key));
            }
        }
    }

    #[test]
    fn the_digest_knows_neither_shards_nor_order_nor_the_expired(steps in steps()) {
        let mut shards = Shards::new(1);
        for (pause_ms, step) in steps {
            shards.time = Time::from_millis(shards.time.as_millis() + pause_ms);
            if let Step::Apply(command) = step {
                shards.apply(ShardId(0), &command);
            }
        }
        let before = digest(&shards.view(), shards.time).unwrap();
        let mut others = Shards::new(5);
        let mut expected = Model::default();
        for entry in shards.maps[0].iter() {
            let entity = Entity::clone(entry.entity().unwrap());
            let value = Bytes::copy_from_slice(entity.value());
            expected.entries.insert(Bytes::copy_from_slice(entry.key()), (value, entity.expires_ms()));
        }
        expected.advance(shards.time.as_millis());
        for (key, entity) in expected.physical().into_iter().rev() {
            let expiry = entity.expires_ms().map_or(Expiry::Never, Expiry::At);
            let value = entity.value().to_vec();
            others.apply_by_key(&Command::set(key, value).expiring(expiry));
        }
        prop_assert_eq!(digest(&others.view(), shards.time).unwrap(), before);
        if !expected.entries.is_empty() {
            others.apply(ShardId(0), &Command::set("another", ""));
            prop_assert_ne!(digest(&others.view(), shards.time).unwrap(), before);
        }
    }
}

#[test]
fn readers_go_by_the_later_clock() {
    let mut shards = Shards::new(1);
    shards.apply(ShardId(0), &Command::set("k", "v").expiring(Expiry::At(5)));
    let seen = |shards: &Shards, now_ms| shown(&shards.view(), b"k", Time::from_millis(now_ms)).is_some();
    assert!(seen(&shards, 4));
    assert!(!seen(&shards, 5));
    shards.time = Time::from_millis(5);
    assert!(!seen(&shards, 4));
    let clock = Clock::of(&shards.view(), ShardId(0), Time(9)).unwrap();
    assert_eq!(clock.time(), shards.time);
}

#[test]
fn a_value_never_outgrows_its_limit() {
    let mut shards = Shards::new(1);
    let value = vec![0; super::VALUE_BYTES_MAX - 1];
    shards.apply(ShardId(0), &Command::set("k", value));
    let append = Command::Append { key: "k".into(), suffix: "x".into() };
    let length = super::VALUE_BYTES_MAX as u64;
    assert_eq!(shards.apply(ShardId(0), &append), Reply::Length(length));
    assert_eq!(shards.apply(ShardId(0), &append), Reply::Refused(Refusal::TooLong));
}

#[test]
fn an_empty_state_has_the_empty_digest() {
    assert_eq!(digest(&Shards::new(3).view(), Time(0)).unwrap(), Digest::default());
    assert_eq!(Digest::default().to_string(), "0".repeat(64));
}

/// Logged for ever: a command that fails here breaks every directory there is.
#[test]
fn commands_are_encoded_as_ever() {
    let key = || Bytes::from("k");
    let value = || Bytes::from("v");
    let commands: [(Command, &[u8]); 11] = [
        (
            Command::set(key(), value()).only(When::IfPresent).expiring(Expiry::After(3)),
            &[0, 1, b'k', 1, b'v', 2, 2, 3, 0],
        ),
        (Command::SetMany { pairs: vec![(key(), value())] }, &[1, 1, 1, b'k', 1, b'v']),
        (Command::delete(key()), &[2, 1, 1, b'k']),
        (Command::Take { key: key() }, &[3, 1, b'k']),
        (Command::increment(key(), -1), &[4, 1, b'k', 1]),
        (Command::Append { key: key(), suffix: value() }, &[5, 1, b'k', 1, b'v']),
        (
            Command::CompareAndSet { key: key(), expected: None, value: Some(value()), expiry: Expiry::Keep },
            &[6, 1, b'k', 0, 1, 1, b'v', 1],
        ),
        (Command::Expire { key: key(), expiry: Expiry::At(9) }, &[7, 1, b'k', 3, 9]),
        (Command::Persist { key: key() }, &[8, 1, b'k']),
        (Command::Clear, &[9]),
        (Command::Sweep { keys: vec![key()] }, &[10, 1, 1, b'k']),
    ];
    for (command, bytes) in commands {
        assert_eq!(&codec::encode(&command).unwrap()[..], bytes, "{command:?}");
        assert_eq!(codec::decode::<Command>(bytes).unwrap(), command);
    }
}
