//! A value that a thread takes for good, against another that looks at it.
//!
//! In scope: what the looker notes in the value and adds to a sum, and the taker takes from the sum again, as with the
//! parts of a root that a snapshot streams (`state::Overlap`). Not modelled: the value itself.

use mainstay::sync::Arc;
use mainstay::sync::counters::Counter;
use mainstay::sync::takeable::Takeable;

use crate::support::{bounded, spawn, unbounded};

/// What was noted in a part, and the sum over all of them.
struct Scene {
    parts: [Takeable<u64>; 2],
    sum: Counter,
}

impl Scene {
    fn new() -> Arc<Self> {
        Arc::new(Self { parts: [Takeable::new(0), Takeable::new(0)], sum: Counter::default() })
    }

    /// Takes both, and what was noted in them from the sum.
    fn take(&self) {
        for part in &self.parts {
            let noted = part.take().unwrap();
            let sum = self.sum.get();
            assert!(noted <= sum, "{noted} taken from {sum}");
            self.sum.sub(noted);
            assert_eq!(part.take(), None);
        }
    }
}

/// Whatever was noted is in what is taken, and the sum never goes below nothing.
#[test]
fn what_was_noted_is_taken_along() {
    bounded(5, || {
        let scene = Scene::new();
        let looking = spawn({
            let scene = Arc::clone(&scene);
            move || {
                for part in &scene.parts {
                    part.look(|noted| {
                        *noted += 3;
                        scene.sum.add(3);
                    });
                }
            }
        });
        scene.take();
        looking.join();
        assert_eq!(scene.sum.get(), 0);
        assert_eq!(scene.parts[0].look(|noted| *noted), None, "it is gone for good");
    });
}

/// Only a part that is being taken is passed over.
#[test]
fn a_look_finds_what_nobody_takes() {
    unbounded(|| {
        let scene = Scene::new();
        let taking = spawn({
            let scene = Arc::clone(&scene);
            move || scene.parts[0].take()
        });
        assert_eq!(scene.parts[1].look(|noted| *noted), Some(0));
        taking.join();
    });
}

/// The twin adds to the sum when the look is over.
#[test]
#[should_panic(expected = "taken from")]
fn twin_the_sum_comes_later() {
    bounded(5, || {
        let scene = Scene::new();
        let looking = spawn({
            let scene = Arc::clone(&scene);
            move || {
                if scene.parts[0].look(|noted| *noted += 3).is_some() {
                    scene.sum.add(3);
                }
            }
        });
        scene.take();
        looking.join();
    });
}
