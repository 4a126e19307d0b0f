//! A view: what a reader finds beside a completion, and what it waits for when the shard is fenced.
//!
//! In scope: receipts whose holder must find its write, the root that comes with a watermark, and readers that wait
//! for a shard that will not publish any more. Not modelled: deadlines, which would only hide a reader that waits for
//! nobody.

use mainstay::model::Lsn;
use mainstay::sync::Arc;
use mainstay::sync::claim::{Answer, Port, claim};
use mainstay::sync::published::Positioned;

use crate::support::{Slot, position, root, spawn, unbounded, wait};

/// A caller that has its receipt looks for its write.
fn a_receipt_against_a_view(complete: fn(&Slot, Port<()>)) {
    unbounded(move || {
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

/// A receipt against the view that its holder takes. Guards F1, F9.
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
    unbounded(move || {
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

/// Publish, then raise: who sees the watermark sees the root that came with it. Guards F9.
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
    unbounded(move || {
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

/// The fence closes the lane, then tells who waits. Guards F2.
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
