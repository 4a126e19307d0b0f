//! What a finished cold file holds, and where: the only source of locations. There is none before the file is durable.

use crate::model::{ColdSeq, Location};

/// Where a page lies, and how many values it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sector: u32,
    pub(super) sectors: u16,
    pub(super) slots: u16,
}

/// What was written, whole and durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its number.
    pub file: ColdSeq,
    /// Length of the file.
    pub bytes: u64,
    /// Count of values.
    pub values: u64,
    /// Count of pages.
    pub pages: u64,
    /// Used bytes of all pages: each value with its key, and eight bytes.
    pub payload_bytes: u64,
    pub(super) places: Vec<Place>,
}

impl Written {
    /// Where the values lie, in the order in which they were pushed.
    pub fn locations(&self) -> impl Iterator<Item = Location> + '_ {
        let file = self.file;
        self.places.iter().flat_map(move |place| {
            let Place { sector, sectors, slots } = *place;
            (0..slots).map(move |slot| Location { file, sector, sectors, slot })
        })
    }
}
