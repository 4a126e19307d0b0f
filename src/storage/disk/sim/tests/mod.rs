//! Each rule of the fault model has a test here that fails without it. Files are 512-byte pieces of one letter.

mod content;
mod faults;
mod names;
mod stalls;
mod support;
mod views;
