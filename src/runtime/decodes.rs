//! Do the application's commands decode?
//!
//! Some of serde's attributes (`untagged`, `flatten`, `skip_serializing_if`) make types that this encoding writes and
//! cannot read. Without a look at them such a command would be answered and then be poison when the log is replayed.
//! So the first ones of every kind are decoded before they are submitted, in debug builds all; a kind is what has the
//! same first byte, which of an enum is the variant.

use serde::de::DeserializeOwned;

use crate::storage::codec::{self, CodecError};
use crate::sync::atomic::{AtomicU8, Ordering};

/// So many of a kind are decoded.
const OF_A_KIND: u8 = 8;

/// See the module.
pub(crate) struct Decodes(Vec<AtomicU8>);

impl Decodes {
    pub(crate) fn new() -> Self {
        Self((0..=u8::MAX).map(|_| AtomicU8::new(0)).collect())
    }

    /// Decodes the bytes if too few of their kind were.
    pub(crate) fn check<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<(), CodecError> {
        let kind = bytes.first().copied().unwrap_or_default();
        let seen = self.0.get(usize::from(kind));
        let is_known = seen.is_some_and(|seen| seen.load(Ordering::Relaxed) >= OF_A_KIND);
        if is_known && !cfg!(debug_assertions) {
            return Ok(());
        }
        codec::decode::<T>(bytes)?;
        if let Some(seen) = seen
            && !is_known
        {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    enum Command {
        Good(u8),
        Bad {
            #[serde(skip_serializing_if = "Option::is_none")]
            absent: Option<u8>,
            there: u8,
        },
    }

    #[test]
    fn what_does_not_decode_is_found_behind_many_that_do() {
        let decodes = Decodes::new();
        let check = |command| decodes.check::<Command>(&codec::encode(&command).unwrap());
        for at in 0..100 {
            check(Command::Good(at)).unwrap();
        }
        check(Command::Bad { absent: None, there: 70 }).unwrap_err();
    }
}
