//! [`Kv`]: how each command changes the state.
//!
//! Invariants: whatever has expired by [`At::time`] is as good as absent; nothing that has expired is stored; a
//! command that is refused or whose condition does not hold writes nothing.

use std::borrow::Cow;

use bytes::Bytes;

use super::command::{Command, Expiry, Refusal, Reply, When};
use super::entity::Entity;
use super::integer;
use crate::machine::{Abort, At, StateMachine};
use crate::model::Time;
use crate::state::{EntityRef, Txn};

/// The longest value, in bytes: what [`Command::Append`] stops at. A value that is set is bounded by
/// [`Options::command_bytes_max`](crate::Options::command_bytes_max) before.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The machine. It has no options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

impl StateMachine for Kv {
    type Command = Command;
    type Entity = Entity;
    type Reply = Reply;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        let key = match command {
            Command::Set { key, .. }
            | Command::Take { key }
            | Command::Increment { key, .. }
            | Command::Append { key, .. }
            | Command::CompareAndSet { key, .. }
            | Command::Expire { key, .. }
            | Command::Persist { key } => key.as_ref(),
            Command::SetMany { pairs } => pairs.first().map_or(&[][..], |(key, _)| key),
            Command::Delete { keys } | Command::Sweep { keys } => keys.first().map_or(&[][..], Bytes::as_ref),
            Command::Clear => &[],
        };
        Cow::Borrowed(key)
    }

    fn apply(&self, at: At, state: &mut Txn<'_, Entity>, command: Command) -> Result<Reply, Abort> {
        let mut shard = Shard { now: at.time, state };
        match command {
            Command::Set { key, value, when, expiry, previous } => shard.set(&key, &value, when, expiry, previous),
            Command::SetMany { pairs } => Ok(shard.set_many(&pairs)),
            Command::Delete { keys } => shard.delete(&keys),
            Command::Take { key } => shard.take(&key),
            Command::Increment { key, by } => shard.increment(&key, by),
            Command::Append { key, suffix } => shard.append(&key, &suffix),
            Command::CompareAndSet { key, expected, value, expiry } => {
                shard.compare_and_set(&key, expected.as_deref(), value.as_deref(), expiry)
            }
            Command::Expire { key, expiry } => shard.expire(&key, expiry),
            Command::Persist { key } => shard.persist(&key),
            Command::Clear => Ok(shard.clear()),
            Command::Sweep { keys } => shard.sweep(&keys),
        }
    }

    fn heap_bytes(&self, entity: &Entity) -> usize {
        entity.heap_bytes()
    }
}

/// A shard at the time of one command.
struct Shard<'t, 's> {
    now: Time,
    state: &'t mut Txn<'s, Entity>,
}

impl Shard<'_, '_> {
    fn set(&mut self, key: &[u8], value: &[u8], when: When, expiry: Expiry, previous: bool) -> Result<Reply, Abort> {
        if when == When::Always && expiry != Expiry::Keep && !previous {
            self.store(key, value, self.resolve(expiry, None));
            return Ok(Reply::Stored { previous: None });
        }
        let present = self.present(key)?;
        let holds = match when {
            When::Always => true,
            When::IfAbsent => present.is_none(),
            When::IfPresent => present.is_some(),
        };
        if holds {
            self.store(key, value, self.resolve(expiry, present.as_deref()));
        }
        let previous = present.filter(|_| previous);
        Ok(if holds { Reply::Stored { previous } } else { Reply::NotStored { previous } })
    }

    fn set_many(&mut self, pairs: &[(Bytes, Bytes)]) -> Reply {
        for (key, value) in pairs {
            self.store(key, value, None);
        }
        Reply::Stored { previous: None }
    }

    fn delete(&mut self, keys: &[Bytes]) -> Result<Reply, Abort> {
        let mut count = 0;
        for key in keys {
            if self.present(key)?.is_some() {
                self.state.remove(key);
                count += 1;
            }
        }
        Ok(Reply::Removed { count })
    }

    fn take(&mut self, key: &[u8]) -> Result<Reply, Abort> {
        let value = self.present(key)?;
        if value.is_some() {
            self.state.remove(key);
        }
        Ok(Reply::Taken { value })
    }

    fn increment(&mut self, key: &[u8], by: i64) -> Result<Reply, Abort> {
        let present = self.present(key)?;
        let number = match &present {
            Some(entity) => integer::parse(entity.value()),
            None => Some(0),
        };
        let Some(number) = number else {
            return Ok(Reply::Refused(Refusal::NotAnInteger));
        };
        let Some(sum) = number.checked_add(by) else {
            return Ok(Reply::Refused(Refusal::Overflow));
        };
        let entity = integer::with_digits(sum, |digits| match &present {
            Some(entity) => entity.replaced(digits),
            None => Entity::new(digits, None),
        });
        self.state.put(key, entity);
        Ok(Reply::Number(sum))
    }

    fn append(&mut self, key: &[u8], suffix: &[u8]) -> Result<Reply, Abort> {
        let entity = match self.present(key)? {
            Some(present) if suffix.is_empty() => {
                return Ok(Reply::Length(present.value().len() as u64));
            }
            Some(present) if present.value().len() + suffix.len() > VALUE_BYTES_MAX => {
                return Ok(Reply::Refused(Refusal::TooLong));
            }
            Some(present) => present.extended(suffix),
            None => Entity::new(suffix, None),
        };
        let length = entity.value().len() as u64;
        self.state.put(key, entity);
        Ok(Reply::Length(length))
    }

    fn compare_and_set(
        &mut self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: Option<&[u8]>,
        expiry: Expiry,
    ) -> Result<Reply, Abort> {
        let previous = self.present(key)?;
        if previous.as_deref().map(Entity::value) != expected {
            return Ok(Reply::NotStored { previous });
        }
        match value {
            Some(value) => self.store(key, value, self.resolve(expiry, previous.as_deref())),
            None if previous.is_some() => self.state.remove(key),
            None => {}
        }
        Ok(Reply::Stored { previous })
    }

    fn expire(&mut self, key: &[u8], expiry: Expiry) -> Result<Reply, Abort> {
        let Some(present) = self.present(key)? else {
            return Ok(Reply::Unchanged);
        };
        let expires_ms = self.resolve(expiry, Some(&present));
        if self.has_passed(expires_ms) {
            self.state.remove(key);
        } else if expires_ms != present.expires_ms() {
            self.state.put(key, present.with_expiry(expires_ms));
        }
        Ok(Reply::Rescheduled)
    }

    fn persist(&mut self, key: &[u8]) -> Result<Reply, Abort> {
        match self.present(key)? {
            Some(present) if present.expires_ms().is_some() => {
                self.state.put(key, present.with_expiry(None));
                Ok(Reply::Rescheduled)
            }
            _ => Ok(Reply::Unchanged),
        }
    }

    fn clear(&mut self) -> Reply {
        let count = self.state.len_before() as u64;
        self.state.clear();
        Reply::Removed { count }
    }

    fn sweep(&mut self, keys: &[Bytes]) -> Result<Reply, Abort> {
        let mut count = 0;
        for key in keys {
            if self.state.get(key)?.is_some_and(|entity| entity.is_expired(self.now)) {
                self.state.remove(key);
                count += 1;
            }
        }
        Ok(Reply::Removed { count })
    }

    /// What is under a key and has not expired.
    fn present(&self, key: &[u8]) -> Result<Option<EntityRef<Entity>>, Abort> {
        Ok(self.state.get(key)?.filter(|entity| !entity.is_expired(self.now)))
    }

    fn resolve(&self, expiry: Expiry, present: Option<&Entity>) -> Option<u64> {
        match expiry {
            Expiry::Never => None,
            Expiry::Keep => present.and_then(Entity::expires_ms),
            Expiry::After(ms) => Some(self.now.as_millis().saturating_add(ms)),
            Expiry::At(ms) => Some(ms),
        }
    }

    fn has_passed(&self, expires_ms: Option<u64>) -> bool {
        expires_ms.is_some_and(|ms| Time::from_millis(ms) <= self.now)
    }

    /// Stores a value, unless it would be gone at once.
    fn store(&mut self, key: &[u8], value: &[u8], expires_ms: Option<u64>) {
        if self.has_passed(expires_ms) {
            self.state.remove(key);
        } else {
            self.state.put(key, Entity::new(value, expires_ms));
        }
    }
}
