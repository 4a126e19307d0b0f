//! What an application writes: a deterministic state machine.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{Position, ShardId, Time};
use crate::state::Txn;
use crate::storage::codec::{self, CodecError};

/// A deterministic state machine over keyed entities.
///
/// Commands are logged and replayed after a crash, so [`apply`](StateMachine::apply) must depend on nothing but its
/// arguments: no clock (there is [`At::time`]), no random numbers, no iteration in random order, no I/O. It must have
/// no effect but on the [`Txn`] either: a command that was applied may still be lost before it is logged. Nothing
/// checks this; a machine that breaks it has another state after a recovery.
///
/// # Which calls overlap
/// A shard applies one command after the other; different shards apply at the same time, and all share one `&self`.
/// `apply` runs on the worker threads of the application's tokio runtime, in a replay on threads of its own: before
/// [`Runtime::open`](crate::Runtime::open) returns, and for a shard that is restarted while the others go on. A run
/// that hangs when its shard is given up may overlap with that replay, and counts for nothing. So keep state in
/// entities, and in `self` only what never changes.
///
/// `key`, and encoding and decoding of commands, run in whichever task submits, any number at a time. Entities are
/// encoded by threads that write snapshots and cold files, and in a shard that follows a digest; they are decoded,
/// upcast and measured by recoveries and by threads that read cold files, any number at a time.
///
/// # Keys
/// Any bytes, the empty key included. No length is too long by itself: a key that comes with a command is bounded by
/// [`Options::command_bytes_max`](crate::Options::command_bytes_max), one that `apply` makes up by memory. Up to 24
/// bytes lie beside their entry and cost no allocation.
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
    /// describe itself. What needs that cannot be read back: serde's `tag`, `untagged` and `flatten`,
    /// `skip_serializing` and `skip_serializing_if` (`skip` works), and types that use `deserialize_any`, such as
    /// `serde_json::Value`. Fields and variants have no names there: to reorder, add or remove one takes another
    /// [`SCHEMA`](StateMachine::SCHEMA), but for a variant that is added at the end; `default` and `alias` do not help.
    ///
    /// The first 8 commands of every kind, which is the first byte of their encoding (in debug builds all), are decoded
    /// before they are accepted, and one that does not decode is
    /// [`NotExecuted::NotEncodable`](crate::NotExecuted::NotEncodable). That it decodes to the same value is not
    /// checked.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What is stored under a key, in memory or, if nobody has used it for a while and there is too much, in a file.
    /// Readers share it behind an `Arc`, and it is never changed in place. It is not logged, but written to snapshots
    /// and cold files: the limits on the encoding of a command hold for it all the same.
    type Entity: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;
    /// What a client gets back. Never logged: a replay drops it.
    type Reply: Send + 'static;

    /// Version of the encodings of `Command` and `Entity`, stored with every batch, snapshot and page of a cold file.
    /// Raise it whenever either changes, and teach [`upcast_command`](StateMachine::upcast_command) and
    /// [`upcast_entity`](StateMachine::upcast_entity) the old one.
    const SCHEMA: u32;

    /// The key that routes a command to its shard; the same command must always have the same one. A command without a
    /// key of its own goes to a shard by [`Runtime::submit_to`](crate::Runtime::submit_to), which does not ask.
    ///
    /// A panic here, or in the command's `Serialize`, is the submitting task's own: nothing was submitted.
    fn key<'a>(&self, command: &'a Self::Command) -> Cow<'a, [u8]>;

    /// Applies one command. It may read and write any key of the shard; its writes land when it returns `Ok`.
    ///
    /// A refusal is a reply like any other: return it as `Ok`, having written nothing.
    ///
    /// It must return, and soon: until then the shard does nothing else, and even the deadlines of the commands that it
    /// has taken up are late. Do not block in it.
    ///
    /// # Panics
    /// A panic is caught and changes nothing; the caller gets [`NotExecuted::Panicked`](crate::NotExecuted::Panicked)
    /// and nothing is logged. In a replay the command is poison, see [`Poison`](crate::Poison). With `panic = "abort"`
    /// it ends the process, see [`Runtime::open`](crate::Runtime::open).
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

    /// Decodes an entity that a snapshot or a cold file has under another schema. Refuses by default: then a shard with
    /// such a snapshot is refused, which is never passed over for an older one, and an entity in a cold file is
    /// [`Unreadable`](crate::ReadError::Unreadable).
    ///
    /// # Errors
    /// The schema is not known, or the bytes are not of it.
    fn upcast_entity(&self, schema: u32, bytes: &[u8]) -> Result<Self::Entity, CodecError> {
        let _ = bytes;
        Err(CodecError::unknown_schema(schema, Self::SCHEMA))
    }

    /// Memory that an entity takes beyond `size_of::<Entity>()`, in bytes: what it has on the heap. Asked at every
    /// [`Txn::put`], and for each entity that is read from a snapshot or a cold file; by default the length of the
    /// encoding, which costs an encoding each time.
    ///
    /// An entry is accounted with this, the entity's size, the length of its key, and 96 bytes. The sum is what
    /// [`ShardStats::memory_bytes`](crate::ShardStats::memory_bytes) shows and
    /// [`MemoryLimits::state_bytes`](crate::MemoryLimits::state_bytes) bounds, see
    /// [`Options::memory`](crate::Options::memory); what snapshots keep alive is counted with it, too.
    fn heap_bytes(&self, entity: &Self::Entity) -> usize {
        codec::encode(entity).map_or(0, |bytes| bytes.len())
    }
}

/// Where and when a command is applied: the same on every replay. After a run that panicked, that there was no
/// memory for, or that read what cannot be read, the next command gets the same position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The shard.
    pub shard: ShardId,
    /// The command's position.
    pub position: Position,
    /// Logged with the batch: the wall clock, but never earlier than what was logged before. Commands of one batch
    /// share it.
    pub time: Time,
    /// The schema that the command was encoded with.
    pub schema: u32,
}

/// A run of [`StateMachine::apply`] that has to be repeated, because an entity that it reads is not in memory. Opaque:
/// pass it on with `?`.
#[derive(Debug)]
pub struct Abort(());

impl Abort {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}
