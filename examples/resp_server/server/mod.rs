//! A server that speaks the Redis protocol over a `Runtime<Kv>`.
//!
//! ```text
//! listener ─ connection ─┬─ input ─ request (─ inline)    bytes to requests
//!                        ├─ table ─ parse_* ─ action      requests to what they ask for
//!                        └─ batch ─┬─ reads, scan (─ glob), session (─ info ─ persistence, catalog)
//!                                  ├─ saving ─ ledger      snapshots and versions
//!                                  └─ reply                replies to bytes
//! ```
//! Everything here is relative to this module, so a test can include it and run it over a simulated disk.

mod action;
mod batch;
mod catalog;
mod connection;
mod glob;
mod info;
mod inline;
mod input;
mod ledger;
mod listener;
mod parse_keys;
mod parse_saving;
mod parse_session;
mod parse_writes;
mod pending;
mod persistence;
mod reads;
mod reply;
mod request;
mod saving;
mod scan;
mod session;
mod settings;
mod table;
mod wrong;

pub use input::RequestLimits;
pub use listener::serve;
pub use settings::Settings;
