//! Keys and values: the same for every engine, in every process.

use crate::engine::{Key, Pair, Value};

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for one client; those of different clients share nothing.
    pub fn new(client: usize) -> Self {
        Self(mix(client as u64 ^ 0x005e_ed0f_c11e_4700))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        // By multiplication, not by division: a get takes 100 ns.
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub fn pair(&mut self, keys: u64) -> Pair {
        (key(self.below(keys)), self.value())
    }

    pub fn value(&mut self) -> Value {
        let mut value = [0; 100];
        for chunk in value.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Value::new(value)
    }
}

/// Distinct for distinct indices, in no order.
pub fn key(index: u64) -> Key {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&mix(index).to_le_bytes());
    key[8..].copy_from_slice(&mix(!index).to_le_bytes());
    key
}

fn mix(mut mixed: u64) -> u64 {
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
