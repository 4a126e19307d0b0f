//! The published root: publish against ask, and against readers that look twice.
//!
//! In scope: asks that must be served, and roots that only go forward. Not modelled: arc-swap (a lock here; a stress
//! test covers the real one), and who drops the old roots. What a view finds is in `view.rs`.

use loom::sync::atomic::{AtomicBool, Ordering};
use mainstay::model::Lsn;
use mainstay::sync::Arc;
use mainstay::sync::published::Positioned;

use crate::support::{Slot, bounded, position, root, spawn};

/// The shard applies one command, then serves asks; one reader looks, without waiting, and one waits.
fn a_publish_against_an_ask(first_turn: fn(&Slot)) {
    bounded(3, move || {
        let slot = Slot::new();
        let shard = spawn({
            let slot = Arc::clone(&slot);
            move || {
                first_turn(&slot);
                while slot.shard.receive().is_some() {
                    slot.lane.clear();
                    if slot.published.take_ask() {
                        let _ = slot.log.send((Lsn(2), Some(root(2))));
                    }
                }
            }
        });
        let writer = spawn({
            let slot = Arc::clone(&slot);
            move || slot.write()
        });
        let looker = spawn({
            let slot = Arc::clone(&slot);
            move || slot.published.hint()
        });
        slot.view_asking_once();
        looker.join();
        slot.stop();
        shard.join();
        writer.join();
    });
}

fn good_turn(slot: &Slot) {
    let root = slot.published.take_ask().then(|| root(2));
    let _ = slot.log.send((Lsn(2), root));
}

/// A reader that asks and one that only looks against a shard that applies and a writer that answers: who asks is
/// served (bounded). Guards F33.
#[test]
fn an_ask_is_always_served() {
    a_publish_against_an_ask(good_turn);
}

/// The twin makes the root when its turn begins, and takes the ask at its end, when the writer may have answered.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_root_before_ask() {
    let bad_turn = |slot: &Slot| {
        let before = root(1);
        let _ = slot.log.send((Lsn(2), None));
        if slot.published.take_ask() {
            let _ = slot.log.send((Lsn(2), Some(before)));
        }
    };
    a_publish_against_an_ask(bad_turn);
}

/// The twin rings only if nobody has asked before, as if everybody who does would ring.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_ring_only_for_the_first_ask() {
    fn bad_view(slot: &Slot, asked: &AtomicBool) {
        let enabled = slot.changed.enable();
        if slot.published.latest().end().lsn < slot.tenure.answered() {
            if !asked.swap(true, Ordering::AcqRel) {
                let _ = slot.lane.ring();
            }
            slot.changed.wait(&enabled);
        }
    }
    bounded(2, || {
        let slot = Slot::new();
        slot.tenure.complete(Lsn(2), || {}).unwrap();
        let asked = Arc::new(AtomicBool::new(false));
        let looker = spawn({
            let asked = Arc::clone(&asked);
            move || {
                asked.swap(true, Ordering::AcqRel);
            }
        });
        let shard = spawn({
            let (slot, asked) = (Arc::clone(&slot), Arc::clone(&asked));
            move || {
                while slot.shard.receive().is_some() {
                    slot.lane.clear();
                    if asked.swap(false, Ordering::AcqRel) {
                        slot.published.publish(root(2));
                        slot.changed.notify_waiters();
                    }
                }
            }
        });
        bad_view(&slot, &asked);
        looker.join();
        slot.stop();
        shard.join();
    });
}

/// Two completions against a reader that looks twice.
fn two_publishes(publish: fn(&Slot, u64)) {
    bounded(4, move || {
        let slot = Slot::new();
        let writer = |end| {
            let slot = Arc::clone(&slot);
            spawn(move || publish(&slot, end))
        };
        let writers = [writer(2), writer(3)];
        let first = slot.published.latest().end();
        let second = slot.published.latest().end();
        assert!(first <= second, "a reader goes back");
        writers.into_iter().for_each(|writer| writer.join());
        assert_eq!(slot.published.latest().end(), position(1, 3), "a reader goes back");
    });
}

/// Two completions at once, as of a writer and one left behind: readers only go forward (bounded). Guards F38.
#[test]
fn readers_only_go_forward() {
    two_publishes(|slot, end| {
        slot.tenure.complete(Lsn(end), || drop(slot.published.publish(root(end)))).unwrap();
    });
}

/// The twin publishes without the tenure.
#[test]
#[should_panic(expected = "a reader goes back")]
fn twin_publish_without_the_tenure() {
    two_publishes(|slot, end| drop(slot.published.publish(root(end))));
}
