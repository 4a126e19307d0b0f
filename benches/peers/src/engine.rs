//! What a workload needs of an engine, and what a report says about it.
//!
//! An [`Engine`] is opened in a directory and gives every client a [`Client`] of its own. The methods of a client are
//! futures, so that one loop serves both kinds: where the engine's interface blocks, the loop runs on a thread of the
//! operating system and its futures are ready at once; where it is async, the loop is a tokio task. [`Engine::DRIVEN`]
//! says which; `drive.rs` does it.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// 16 bytes, as if random.
pub type Key = [u8; 16];
/// 100 bytes that do not compress.
pub type Value = serde_bytes::ByteArray<100>;
pub type Pair = (Key, Value);

/// What has to hold when a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// It survives a power cut.
    Durable,
    /// It survives `kill -9`, and a power cut a second later.
    Buffered,
}

/// Who the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driven {
    Tasks,
    Threads,
}

/// What an engine has a row for. Who gets also puts, to load and in a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    DurablePuts,
    BufferedPuts,
    Gets,
    DurableAdds,
    BufferedAdds,
    Recovery,
}

/// How an engine was set up, for the table.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub text: &'static str,
    /// Why the figure must not be read as one of the same kind, if so.
    pub caveat: Option<&'static str>,
}

impl Settings {
    pub const fn of(text: &'static str) -> Self {
        Self { text, caveat: None }
    }

    pub const fn but(self, caveat: &'static str) -> Self {
        Self { caveat: Some(caveat), ..self }
    }
}

pub trait Engine: Sized + Send + Sync + 'static {
    const NAME: &'static str;
    const DRIVEN: Driven;
    /// All of them, unless an engine says otherwise.
    const ABILITIES: &'static [Ability] = &[
        Ability::DurablePuts,
        Ability::BufferedPuts,
        Ability::Gets,
        Ability::DurableAdds,
        Ability::BufferedAdds,
        Ability::Recovery,
    ];
    /// The crate in `Cargo.lock` whose version the report names.
    const PACKAGE: Option<&'static str>;
    type Client: Client;

    fn settings(policy: Policy) -> Settings;

    /// Opens the directory, a new one or one that an earlier process left behind.
    async fn open(dir: &Path, policy: Policy) -> Self;

    fn client(&self) -> Self::Client;

    /// Syncs what was buffered. Called once a second under [`Policy::Buffered`], unless the engine has
    /// [`Engine::SYNCS_ITSELF`].
    fn sync(&self) {}

    const SYNCS_ITSELF: bool = true;

    /// After a load and before measuring: what the engine's documents recommend then.
    async fn settle(&self) {}

    async fn close(self) {}
}

/// One client's access. Every method does its work before its future is ready.
pub trait Client: Send + 'static {
    /// Writes all pairs, at once if the engine has batches.
    fn put(&mut self, pairs: &[Pair]) -> impl Future<Output = ()> + Send;

    /// A byte of the value under a key, from a state that has all of this client's own writes.
    fn get(&mut self, _: &Key) -> impl Future<Output = Option<u8>> + Send {
        async { unreachable!("not among the engine's abilities") }
    }

    /// Between gets, so that a client that is never pending leaves its thread to others.
    fn pause(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Adds one to the counter in a value's first 8 bytes and tells the sum; the other bytes stay.
    fn add(&mut self, _: &Key) -> impl Future<Output = u64> + Send {
        async { unreachable!("not among the engine's abilities") }
    }
}

/// Adds one to the counter in a value, or begins a value with it.
pub fn incremented(old: Option<&[u8]>) -> (Value, u64) {
    let mut value = [0; 100];
    if let Some(old) = old {
        value.copy_from_slice(old);
    }
    let (counter, _) = value.split_first_chunk_mut::<8>().expect("100 bytes");
    let sum = u64::from_le_bytes(*counter).wrapping_add(1);
    *counter = sum.to_le_bytes();
    (Value::new(value), sum)
}
