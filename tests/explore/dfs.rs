//! The explorer: depth-first through every step of a model, each state once; or at random through longer lives.
//!
//! States are told apart by a 128-bit hash of their `Debug` form, so whatever a model wants to count as equal must
//! print equally. On a panic the steps that led there are printed.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};

/// What is explored.
pub trait Model: Clone + Debug {
    /// Something that may happen next.
    type Step: Copy + Debug;

    /// All that may happen in this state, in a fixed order; none: it is at rest.
    fn steps(&self) -> Vec<Self::Step>;

    /// Does it go wrong often enough if a random walk takes it once in a while?
    fn is_rare(_step: Self::Step) -> bool {
        false
    }

    /// Lets it happen. Panics if an invariant breaks.
    fn take(&mut self, step: Self::Step);

    /// Checks a state in which nothing more can happen.
    fn at_rest(&self);
}

/// The steps so far, printed if the explorer panics.
struct Trail<S: Debug>(Vec<S>);

impl<S: Debug> Drop for Trail<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("after these steps:");
            self.0.iter().enumerate().for_each(|(at, step)| println!("{at:4} {step:?}"));
        }
    }
}

/// Visits every state that can be reached and prints how many there are.
pub fn explore<M: Model>(name: &str, start: M) -> usize {
    let mut seen = BTreeSet::from([fingerprint(&start)]);
    let (mut taken, mut rests) = (0u64, 0u64);
    let mut trail = Trail(Vec::new());
    let mut open = vec![(start.clone(), start.steps().into_iter())];
    while let Some((state, steps)) = open.last_mut() {
        let Some(step) = steps.next() else {
            open.pop();
            trail.0.pop();
            continue;
        };
        let mut next = state.clone();
        trail.0.push(step);
        next.take(step);
        taken += 1;
        if !seen.insert(fingerprint(&next)) {
            trail.0.pop();
            continue;
        }
        let steps = next.steps();
        if steps.is_empty() {
            rests += 1;
            next.at_rest();
        }
        open.push((next, steps.into_iter()));
    }
    println!("{name}: {} states, {taken} steps, {rests} ends", seen.len());
    seen.len()
}

/// Walks at random, always the same way for the same seed, and prints how far.
pub fn wander<M: Model>(name: &str, start: &M, seed: u64, walks: u32, steps_max: u32) {
    let (mut random, mut taken, mut rests) = (seed, 0u64, 0u64);
    for _ in 0..walks {
        let mut state = start.clone();
        let mut trail = Trail(Vec::new());
        for _ in 0..steps_max {
            let mut steps = state.steps();
            if !draw(&mut random).is_multiple_of(16) && !steps.iter().all(|step| M::is_rare(*step)) {
                steps.retain(|step| !M::is_rare(*step));
            }
            let Some(at) = draw(&mut random).checked_rem(steps.len() as u64) else {
                rests += 1;
                state.at_rest();
                break;
            };
            let step = steps.get(at as usize).copied().expect("it is one of them");
            trail.0.push(step);
            state.take(step);
            taken += 1;
        }
    }
    println!("{name}: {walks} walks from seed {seed}, {taken} steps, {rests} ends");
}

/// SplitMix64.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

struct Fingerprint(DefaultHasher, DefaultHasher);

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        self.1.write(text.as_bytes());
        Ok(())
    }
}

fn fingerprint(state: &impl Debug) -> (u64, u64) {
    let mut into = Fingerprint(DefaultHasher::new(), DefaultHasher::new());
    into.1.write_u8(1);
    write!(into, "{state:?}").expect("a hasher takes everything");
    (into.0.finish(), into.1.finish())
}
