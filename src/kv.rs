//! A ready-made machine of byte keys and byte values with expiry, for caches, sessions, counters and locks.
//!
//! [`Kv`] applies [`Command`]s; reading is not a command: it goes through a [`View`](crate::View) and [`read`], which
//! never waits for a writer.
//!
//! Invariants:
//! - Whether a key has expired is decided by logged time ([`At::time`](crate::At::time)) when a command is applied, so
//!   a replay decides alike. Relative expiries become absolute ones there.
//! - A reader treats a key as gone when the later of the shard's logged time and the wall clock has passed its expiry.
//!   A key that a reader has seen go does not come back, unless the wall clock is set back.
//! - An expired entity takes memory until a [`Sweeper`] has its deletion logged, or its key is written again.
//!
//! This module uses the crate's public interface and `Txn` only; any application could have written it.
//!
//! ```
//! use mainstay::kv::{self, Command, Expiry, Kv, Reply};
//! use mainstay::{Options, Runtime};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let runtime = Runtime::open(Kv, Options::new(dir.path())).await?;
//! runtime.submit(Command::set("greeting", "hello")).await?;
//! runtime.submit(Command::set("session", "7f").expiring(Expiry::After(60_000))).await?;
//! let receipt = runtime.submit(Command::increment("visits", 1)).await?;
//! assert_eq!(receipt.reply, Reply::Number(1));
//!
//! let view = runtime.view().await;
//! let now = kv::wall_clock();
//! let greeting = kv::read(&view, b"greeting", now).await?.ok_or("it is there")?;
//! assert_eq!(greeting.value(), b"hello");
//! assert!(kv::read(&view, b"farewell", now).await?.is_none());
//! runtime.shutdown().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```

mod command;
mod digest;
mod entity;
mod integer;
mod machine;
mod read;
mod sweeper;

#[cfg(test)]
mod tests;

pub use command::{Command, Expiry, Refusal, Reply, When};
pub use digest::{Digest, digest};
pub use entity::Entity;
pub use machine::{Kv, VALUE_BYTES_MAX};
pub use read::{Clock, read, read_many, wall_clock};
pub use sweeper::{Sweeper, SweeperOptions};
