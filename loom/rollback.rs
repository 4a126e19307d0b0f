//! A rollback: the end of a timeline against a life that begins in it, against that life's writer, and against a reader
//! who collects the roots of two shards.
//!
//! In scope: the real timeline, tenure and published root. An epoch stands for a timeline here. Not modelled: the cell
//! of the present life, which is a lock; the order of messages (`tests/explore`).

use mainstay::model::{Epoch, Lsn};
use mainstay::sync::published::{Positioned, Published};
use mainstay::sync::tenure::Tenure;
use mainstay::sync::timeline::Timeline;
use mainstay::sync::{Arc, Mutex};

use crate::support::{Root, bounded, position, spawn, unbounded};

const OLD: u64 = 1;
const NEW: u64 = 2;

/// A shard's slot, as far as a rollback goes.
struct Slot {
    timeline: Timeline,
    published: Published<Root>,
    life: Mutex<Arc<Tenure<()>>>,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            timeline: Timeline::new(OLD),
            published: Published::new(root(OLD, 1)),
            life: Mutex::new(Arc::new(Tenure::new(Lsn(1)))),
        })
    }

    fn life(&self) -> Arc<Tenure<()>> {
        Arc::clone(&self.life.lock())
    }

    /// What `Slot::begin_life` does in a timeline that is the present one.
    fn install(&self, life: &Arc<Tenure<()>>, recovered: Arc<Root>) {
        self.published.replace(recovered);
        *self.life.lock() = Arc::clone(life);
    }

    fn shown(&self) -> u64 {
        self.published.latest().end().epoch.0
    }
}

fn root(timeline: u64, lsn: u64) -> Arc<Root> {
    Arc::new(Root(position(timeline, lsn)))
}

type Begin = fn(&Slot, u64, &Arc<Tenure<()>>, Arc<Root>) -> bool;
type End = fn(&Slot);

fn begin(slot: &Slot, timeline: u64, life: &Arc<Tenure<()>>, recovered: Arc<Root>) -> bool {
    slot.timeline.begin(timeline, || slot.install(life, recovered))
}

fn end(slot: &Slot) {
    slot.timeline.end(NEW, || drop(slot.life().revoke()));
}

/// The writer has synced: it publishes and answers, if it may.
fn complete(slot: &Slot, life: &Tenure<()>, lsn: u64) -> bool {
    let publish = || drop(slot.published.publish(root(OLD, lsn)));
    life.complete(Lsn(lsn), publish).is_some()
}

/// The timeline ends while a shard's writer completes, and while a restart, whose log was read before, begins.
fn a_rollback_against_a_restart_and_a_writer(begin: Begin, end: End) {
    bounded(3, move || {
        let slot = Slot::new();
        let first = slot.life();
        let restart = spawn({
            let (slot, first) = (Arc::clone(&slot), Arc::clone(&first));
            move || {
                drop(first.revoke());
                let second = Arc::new(Tenure::new(Lsn(1)));
                if begin(&slot, OLD, &second, root(OLD, 1)) {
                    complete(&slot, &second, 3);
                }
            }
        });
        let writer = spawn({
            let slot = Arc::clone(&slot);
            move || complete(&slot, &first, 2)
        });
        end(&slot);
        let left = slot.life();
        assert!(left.is_revoked(), "an old life goes on behind the rollback");
        let answered = left.answered();
        // All shards are abandoned: this one goes on with what was read.
        slot.timeline.open(NEW);
        let third = Arc::new(Tenure::new(Lsn(1)));
        assert!(begin(&slot, NEW, &third, root(NEW, 1)));
        assert!(third.complete(Lsn(2), || {}).is_some());
        restart.join();
        writer.join();
        assert_eq!(slot.shown(), NEW, "an old life has published behind the rollback");
        assert!(Arc::ptr_eq(&slot.life(), &third), "an old life has begun behind the rollback");
        assert_eq!(left.answered(), answered, "an old life has answered behind the rollback");
    });
}

/// Nothing of the old timeline answers, publishes or begins once it has ended (bounded). Guards F14, F36, F64.
#[test]
fn a_rollback_ends_what_lives_and_what_is_to_come() {
    a_rollback_against_a_restart_and_a_writer(begin, end);
}

/// The twin looks at the timeline, and then begins.
#[test]
#[should_panic(expected = "behind the rollback")]
fn twin_look_then_begin() {
    a_rollback_against_a_restart_and_a_writer(
        |slot, timeline, life, recovered| {
            let is_present = slot.timeline.begin(timeline, || {});
            if is_present {
                slot.install(life, recovered);
            }
            is_present
        },
        end,
    );
}

/// The twin revokes what lives, and then ends the timeline: a life begins in between.
#[test]
#[should_panic(expected = "behind the rollback")]
fn twin_revoke_then_end() {
    a_rollback_against_a_restart_and_a_writer(begin, |slot| {
        drop(slot.life().revoke());
        slot.timeline.end(NEW, || {});
    });
}

/// Two shards are abandoned while one of them begins anew, and while the other's writer completes. Both answer the same
/// client.
fn a_rollback_against_two_shards(abandon: fn(&[Arc<Slot>; 2])) {
    bounded(3, move || {
        let slots = [Slot::new(), Slot::new()];
        let new_has_answered = Arc::new(Mutex::new(false));
        let old = slots[1].life();
        let restart = spawn({
            let (slot, answered) = (Arc::clone(&slots[0]), Arc::clone(&new_has_answered));
            move || {
                let life = Arc::new(Tenure::new(Lsn(1)));
                if begin(&slot, NEW, &life, root(NEW, 1)) {
                    *answered.lock() = true;
                }
            }
        });
        let writer = spawn({
            let (slot, answered) = (Arc::clone(&slots[1]), Arc::clone(&new_has_answered));
            move || {
                let is_late = *answered.lock();
                let completes = complete(&slot, &old, 2);
                assert!(!(is_late && completes), "an old life answers after a new one");
            }
        });
        abandon(&slots);
        restart.join();
        writer.join();
    });
}

/// Nothing goes on in any shard before all were abandoned. Guards F64.
#[test]
fn all_are_abandoned_before_one_goes_on() {
    a_rollback_against_two_shards(|slots| {
        slots.iter().for_each(|slot| end(slot));
        slots.iter().for_each(|slot| slot.timeline.open(NEW));
    });
}

/// The twin abandons one shard after the other.
#[test]
#[should_panic(expected = "an old life answers after a new one")]
fn twin_one_after_the_other() {
    a_rollback_against_two_shards(|slots| {
        for slot in slots {
            end(slot);
            slot.timeline.open(NEW);
        }
    });
}

/// A reader collects two roots while both shards go back; only what is of the newest timeline is part of the view.
fn a_rollback_against_a_reader(keeps: fn(u64, u64) -> bool) {
    unbounded(move || {
        let slots = [Slot::new(), Slot::new()];
        let reader = spawn({
            let slots = slots.clone();
            move || {
                let seen = slots.each_ref().map(|slot| slot.published.latest().end().epoch);
                let newest = seen.into_iter().max().unwrap_or(Epoch(0));
                let mut view = seen.into_iter().filter(|timeline| keeps(timeline.0, newest.0));
                let first = view.next();
                assert!(view.all(|other| Some(other) == first), "a view of two timelines");
            }
        });
        slots.iter().for_each(|slot| end(slot));
        for slot in &slots {
            slot.timeline.open(NEW);
            assert!(begin(slot, NEW, &Arc::new(Tenure::new(Lsn(1))), root(NEW, 1)));
        }
        reader.join();
        assert!(slots.iter().all(|slot| slot.shown() == NEW));
    });
}

/// No view shows one shard in front of the rollback and another behind it. Guards F64.
#[test]
fn a_view_is_of_one_timeline() {
    a_rollback_against_a_reader(|timeline, newest| timeline == newest);
}

/// The twin takes what it has found.
#[test]
#[should_panic(expected = "a view of two timelines")]
fn twin_a_view_that_takes_everything() {
    a_rollback_against_a_reader(|_, _| true);
}
