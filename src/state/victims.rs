//! Which entities leave the memory: those that were not used for the longest time, nearly.
//!
//! A hand goes round in the order of hashes, which has nothing to do with use, so that whatever lies in front of it is
//! a fair sample of all. From each sample the oldest are taken, by the map's [clock](super::map::Tick): all of memory
//! is never looked at for one spill, and no reader ever does more than to leave a mark. Entities that were used in the
//! present tick are taken last. What is taken comes in the order of hashes, so neighbours of a scan lie side by side.
//!
//! Not here: encoding and files, nor how much is to go.

use std::cmp::Reverse;

use super::map::{Age, Cursor, Entry, Map};
use std::sync::Arc;

/// Where the memory is full of spillable entities, one of so many is taken.
const ONE_OF: u64 = 8;
/// A sample has no more entries: it is kept while it is sorted.
const SAMPLE: usize = 4096;

/// An entity that may leave, and what that frees.
struct Candidate<'a, E> {
    entry: &'a Arc<Entry<E>>,
    age: Age,
    gain: u64,
}

/// Offers entries until so many bytes are free, or the hand has gone round: `take` says whether it has taken one.
/// Returns what is free.
///
/// # Errors
/// Those of `take`, at once.
pub fn pick<'a, E, F>(
    map: &'a Map<E>,
    hand: &mut Cursor,
    bytes: u64,
    mut take: impl FnMut(&'a Arc<Entry<E>>) -> Result<bool, F>,
) -> Result<u64, F> {
    let spillable = map.bytes().saturating_sub(map.keys_bytes()) as u64;
    let one_of = (spillable / bytes.max(1)).clamp(1, ONE_OF);
    let mut round = map.iter_from(*hand).chain(map.iter()).take(map.len());
    let mut freed = 0;
    while freed < bytes {
        let wanted = bytes - freed;
        let mut sample: Vec<Candidate<'a, E>> = Vec::new();
        let (mut gain, mut is_over) = (0, true);
        for entry in round.by_ref() {
            *hand = Cursor::at(entry.hash());
            let Some(candidate) = Candidate::of(entry, map) else { continue };
            gain += candidate.gain;
            sample.push(candidate);
            if sample.len() == SAMPLE || gain >= wanted.saturating_mul(one_of) {
                is_over = false;
                break;
            }
        }
        freed += take_oldest(&mut sample, (gain / one_of).clamp(1, wanted), &mut take)?;
        if is_over {
            break;
        }
    }
    Ok(freed)
}

/// Takes the oldest of a sample until they free so many bytes; who is not taken is passed over.
fn take_oldest<'a, E, F>(
    sample: &mut [Candidate<'a, E>],
    bytes: u64,
    take: &mut impl FnMut(&'a Arc<Entry<E>>) -> Result<bool, F>,
) -> Result<u64, F> {
    // Stable, so those of an age stay in the order of hashes.
    sample.sort_by_key(|candidate| Reverse(candidate.age));
    let (mut freed, mut from) = (0, 0);
    while let Some(rest) = sample.get_mut(from..).filter(|rest| freed < bytes && !rest.is_empty()) {
        let mut expected = freed;
        let enough = rest.iter().position(|candidate| {
            expected += candidate.gain;
            expected >= bytes
        });
        let count = enough.map_or(rest.len(), |last| last + 1);
        let Some(chosen) = rest.get_mut(..count) else { break };
        chosen.sort_by_key(|candidate| candidate.entry.hash());
        for candidate in chosen {
            if take(candidate.entry)? {
                freed += candidate.gain;
            }
        }
        from += count;
    }
    Ok(freed)
}

impl<'a, E> Candidate<'a, E> {
    fn of(entry: &'a Arc<Entry<E>>, map: &Map<E>) -> Option<Self> {
        let age = entry.age(map.now());
        entry.entity()?;
        let gain = entry.bytes().saturating_sub(Entry::<E>::cold_bytes(entry.key())) as u64;
        (gain > 0).then_some(Self { entry, age, gain })
    }
}

#[cfg(all(test, not(loom)))]
#[expect(clippy::unwrap_used, reason = "this is a test")]
mod tests;
