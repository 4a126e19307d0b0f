//! The shard's part: its map, what it tells of that, and hand-overs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mainstay::model::ColdSeq;
use mainstay::protocol::spill::{Event, Handed, Job};

use super::Mutant;

pub(super) type Key = u8;
/// No two writes have the same, so it also stands for the allocation.
pub(super) type Version = u8;
/// What there is under each key; and what lies in a file.
pub(super) type Content = BTreeMap<Key, Version>;
pub(super) type Map = BTreeMap<Key, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Here(Version),
    /// It lies in this file, under the same key.
    Cold(ColdSeq),
}

pub(super) fn files_of(map: &Map) -> BTreeSet<ColdSeq> {
    let file = |value: &Value| if let Value::Cold(file) = value { Some(*file) } else { None };
    map.values().filter_map(file).collect()
}

/// All that can be read through a map.
pub(super) fn readable(map: &Map, files: &BTreeMap<ColdSeq, Content>) -> Content {
    let read = |key, value| match value {
        Value::Here(version) => Some(version),
        Value::Cold(file) => files.get(&file).and_then(|content| content.get(&key)).copied(),
    };
    map.iter().filter_map(|(key, value)| Some((*key, read(*key, *value)?))).collect()
}

/// A file that a job has written: what was copied, from where.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) job: Job,
    pub(super) file: ColdSeq,
    pub(super) copied: Map,
    pub(super) sources: Vec<ColdSeq>,
}

/// One life of the shard.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) map: Map,
    /// What it has told, and nobody has heard yet.
    pub(super) mail: VecDeque<Event>,
    mark: usize,
    told: u64,
    /// Values that were written to each file.
    pub(super) values: BTreeMap<ColdSeq, u64>,
}

impl Shard {
    pub(super) fn new(map: Map, mark: usize, values: BTreeMap<ColdSeq, u64>) -> Self {
        let mut shard = Self { map, mail: VecDeque::new(), mark, told: 0, values };
        shard.tell_pressure();
        shard
    }

    pub(super) fn live(&self, file: ColdSeq) -> u64 {
        self.map.values().filter(|value| **value == Value::Cold(file)).count() as u64
    }

    /// Every value is one byte.
    pub(super) fn over(&self) -> u64 {
        let here = self.map.values().filter(|value| matches!(value, Value::Here(_))).count();
        here.saturating_sub(self.mark) as u64
    }

    fn tell_pressure(&mut self) {
        if self.over() != self.told {
            self.told = self.over();
            self.mail.push_back(Event::Pressure { over: self.told });
        }
    }

    /// Executes a command.
    pub(super) fn apply(&mut self, key: Key, version: Option<Version>) {
        let before = match version {
            Some(version) => self.map.insert(key, Value::Here(version)),
            None => self.map.remove(&key),
        };
        if let Some(Value::Cold(file)) = before {
            let (live, values) = (self.live(file), self.values.get(&file).copied().unwrap_or(0));
            let has_fallen = live * 2 < values && (live + 1) * 2 >= values;
            if live == 0 || has_fallen {
                self.mail.push_back(Event::Uses { file, live });
            }
        }
        self.tell_pressure();
    }

    /// Replaces what is still the same.
    pub(super) fn replace(&mut self, made: &Made, mutant: Mutant) {
        self.values.insert(made.file, made.copied.len() as u64);
        for (key, was) in &made.copied {
            let now = self.map.get(key);
            let is_replaced = match mutant {
                Mutant::HandsOverByKey => now.is_some(),
                Mutant::HandsOverTheDeleted => now.is_none() || now == Some(was),
                _ => now == Some(was),
            };
            if is_replaced {
                self.map.insert(*key, Value::Cold(made.file));
            }
        }
    }

    /// Says what a hand-over has led to.
    pub(super) fn handed_over(&mut self, made: &Made) {
        self.told = self.over();
        let files = made.sources.iter().chain([&made.file]);
        let live = files.map(|file| (*file, self.live(*file))).filter(|(_, live)| *live > 0).collect();
        self.mail.push_back(Event::HandedOver(made.job, Handed { over: self.told, live }));
    }
}
