//! Loom models of everything that two threads do to shared memory: every interleaving, within the bound that a model
//! names, of the types in `sync/` and of the protocols around them.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --profile loom --target-dir target/loom --test loom
//! ```
//! Each model has a twin with one step reversed, written out beside it, that must fail. Not modelled anywhere here:
//! tokio, ractor and arc-swap, which loom cannot see; `support/` has stand-ins with the same rules. Message
//! order alone is explored further in `tests/explore`.

#![cfg_attr(loom, expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "this is a test"))]

#[cfg(not(loom))]
compile_error!("build this with RUSTFLAGS=\"--cfg loom\"");

#[cfg(loom)]
mod claim;
#[cfg(loom)]
mod commit;
#[cfg(loom)]
mod cut;
#[cfg(loom)]
mod doorbell;
#[cfg(loom)]
mod hold;
#[cfg(loom)]
mod lane;
#[cfg(loom)]
mod published;
#[cfg(loom)]
mod restart;
#[cfg(loom)]
mod rewrite;
#[cfg(loom)]
mod rollback;
#[cfg(loom)]
mod room;
#[cfg(loom)]
mod shutdown;
#[cfg(loom)]
mod spill;
#[cfg(loom)]
mod spill_gate;
#[cfg(loom)]
mod support;
#[cfg(loom)]
mod takeable;
#[cfg(loom)]
mod view;
#[cfg(loom)]
mod watch;
#[cfg(loom)]
mod watermark;
