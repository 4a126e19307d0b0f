//! What can be done to keys, and what came of it: data, no behaviour.
//!
//! Invariant: [`Command`], [`When`] and [`Expiry`] are logged. Their variants are never reordered or removed, and new
//! ones go to the end; `tests.rs` has their bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::entity::Entity;
use crate::state::EntityRef;

/// A change to the keys of one shard.
///
/// A command that names several keys must name keys of one shard: group them by
/// [`Runtime::shard_of`](crate::Runtime::shard_of). It takes effect as a whole or not at all. A key of another shard
/// would be stored where nobody looks for it.
///
/// Each variant says which [`Reply`] it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// Stores a value. [`Reply::Stored`], or [`Reply::NotStored`] if the condition does not hold.
    Set {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The condition.
        when: When,
        /// When the key expires from now on.
        expiry: Expiry,
        /// Whether the reply has what was there before.
        previous: bool,
    },
    /// Stores several values that never expire, in order. [`Reply::Stored`] without a previous entity.
    SetMany {
        /// Keys of one shard, and their values.
        pairs: Vec<(Bytes, Bytes)>,
    },
    /// Removes keys. [`Reply::Removed`] with how many there were.
    Delete {
        /// Keys of one shard.
        keys: Vec<Bytes>,
    },
    /// Removes a key and returns what was there. [`Reply::Taken`].
    Take {
        /// The key.
        key: Bytes,
    },
    /// Adds to the decimal integer under a key, 0 if there is none, and keeps the expiry. [`Reply::Number`] with the
    /// sum, or [`Reply::Refused`].
    Increment {
        /// The key.
        key: Bytes,
        /// What to add.
        by: i64,
    },
    /// Adds to the end of a value, empty if there is none, and keeps the expiry. [`Reply::Length`] with the new
    /// length, or [`Reply::Refused`].
    Append {
        /// The key.
        key: Bytes,
        /// What to add.
        suffix: Bytes,
    },
    /// Stores or removes a value if the present one is as expected. [`Reply::Stored`] or [`Reply::NotStored`], both
    /// with what was there.
    CompareAndSet {
        /// The key.
        key: Bytes,
        /// What must be there; `None`: nothing.
        expected: Option<Bytes>,
        /// What is to be there; `None`: nothing.
        value: Option<Bytes>,
        /// When the key expires from now on.
        expiry: Expiry,
    },
    /// Changes when a key expires; a time that has passed removes it. [`Reply::Rescheduled`], or [`Reply::Unchanged`]
    /// if there is no such key.
    Expire {
        /// The key.
        key: Bytes,
        /// When.
        expiry: Expiry,
    },
    /// Makes a key stay. [`Reply::Rescheduled`], or [`Reply::Unchanged`] if there is no such key or it stays anyhow.
    Persist {
        /// The key.
        key: Bytes,
    },
    /// Removes all keys of the shard. [`Reply::Removed`]. Has no key:
    /// [`Runtime::submit_to`](crate::Runtime::submit_to).
    Clear,
    /// Removes those of the keys that have expired. [`Reply::Removed`]. What a [`Sweeper`](super::Sweeper) submits.
    Sweep {
        /// Keys of one shard.
        keys: Vec<Bytes>,
    },
}

/// The condition of a [`Command::Set`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// None.
    #[default]
    Always,
    /// There is no such key, or it has expired.
    IfAbsent,
    /// There is such a key, and it has not expired.
    IfPresent,
}

/// When a key expires. A key is gone from the given millisecond on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Never.
    #[default]
    Never,
    /// When it did before; a new key never does.
    Keep,
    /// So many milliseconds after the logged time at which the command is applied.
    After(u64),
    /// At so many milliseconds since the Unix epoch.
    At(u64),
}

/// What came of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// The value was stored.
    Stored {
        /// What was there before, if the command asks for it.
        previous: Option<EntityRef<Entity>>,
    },
    /// The condition does not hold; nothing has changed.
    NotStored {
        /// What is there, if the command asks for it.
        previous: Option<EntityRef<Entity>>,
    },
    /// So many keys are gone. Those that had expired before do not count, except in `Clear` and `Sweep`.
    Removed {
        /// How many.
        count: u64,
    },
    /// The key is gone.
    Taken {
        /// What was there.
        value: Option<EntityRef<Entity>>,
    },
    /// The new integer.
    Number(i64),
    /// The new length in bytes.
    Length(u64),
    /// The expiry was changed.
    Rescheduled,
    /// There was nothing to change.
    Unchanged,
    /// The command does not fit what is there; nothing has changed.
    Refused(Refusal),
}

/// Why a command does not fit what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The value is not a decimal integer of 64 bits with a sign, as a program would print it.
    #[error("the value is not an integer of 64 bits")]
    NotAnInteger,
    /// The sum does not fit into 64 bits.
    #[error("the sum does not fit into 64 bits")]
    Overflow,
    /// The value would be longer than [`VALUE_BYTES_MAX`](super::VALUE_BYTES_MAX).
    #[error("the value would be too long")]
    TooLong,
}

impl Command {
    /// Stores a value that never expires, whatever was there.
    pub fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Set { key: key.into(), value: value.into(), when: When::Always, expiry: Expiry::Never, previous: false }
    }

    /// As [`Command::set`], and returns what was there.
    pub fn get_and_set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Set { key: key.into(), value: value.into(), when: When::Always, expiry: Expiry::Never, previous: true }
    }

    /// Removes one key.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { keys: vec![key.into()] }
    }

    /// Adds to an integer.
    pub fn increment(key: impl Into<Bytes>, by: i64) -> Self {
        Self::Increment { key: key.into(), by }
    }

    /// The same [`Command::Set`] with a condition; another command is returned as it is.
    #[must_use]
    pub fn only(mut self, condition: When) -> Self {
        if let Self::Set { when, .. } = &mut self {
            *when = condition;
        }
        self
    }

    /// The same [`Command::Set`] or [`Command::CompareAndSet`] with an expiry; another command is returned as it is.
    #[must_use]
    pub fn expiring(mut self, at: Expiry) -> Self {
        if let Self::Set { expiry, .. } | Self::CompareAndSet { expiry, .. } = &mut self {
            *expiry = at;
        }
        self
    }
}
