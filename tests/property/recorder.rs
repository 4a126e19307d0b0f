//! [`Recorder`]: the machine of `mainstay::kv`, and outside of any disk a record of what it was made to apply.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mainstay::kv::{Command, Entity, Kv, Reply};
use mainstay::{Abort, At, Position, ShardId, StateMachine, Time, Txn};

/// One command as it was applied, or replayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub position: Position,
    pub time: Time,
    pub command: Command,
}

#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<BTreeMap<ShardId, Vec<Applied>>>>);

impl Recorder {
    /// What a shard has applied since this was asked last.
    pub fn take(&self, shard: ShardId) -> Vec<Applied> {
        self.0.lock().unwrap().remove(&shard).unwrap_or_default()
    }
}

impl StateMachine for Recorder {
    type Command = Command;
    type Entity = Entity;
    type Reply = Reply;
    const SCHEMA: u32 = Kv::SCHEMA;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        Kv.key(command)
    }

    fn apply(&self, at: At, state: &mut Txn<'_, Entity>, command: Command) -> Result<Reply, Abort> {
        let applied = Applied { position: at.position, time: at.time, command: command.clone() };
        self.0.lock().unwrap().entry(at.shard).or_default().push(applied);
        Kv.apply(at, state, command)
    }

    fn heap_bytes(&self, entity: &Entity) -> usize {
        Kv.heap_bytes(entity)
    }
}
