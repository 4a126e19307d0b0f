//! Locks for read-modify-write on engines that have none: what an application puts in front of them.

use std::sync::{Mutex, MutexGuard};

use crate::engine::Key;

const COUNT: usize = 256;

pub struct Stripes([Mutex<()>; COUNT]);

impl Default for Stripes {
    fn default() -> Self {
        Self([const { Mutex::new(()) }; COUNT])
    }
}

impl Stripes {
    /// Keeps all others from this key, and from some more.
    pub fn lock(&self, key: &Key) -> MutexGuard<'_, ()> {
        self.0[usize::from(key[0])].lock().expect("no panic")
    }
}
