//! What a coordinator has to know for upkeep and what outlives it: how far the logs have grown, and which versions are
//! nobody's but a backup's.

use std::collections::BTreeSet;

use crate::model::VersionId;
use crate::protocol::cut::Growth;
use crate::sync::Mutex;

/// See the module. One a runtime.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) growth: Mutex<Growth>,
    /// Retention leaves these alone, and others because of them.
    pub(crate) aside: Mutex<BTreeSet<VersionId>>,
}

impl Upkeep {
    pub(crate) fn new(growth: Growth) -> Self {
        Self { growth: Mutex::new(growth), ..Self::default() }
    }
}
