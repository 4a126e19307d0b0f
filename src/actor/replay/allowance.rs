//! How much memory a state may take that is read beside something else: a rollback's beside the state that serves, a
//! look back's within a limit of its own. A recovery has none of this: nobody serves meanwhile, and what was logged has
//! to be read.

use crate::model::ShardId;
use crate::storage::error::LogError;

/// Asked while a state grows. Refuses by [`LogError::OutOfMemory`].
pub(crate) trait Allowance: Sync {
    /// So many bytes of this shard's state are in memory now. May wait until they may be.
    fn ask(&self, shard: ShardId, bytes: u64) -> Result<(), LogError>;

    /// Does nobody want the state any more? Looked at all the time: a state need not grow while it is read.
    fn is_given_up(&self) -> bool {
        false
    }
}

/// As much for every shard.
pub(crate) struct Each(pub(crate) u64);

impl Allowance for Each {
    fn ask(&self, _shard: ShardId, bytes: u64) -> Result<(), LogError> {
        if bytes > self.0 { Err(LogError::OutOfMemory { bytes, allowed: self.0 }) } else { Ok(()) }
    }
}
