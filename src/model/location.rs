//! Where in a shard's cold files a value lies.
//!
//! A location is as good as the file it speaks of: whoever reads there checks the page's hash and the value's key.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ColdSeq;

/// A place in a cold file: a page, and a value in it. A map has one for each key whose value is not in memory, so it is
/// kept to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The file, one of the shard's own.
    pub file: ColdSeq,
    /// Where the page begins, in sectors from the file's beginning.
    pub sector: u32,
    /// How long the page is, in sectors.
    pub sectors: u16,
    /// Number of the value in the page, from 0.
    pub slot: u16,
}

impl Location {
    /// What sectors are counted in, in bytes. It is part of the format, whatever the disk's own sectors are.
    pub const SECTOR_BYTES: u64 = 512;

    /// The byte of the file at which the page begins.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.sector as u64 * Self::SECTOR_BYTES
    }

    /// Length of the page in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.sectors as u64 * Self::SECTOR_BYTES
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, sector {}, slot {}", self.file, self.sector, self.slot)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_reaches_far() {
        assert_eq!(size_of::<Location>(), 16);
        let last = Location { file: ColdSeq(3), sector: u32::MAX, sectors: u16::MAX, slot: 1 };
        assert_eq!((last.offset(), last.bytes()), (u64::from(u32::MAX) * 512, 65_535 * 512));
        assert_eq!(last.to_string(), "cold file 3, sector 4294967295, slot 1");
    }
}
