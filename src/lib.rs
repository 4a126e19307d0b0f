//! An embeddable, sharded, durable state-machine runtime made of supervised actors.

macro_rules! internal_modules {
    ($($(#[$attribute:meta])* mod $name:ident;)*) => {$(
        $(#[$attribute])*
        #[cfg(any(loom, feature = "internals"))]
        #[doc(hidden)]
        pub mod $name;
        $(#[$attribute])*
        #[cfg(not(any(loom, feature = "internals")))]
        mod $name;
    )*};
}

internal_modules! {
    mod model;
    mod protocol;
    mod state;
    mod storage;
    mod sync;
}

#[cfg(not(loom))]
mod actor;
mod config;
mod error;
#[cfg(not(loom))]
pub mod kv;
mod machine;
#[cfg(not(loom))]
mod runtime;

#[cfg(not(loom))]
pub use actor::root::{Root, RootArguments, RootMessage};
pub use config::{Options, Poison, RestartBudget};
pub use error::{
    CodecError, DiskError, DurableError, LogError, ManifestError, NotExecuted, OpenError,
    OptionsError, ReadError, ShutdownError, SubmitError,
};
pub use machine::{Abort, At, StateMachine};
pub use model::{Durability, Epoch, Lsn, Position, ShardId, SyncPolicy, Time};
#[cfg(not(loom))]
pub use ractor;
#[cfg(not(loom))]
pub use runtime::{
    LostRange, Outcome, Receipt, RecoveryReport, Runtime, ShardRecovery, ShardStats, Stats,
};
pub use state::{ScanPage, Txn, View};

/// The encoding of commands and entities, for `upcast_command`, `upcast_entity` and tests.
pub mod codec {
    pub use crate::storage::codec::{BYTES_MAX, CodecError, decode, encode};
}

/// The simulated disk: loses, tears and fails on request.
#[cfg(feature = "sim")]
pub mod sim {
    pub use crate::storage::disk::sim::*;
}
