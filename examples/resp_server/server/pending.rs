//! Writes that were not submitted yet, and the replies that wait behind them.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Buf, Bytes};
use mainstay::kv::{Command, Entity, Kv, Reply};
use mainstay::{NotExecuted, Receipt, Runtime, ShardId, StateMachine, SubmitError};

use super::action::Shape;
use super::reply::Output;
use super::wrong::{not_executed, refused};

type Answer = Result<Receipt<Reply>, SubmitError>;

/// A reply's place in the order.
enum Place {
    /// The reply is there: so many bytes of `ready`.
    Ready(usize),
    /// The reply is that of the next so many commands.
    Awaited { commands: usize, shape: Shape },
}

/// See the module.
pub struct Pending {
    commands: Vec<Command>,
    places: VecDeque<Place>,
    /// Of commands that were submitted, with their replies to be written.
    answers: VecDeque<Answer>,
    /// Replies to reads of other shards, which did not have to wait.
    ready: Output,
    /// Shards of the first `looked_at` commands.
    shards: BTreeSet<ShardId>,
    looked_at: usize,
}

/// The outcome of a command is not known: no reply may follow.
pub struct Unconfirmed;

impl Pending {
    pub fn new(ready: Output) -> Self {
        Self {
            commands: Vec::new(),
            places: VecDeque::new(),
            answers: VecDeque::new(),
            ready,
            shards: BTreeSet::new(),
            looked_at: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn held_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Adds a request's commands.
    pub fn push(&mut self, commands: impl IntoIterator<Item = Command>, shape: Shape) {
        let before = self.commands.len();
        self.commands.extend(commands);
        self.places.push_back(Place::Awaited { commands: self.commands.len() - before, shape });
    }

    /// Adds a reply that need not wait.
    pub async fn reply(&mut self, protocol: super::reply::Protocol, write: impl AsyncFnOnce(&mut Output)) {
        let before = self.ready.len();
        self.ready.protocol = protocol;
        write(&mut self.ready).await;
        self.places.push_back(Place::Ready(self.ready.len() - before));
    }

    /// Whether a read of these keys has to wait for one of the commands.
    pub fn touches(&mut self, runtime: &Runtime<Kv>, keys: &[&[u8]]) -> bool {
        if self.commands.is_empty() || runtime.shard_count() == 1 {
            return !self.commands.is_empty();
        }
        let new = self.commands.get(self.looked_at..).unwrap_or_default();
        self.shards.extend(new.iter().map(|command| runtime.shard_of(&Kv.key(command))));
        self.looked_at = self.commands.len();
        keys.iter().any(|key| self.shards.contains(&runtime.shard_of(key)))
    }

    /// Has the commands executed. Their replies are to be [written](Self::write) before anything else is added.
    pub async fn submit(&mut self, runtime: &Runtime<Kv>) {
        self.shards.clear();
        self.looked_at = 0;
        self.answers.extend(runtime.submit_many(std::mem::take(&mut self.commands)).await);
    }

    /// Writes replies as far as their outcomes are known, until there are none or the output has so many bytes.
    pub fn write(&mut self, output: &mut Output, enough_bytes: usize) -> Result<(), Unconfirmed> {
        while output.len() < enough_bytes
            && let Some(place) = self.places.pop_front()
        {
            match place {
                Place::Ready(bytes) => {
                    output.buffer.extend_from_slice(self.ready.buffer.get(..bytes).unwrap_or_default());
                    self.ready.buffer.advance(bytes);
                }
                Place::Awaited { commands, shape } => {
                    write(self.answers.drain(..commands.min(self.answers.len())), shape, output)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes the one reply to a request that took several commands: numbers are added up, and an error stands for all.
pub fn write(answers: impl Iterator<Item = Answer>, shape: Shape, output: &mut Output) -> Result<(), Unconfirmed> {
    let mut total: Option<Reply> = None;
    let mut error: Option<NotExecuted> = None;
    for answer in answers {
        match answer {
            Ok(receipt) => total = Some(add(total, receipt.reply)),
            Err(SubmitError::NotExecuted(reason)) => error = error.or(Some(reason)),
            // Of whatever else there may be one day, the outcome is not known here either.
            Err(_) => return Err(Unconfirmed),
        }
    }
    match (error, total) {
        (Some(reason), _) => output.error(not_executed(&reason)),
        (None, Some(reply)) => put(reply, shape, output),
        (None, None) => output.ok(),
    }
    Ok(())
}

fn add(total: Option<Reply>, reply: Reply) -> Reply {
    match (total, reply) {
        (Some(Reply::Removed { count: total }), Reply::Removed { count }) => Reply::Removed { count: total + count },
        (_, reply) => reply,
    }
}

fn put(reply: Reply, shape: Shape, output: &mut Output) {
    match (shape, reply) {
        (_, Reply::Refused(refusal)) => output.error(refused(refusal)),
        (Shape::Status, Reply::NotStored { .. }) => output.null(),
        (Shape::Status, _) => output.ok(),
        (
            Shape::Value,
            Reply::Stored { previous: value } | Reply::NotStored { previous: value } | Reply::Taken { value },
        ) => output.bulk_or_null(value.as_deref().map(Entity::value)),
        (Shape::Value, _) => output.null(),
        (Shape::Integer, reply) => output.integer(integer(&reply)),
    }
}

fn integer(reply: &Reply) -> i64 {
    match reply {
        Reply::Number(number) => *number,
        Reply::Length(count) | Reply::Removed { count } => i64::try_from(*count).unwrap_or(i64::MAX),
        Reply::Stored { .. } | Reply::Rescheduled => 1,
        _ => 0,
    }
}

/// Splits what belongs to several shards, in the order of the shards.
pub fn by_shard<T>(runtime: &Runtime<Kv>, items: Vec<T>, key: impl Fn(&T) -> &Bytes) -> Vec<Vec<T>> {
    if runtime.shard_count() == 1 || items.len() == 1 {
        return vec![items];
    }
    let mut parts = std::collections::BTreeMap::new();
    for item in items {
        let shard = runtime.shard_of(key(&item));
        parts.entry(shard).or_insert_with(Vec::new).push(item);
    }
    parts.into_values().collect()
}
