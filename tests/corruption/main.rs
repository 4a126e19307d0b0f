//! Damaged, cut, missing and foreign files: a typed error that names the place, or a torn tail; never a guess.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod copies;
mod current;
mod frames;
mod headers;
mod last;
mod lengths;
mod log;
mod manifest;
mod scene;
mod segments;
mod versions;
