//! Values that were read again and again, on their way back to memory: from readers to their shard.
//!
//! A hint, and bounded in entries and bytes: what finds no room is dropped, and comes again with its next reader.

use crate::state::Thaw;
use crate::state::map::Entry;
use crate::sync::{Arc, Mutex};

/// So many wait at most.
const ENTRIES: usize = 256;
/// And so many bytes as accounted, or one.
const BYTES: usize = 256 * 1024;

/// See the module.
pub(crate) struct Returns<E> {
    /// With their bytes as accounted.
    waiting: Mutex<(Vec<Thaw<E>>, usize)>,
    /// Wakes the shard. It is called when there was nothing, and not again until that was taken.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<E> Returns<E> {
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::new((Vec::new(), 0)), wake: Box::new(wake) })
    }

    /// Offers a value that was read of a cold entry.
    pub(crate) fn offer(&self, cold: &Arc<Entry<E>>, here: &Arc<Entry<E>>) {
        let mut waiting = self.waiting.lock();
        let (pairs, bytes) = &mut *waiting;
        let is_first = pairs.is_empty();
        if pairs.len() >= ENTRIES || !is_first && *bytes + here.bytes() > BYTES {
            return;
        }
        *bytes += here.bytes();
        pairs.push((Arc::clone(cold), Arc::clone(here)));
        drop(waiting);
        if is_first {
            (self.wake)();
        }
    }

    /// What waits.
    pub(crate) fn take(&self) -> Vec<Thaw<E>> {
        let mut waiting = self.waiting.lock();
        waiting.1 = 0;
        std::mem::take(&mut waiting.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColdSeq, Location};
    use crate::state::map::Key;
    use crate::sync::counters::Counter;

    fn pair(key: u8, bytes: usize) -> Thaw<u8> {
        let at = Location { file: ColdSeq(1), sector: 1, sectors: 8, slot: 0 };
        let name = Key::from_slice(&[key]);
        (Arc::new(Entry::cold(0, name.clone(), at)), Arc::new(Entry::new(0, name, key, bytes)))
    }

    #[test]
    fn the_shard_is_woken_once_for_all_that_wait() {
        let wakes = Arc::new(Counter::default());
        let told = Arc::clone(&wakes);
        let returns = Returns::new(move || told.add(1));
        for round in 1..=3 {
            (0..5).map(|key| pair(key, 8)).for_each(|(cold, here)| returns.offer(&cold, &here));
            assert_eq!(wakes.get(), round);
            let taken: Vec<u8> = returns.take().iter().filter_map(|(_, here)| here.entity().copied()).collect();
            assert_eq!(taken, [0, 1, 2, 3, 4]);
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped() {
        let returns = Returns::new(|| ());
        let offer = |key, bytes| {
            let (cold, here) = pair(key, bytes);
            returns.offer(&cold, &here);
        };
        (0..=255).chain(0..=255).for_each(|key| offer(key, 8));
        assert_eq!(returns.take().len(), ENTRIES);
        // One alone may be as long as it likes.
        [2 * BYTES, 8].into_iter().for_each(|bytes| offer(0, bytes));
        assert_eq!(returns.take().len(), 1);
        [8, BYTES / 2, BYTES, 8].into_iter().for_each(|bytes| offer(0, bytes));
        assert_eq!(returns.take().len(), 3);
    }
}
