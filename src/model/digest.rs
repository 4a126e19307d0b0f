//! A state's digest as it is recorded, and what takes one.

use serde::{Deserialize, Serialize};

/// The digest of a state, in its short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// It stands for the state wherever it is only compared.
    pub hash: [u8; 32],
    /// What the entities were encoded with: those of another schema are other bytes.
    pub schema: u32,
}

/// Takes the digest of a state from its entries, in whatever order they come. What reads entries from files need not
/// know what a digest is made of.
pub trait TakeDigest: Default {
    /// Takes in an entry, which comes once.
    fn take(&mut self, key: &[u8], value: &[u8]);

    /// The digest of all that was taken in, in its short form.
    fn taken(&self) -> [u8; 32];
}
