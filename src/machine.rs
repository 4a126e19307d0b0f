//! What an application writes: a deterministic state machine.

use std::borrow::Cow;
use std::convert::Infallible;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{Position, ShardId, Time};
use crate::state::Txn;
use crate::storage::codec::{self, CodecError};

/// A deterministic state machine over keyed entities.
///
/// Commands are logged and replayed after a crash, so [`apply`](StateMachine::apply) must depend on nothing but its
/// arguments: no clock (there is [`At::time`]), no random numbers, no iteration in random order, no I/O.
///
/// ```
/// use std::borrow::Cow;
/// use mainstay::{Abort, At, StateMachine, Txn};
///
/// struct Counters;
///
/// impl StateMachine for Counters {
///     type Command = (String, i64);
///     type Entity = i64;
///     type Reply = i64;
///     const SCHEMA: u32 = 1;
///
///     fn key<'a>(&self, (name, _): &'a Self::Command) -> Cow<'a, [u8]> {
///         Cow::Borrowed(name.as_bytes())
///     }
///
///     fn apply(
///         &self,
///         _at: At,
///         state: &mut Txn<'_, i64>,
///         (name, add): Self::Command,
///     ) -> Result<i64, Abort> {
///         let sum = state.get(name.as_bytes())?.map_or(0, |sum| *sum) + add;
///         state.put(name.as_bytes(), sum);
///         Ok(sum)
///     }
/// }
/// ```
pub trait StateMachine: Send + Sync + 'static {
    /// What a client submits. Logged in the crate's fixed encoding (see [`codec`](crate::codec)), which does not
    /// describe itself: serde's `untagged`, `flatten`, `skip_serializing_if` and `deserialize_any` cannot be read back.
    /// The first few commands of every kind (in debug builds all) are decoded before they are accepted, and one that
    /// does not decode is [`NotExecuted::NotEncodable`](crate::NotExecuted::NotEncodable).
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What is stored under a key.
    type Entity: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What a client gets back. Never logged: a replay drops it.
    type Reply: Send + 'static;

    /// Version of the encodings of `Command` and `Entity`, stored with every batch. Raise it whenever either changes,
    /// and teach [`upcast_command`](StateMachine::upcast_command) the old one.
    const SCHEMA: u32;

    /// The key that routes a command to its shard. A command without a key of its own goes to a shard by
    /// [`Runtime::submit_to`](crate::Runtime::submit_to), which does not ask.
    fn key<'a>(&self, command: &'a Self::Command) -> Cow<'a, [u8]>;

    /// Applies one command. It may read and write any key of the shard; its writes land when it returns `Ok`.
    ///
    /// A refusal is a reply like any other: return it as `Ok`, having written nothing. A panic changes nothing either;
    /// the caller gets [`NotExecuted::Panicked`](crate::NotExecuted::Panicked) and nothing is logged.
    ///
    /// # Errors
    /// [`Abort`] comes from [`Txn::get`] and is passed on with `?`; the run is then repeated, and only the last one
    /// counts.
    fn apply(&self, at: At, state: &mut Txn<'_, Self::Entity>, command: Self::Command) -> Result<Self::Reply, Abort>;

    /// Decodes a command that was logged under another schema. Refuses by default.
    ///
    /// # Errors
    /// The schema is not known, or the bytes are not of it. The command is then poison, see
    /// [`Poison`](crate::Poison).
    fn upcast_command(&self, schema: u32, bytes: &[u8]) -> Result<Self::Command, CodecError> {
        let _ = bytes;
        Err(CodecError::unknown_schema(schema, Self::SCHEMA))
    }

    /// Decodes an entity that was stored under another schema. Refuses by default.
    ///
    /// # Errors
    /// The schema is not known, or the bytes are not of it.
    fn upcast_entity(&self, schema: u32, bytes: &[u8]) -> Result<Self::Entity, CodecError> {
        let _ = bytes;
        Err(CodecError::unknown_schema(schema, Self::SCHEMA))
    }

    /// Memory that an entity takes, for the accounting; by default the length of its encoding, which costs an encoding
    /// for every write.
    fn heap_bytes(&self, entity: &Self::Entity) -> usize {
        codec::encode(entity).map_or(0, |bytes| bytes.len())
    }
}

/// Where and when a command is applied: the same on every replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The shard.
    pub shard: ShardId,
    /// The command's position.
    pub position: Position,
    /// Logged with the batch: the wall clock, but never earlier than what was logged before.
    pub time: Time,
    /// The schema that the command was encoded with.
    pub schema: u32,
}

/// A run of [`StateMachine::apply`] that has to be repeated. Opaque: pass it on with `?`.
///
/// Every value is in memory today, so no run is ever aborted and the type has no values.
#[derive(Debug)]
pub struct Abort(Infallible);

impl Abort {
    /// The proof that there is none.
    pub(crate) fn never(self) -> ! {
        match self.0 {}
    }
}
