//! A small machine, options for small directories, and a place for them on the real disk.
#![allow(dead_code, reason = "each test uses its part")]

use std::borrow::Cow;
use std::path::Path;

use mainstay::{Abort, At, Options, StateMachine, Txn};
use serde::{Deserialize, Serialize};

/// Counters by name; replies with the new sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    Add(Vec<u8>, i64),
    Put(Vec<u8>, Vec<u8>),
    Panic(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub sum: i64,
    pub bytes: Vec<u8>,
    pub time: u64,
}

impl StateMachine for Counters {
    type Command = Command;
    type Entity = Entity;
    type Reply = i64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        match command {
            Command::Add(key, _) | Command::Put(key, _) | Command::Panic(key) => Cow::Borrowed(key),
        }
    }

    fn apply(&self, at: At, state: &mut Txn<'_, Entity>, command: Command) -> Result<i64, Abort> {
        let key = self.key(&command).into_owned();
        let mut entity =
            state.get(&key)?.map_or(Entity { sum: 0, bytes: Vec::new(), time: 0 }, |entity| (*entity).clone());
        match command {
            Command::Add(_, add) => entity.sum += add,
            Command::Put(_, bytes) => entity.bytes = bytes,
            Command::Panic(_) => {
                state.put(b"panic", entity);
                panic!("asked to");
            }
        }
        entity.time = at.time.0;
        let sum = entity.sum;
        state.put(&key, entity);
        Ok(sum)
    }
}

pub fn add(key: &str, add: i64) -> Command {
    Command::Add(key.as_bytes().to_vec(), add)
}

/// A directory on the real disk, not in memory.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Small segments, so that rolls happen.
pub fn small(dir: &Path) -> Options {
    Options {
        segment_bytes: 8192,
        command_bytes_max: Options::command_bytes_for(8192),
        lane_bytes: 1 << 20,
        ..Options::new(dir)
    }
}
