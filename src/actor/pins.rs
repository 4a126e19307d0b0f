//! Keeps files: while pins are held, nothing that is part of the data is dropped, but by a rollback.
//!
//! For whoever needs files that the manifest does not know to be needed: a cut or a snapshot that is not in it yet, a
//! backup or a rollback whose version retention may retire, a look back at one.

use super::slot::Slot;
use crate::machine::StateMachine;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// See the module. Of some shards.
pub(crate) struct Pins<M: StateMachine>(Vec<Arc<Slot<M>>>);

impl<M: StateMachine> Pins<M> {
    pub(crate) fn new(slots: &[Arc<Slot<M>>]) -> Self {
        slots.iter().for_each(|slot| _ = slot.pins.fetch_add(1, Ordering::SeqCst));
        Self(slots.to_vec())
    }
}

impl<M: StateMachine> Drop for Pins<M> {
    fn drop(&mut self) {
        self.0.iter().for_each(|slot| _ = slot.pins.fetch_sub(1, Ordering::SeqCst));
    }
}
