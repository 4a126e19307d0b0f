//! The command line tool: its functions on simulated disks, and the program on a real one.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![allow(dead_code, reason = "what is shared with other tests and with the program is not all needed here")]

#[path = "../corruption/log.rs"]
mod log;
#[path = "../corruption/scene.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;
#[path = "../../src/bin/mainstay/tool/mod.rs"]
mod tool;

mod cold;
mod damage;
mod live;
mod places;
mod program;
mod texts;
mod versions;
