//! A shard as a plain map, written down a second time from the documentation of `mainstay::kv`.
//!
//! What has expired stays in the map until something removes it: only the expiry of an entry says that it is gone.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay::kv::{Command, Entity, Expiry, Refusal, Reply, When};
use mainstay::{EntityRef, Time};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plain {
    /// Values, and the millisecond from which on they are gone.
    pub entries: BTreeMap<Bytes, (Bytes, Option<u64>)>,
    /// The logged time of the last command.
    pub time: Time,
}

impl Plain {
    /// What is there for a command at that time.
    pub fn present(&self, key: &Bytes) -> Option<&(Bytes, Option<u64>)> {
        self.entries.get(key).filter(|(_, until)| !self.has_passed(*until))
    }

    /// Whether a command will meet something that has expired.
    pub fn has_expired(&self, key: &Bytes) -> bool {
        self.entries.contains_key(key) && self.present(key).is_none()
    }

    fn has_passed(&self, until: Option<u64>) -> bool {
        until.is_some_and(|ms| ms <= self.time.0 / 1_000)
    }

    fn entity(&self, key: &Bytes) -> Option<EntityRef<Entity>> {
        self.present(key).map(|(value, until)| Entity::new(value, *until).into())
    }

    fn until(&self, key: &Bytes, expiry: Expiry) -> Option<u64> {
        match expiry {
            Expiry::Never => None,
            Expiry::Keep => self.present(key).and_then(|(_, until)| *until),
            Expiry::After(ms) => Some((self.time.0 / 1_000).saturating_add(ms)),
            Expiry::At(ms) => Some(ms),
        }
    }

    fn put(&mut self, key: &Bytes, value: Bytes, until: Option<u64>) {
        if self.has_passed(until) {
            self.entries.remove(key);
        } else {
            self.entries.insert(key.clone(), (value, until));
        }
    }

    pub fn apply(&mut self, time: Time, command: &Command) -> Reply {
        self.time = time;
        match command {
            Command::Set { key, value, when, expiry, previous } => {
                let before = self.entity(key);
                let holds = match when {
                    When::Always => true,
                    When::IfAbsent => before.is_none(),
                    When::IfPresent => before.is_some(),
                };
                let previous = before.filter(|_| *previous);
                if !holds {
                    return Reply::NotStored { previous };
                }
                self.put(key, value.clone(), self.until(key, *expiry));
                Reply::Stored { previous }
            }
            Command::SetMany { pairs } => {
                pairs.iter().for_each(|(key, value)| self.put(key, value.clone(), None));
                Reply::Stored { previous: None }
            }
            Command::Delete { keys } => self.delete(keys),
            Command::Take { key } => {
                let value = self.entity(key);
                if value.is_some() {
                    self.entries.remove(key);
                }
                Reply::Taken { value }
            }
            Command::Increment { key, by } => self.increment(key, *by),
            Command::Append { key, suffix } => self.append(key, suffix),
            Command::CompareAndSet { key, expected, value, expiry } => {
                self.compare_and_set(key, expected.as_ref(), value.as_ref(), *expiry)
            }
            Command::Expire { key, expiry } => self.expire(key, *expiry),
            Command::Persist { key } => match self.present(key).cloned() {
                Some((value, Some(_))) => {
                    self.put(key, value, None);
                    Reply::Rescheduled
                }
                _ => Reply::Unchanged,
            },
            Command::Clear => {
                let count = self.entries.len() as u64;
                self.entries.clear();
                Reply::Removed { count }
            }
            Command::Sweep { keys } => {
                let before = self.entries.len();
                for key in keys.iter().filter(|key| self.has_expired(key)).collect::<Vec<_>>() {
                    self.entries.remove(key);
                }
                Reply::Removed { count: (before - self.entries.len()) as u64 }
            }
            other => panic!("not modelled: {other:?}"),
        }
    }

    fn delete(&mut self, keys: &[Bytes]) -> Reply {
        let mut count = 0;
        for key in keys {
            if self.present(key).is_some() {
                self.entries.remove(key);
                count += 1;
            }
        }
        Reply::Removed { count }
    }

    fn increment(&mut self, key: &Bytes, by: i64) -> Reply {
        let (text, until) = self.present(key).cloned().unwrap_or((Bytes::from("0"), None));
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        let Some(number) = number else {
            return Reply::Refused(Refusal::NotAnInteger);
        };
        let Some(sum) = number.checked_add(by) else {
            return Reply::Refused(Refusal::Overflow);
        };
        self.put(key, sum.to_string().into(), until);
        Reply::Number(sum)
    }

    fn append(&mut self, key: &Bytes, suffix: &Bytes) -> Reply {
        let (value, until) = self.present(key).cloned().unwrap_or_default();
        let value = [value, suffix.clone()].concat();
        let length = value.len() as u64;
        self.put(key, value.into(), until);
        Reply::Length(length)
    }

    fn compare_and_set(
        &mut self,
        key: &Bytes,
        expected: Option<&Bytes>,
        value: Option<&Bytes>,
        expiry: Expiry,
    ) -> Reply {
        let previous = self.entity(key);
        if self.present(key).map(|(value, _)| value) != expected {
            return Reply::NotStored { previous };
        }
        match value {
            Some(value) => self.put(key, value.clone(), self.until(key, expiry)),
            None if previous.is_some() => drop(self.entries.remove(key)),
            None => {}
        }
        Reply::Stored { previous }
    }

    fn expire(&mut self, key: &Bytes, expiry: Expiry) -> Reply {
        match self.present(key).cloned() {
            Some((value, _)) => {
                self.put(key, value, self.until(key, expiry));
                Reply::Rescheduled
            }
            None => Reply::Unchanged,
        }
    }
}
