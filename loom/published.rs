//! The published root: publish against ask, against a second reader, against the end of the shard.
//!
//! In scope: asks that must be served, roots that only go forward, receipts whose holder must find its write, and
//! readers that wait when the shard is fenced. Not modelled: arc-swap (a lock here; a stress test covers the real one),
//! and who drops the old roots.

use loom::sync::atomic::{AtomicBool, Ordering};
use mainstay::model::Lsn;
use mainstay::sync::Arc;
use mainstay::sync::claim::{Answer, Port, claim};
use mainstay::sync::published::{Positioned, Published};
use mainstay::sync::tenure::Tenure;

use crate::support::{Lane, Mailbox, Message, Root, Signal, bounded, position, spawn, wait};

type Batch = (Lsn, Option<Arc<Root>>);

/// What readers, the shard and its writer share.
struct Slot {
    published: Published<Root>,
    tenure: Tenure<()>,
    lane: Lane<()>,
    /// The shard's mailbox, and the lane to its writer.
    shard: Arc<Mailbox<Message>>,
    log: Mailbox<Batch>,
    changed: Signal,
}

fn root(end: u64) -> Arc<Root> {
    Arc::new(Root(position(1, end)))
}

impl Slot {
    fn new() -> Arc<Self> {
        let slot = Self {
            published: Published::new(root(1)),
            tenure: Tenure::new(Lsn(1)),
            lane: Lane::new(),
            shard: Arc::new(Mailbox::new()),
            log: Mailbox::new(),
            changed: Signal::new(),
        };
        slot.lane.attach(Arc::clone(&slot.shard));
        Arc::new(slot)
    }

    /// The writer: everything is durable at once.
    fn write(&self) {
        while let Some((end, root)) = self.log.receive() {
            let publish = || drop(root.map(|root| self.published.publish(root)));
            assert!(self.tenure.complete(end, publish).is_some());
            self.changed.notify_waiters();
        }
    }

    fn ask(&self) {
        self.published.ask();
        let _ = self.lane.ring();
    }

    /// `Runtime::view`: `None` if the shard has ended.
    fn view(&self) -> Option<Arc<Root>> {
        let wanted = position(1, self.tenure.answered().0);
        loop {
            let enabled = self.changed.enable();
            let root = self.published.latest();
            if root.end() >= wanted {
                return Some(root);
            }
            if self.lane.is_closed() {
                return None;
            }
            self.ask();
            self.changed.wait(&enabled);
        }
    }

    /// As `view`, but asks only once: whoever takes the ask must serve it.
    fn view_asking_once(&self) {
        let wanted = position(1, self.tenure.answered().0);
        if self.published.latest().end() >= wanted {
            return;
        }
        self.ask();
        loop {
            let enabled = self.changed.enable();
            if self.published.latest().end() >= wanted {
                return;
            }
            self.changed.wait(&enabled);
        }
    }

    fn stop(&self) {
        self.shard.die();
        self.log.die();
    }
}

/// The shard applies one command, then serves asks; one reader looks, without waiting, and one waits.
fn a_publish_against_an_ask(first_turn: fn(&Slot)) {
    bounded(2, move || {
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

/// A reader that asks and one that only looks against a shard that applies and a writer that answers: who asks is served
/// (bounded). Guards F33.
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
            move || drop(asked.swap(true, Ordering::AcqRel))
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
    bounded(3, move || {
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

/// A caller that has its receipt looks for its write.
fn a_receipt_against_a_view(complete: fn(&Slot, Port<()>)) {
    bounded(3, move || {
        let slot = Slot::new();
        let (mut ticket, port) = claim();
        let writer = spawn({
            let slot = Arc::clone(&slot);
            move || complete(&slot, port)
        });
        assert_eq!(wait(&mut ticket), Answer::Given(()));
        let root = slot.view().unwrap();
        assert!(root.end() > position(1, 1), "the receipt's holder does not find its write");
        writer.join();
    });
}

/// A receipt against the view that its holder takes (bounded). Guards F1, F9.
#[test]
fn a_receipt_is_seen() {
    a_receipt_against_a_view(|slot, port| {
        slot.tenure.complete(Lsn(2), || drop(slot.published.publish(root(2)))).unwrap();
        port.answer(());
    });
}

/// The twin answers before it publishes.
#[test]
#[should_panic(expected = "does not find its write")]
fn twin_answer_before_publish() {
    a_receipt_against_a_view(|slot, port| {
        port.answer(());
        slot.tenure.complete(Lsn(2), || drop(slot.published.publish(root(2)))).unwrap();
    });
}

/// A view against a watermark that is raised.
fn a_raise_against_a_view(complete: fn(&Slot)) {
    bounded(3, move || {
        let slot = Slot::new();
        let writer = spawn({
            let slot = Arc::clone(&slot);
            move || complete(&slot)
        });
        let answered = slot.tenure.answered();
        assert!(slot.published.latest().end().lsn >= answered, "answered ahead of its root");
        writer.join();
    });
}

/// Publish, then raise: who sees the watermark sees the root that came with it (bounded). Guards F9.
#[test]
fn the_root_is_there_before_the_watermark() {
    a_raise_against_a_view(|slot| {
        slot.tenure.complete(Lsn(2), || drop(slot.published.publish(root(2)))).unwrap();
    });
}

/// The twin raises, then publishes.
#[test]
#[should_panic(expected = "answered ahead of its root")]
fn twin_raise_before_publish() {
    a_raise_against_a_view(|slot| {
        slot.tenure.complete(Lsn(2), || {}).unwrap();
        drop(slot.published.publish(root(2)));
    });
}

/// A reader waits for a shard that is fenced before it has published.
fn a_view_against_a_fence(fence: fn(&Slot)) {
    bounded(3, move || {
        let slot = Slot::new();
        slot.tenure.complete(Lsn(2), || {}).unwrap();
        let supervisor = spawn({
            let slot = Arc::clone(&slot);
            move || {
                slot.shard.die();
                fence(&slot);
            }
        });
        assert!(slot.view().is_none());
        supervisor.join();
    });
}

/// The fence closes the lane, then tells who waits (bounded). Guards F2.
#[test]
fn a_fence_lets_readers_go() {
    a_view_against_a_fence(|slot| {
        slot.lane.close();
        slot.changed.notify_waiters();
    });
}

/// The twin tells who waits, then closes.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_notify_before_close() {
    a_view_against_a_fence(|slot| {
        slot.changed.notify_waiters();
        slot.lane.close();
    });
}
