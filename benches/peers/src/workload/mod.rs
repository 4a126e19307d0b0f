//! The workloads, the same code for every engine.

mod adds;
mod beside;
mod loops;
mod memory;
mod mix;
mod puts;
pub mod recovery;
mod run;

pub use run::run;
