//! What is left of a root that is streamed part by part, and how much of that nobody else has any more.
//!
//! One thread streams: it takes a part, and lets go of it when it is through. The shard says what its state is about
//! to lose. It never waits for the other, and looks at the one part that matters.
//!
//! - An entry that the state loses counts once: as long as it is the root's own. It counts until its part was streamed.
//! - What the state loses of a part that is just being streamed does not count any more, nor what it has lost between
//!   the root and this.
//! - An entry of which the state only keeps the place in a cold file is replaced by that here too: the value is the
//!   same one. So a spill keeps nothing alive.
//!
//! Not here: who streams, and what becomes of one that keeps too much (`actor::overlap`).

use std::sync::Arc;

use super::map::{Entry, Iter, Map, Part};
use super::txn::{Change, Txn};
use crate::sync::counters::Counter;
use crate::sync::takeable::Takeable;

/// See the module.
pub struct Overlap<E> {
    /// In the order of the map.
    parts: Vec<Takeable<Waiting<E>>>,
    /// By the first byte of a hash, which part it would be in: every command asks, and memory is far away.
    part_of: [u8; 256],
    /// About what each of them has, in bytes as accounted.
    part_bytes: u64,
    kept: Counter,
}

struct Waiting<E> {
    part: Part<E>,
    /// What of it only this keeps.
    kept: u64,
}

/// A part that is being streamed; with it goes what only it has kept.
pub struct Streamed<'a, E> {
    waiting: Waiting<E>,
    overlap: &'a Overlap<E>,
}

impl<E> Overlap<E> {
    /// Nothing was streamed yet, and nothing lost.
    pub fn new(map: &Map<E>) -> Self {
        let (parts, mut part_of) = (map.parts(), [0; 256]);
        for (part, number) in parts.iter().zip(0..=u8::MAX) {
            part_of.iter_mut().skip(first_byte(part.from())).for_each(|own| *own = number);
        }
        let part_bytes = map.bytes() as u64 / parts.len().max(1) as u64;
        let parts = parts.into_iter().map(|part| Takeable::new(Waiting { part, kept: 0 })).collect();
        Self { parts, part_of, part_bytes, kept: Counter::default() }
    }

    /// What only this keeps alive, in bytes as accounted.
    pub fn kept(&self) -> u64 {
        self.kept.get()
    }

    /// What was not streamed yet, part by part, in the order of the map.
    pub fn stream(&self) -> impl Iterator<Item = Streamed<'_, E>> {
        self.parts.iter().filter_map(|part| Some(Streamed { waiting: part.take()?, overlap: self }))
    }

    /// Notes what a transaction is about to take out of the state.
    pub fn note(&self, txn: &Txn<'_, E>) {
        txn.changes().for_each(|change| self.note_lost(&change));
        if txn.clears() {
            self.parts.iter().for_each(|part| _ = part.look(|waiting| waiting.keep_all(self)));
        }
    }

    fn note_lost(&self, change: &Change<'_, E>) {
        let Some(was) = change.was else { return };
        // By what is known without the entry: so neither waits for the other to come from memory.
        self.look(change.hash, |waiting| {
            if waiting.part.entry(change.hash, change.key).is_some_and(|own| Arc::ptr_eq(own, was)) {
                waiting.keep(was.bytes() as u64, self);
            }
        });
    }

    /// Notes that the state has only an entity's place instead of it, or another place.
    pub fn note_replaced(&self, was: &Arc<Entry<E>>, by: &Arc<Entry<E>>) {
        self.look(was.hash(), |waiting| waiting.part.replace(was, Arc::clone(by)));
    }

    /// Looks at the part that a hash belongs to, if that waits.
    fn look<R>(&self, hash: u64, look: impl FnOnce(&mut Waiting<E>) -> R) {
        let number = self.part_of.get(first_byte(hash));
        if let Some(part) = number.and_then(|number| self.parts.get(usize::from(*number))) {
            part.look(look);
        }
    }
}

/// Parts begin with different ones.
fn first_byte(hash: u64) -> usize {
    (hash >> 56) as usize
}

impl<E> Waiting<E> {
    fn keep(&mut self, bytes: u64, overlap: &Overlap<E>) {
        self.kept += bytes;
        overlap.kept.add(bytes);
    }

    fn keep_all(&mut self, overlap: &Overlap<E>) {
        self.keep(overlap.part_bytes.saturating_sub(self.kept), overlap);
    }
}

impl<E> Streamed<'_, E> {
    /// Its entries, ascending by hash, then key.
    pub fn iter(&self) -> Iter<'_, E> {
        self.waiting.part.iter()
    }
}

impl<E> Drop for Streamed<'_, E> {
    fn drop(&mut self) {
        self.overlap.kept.sub(self.waiting.kept);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
