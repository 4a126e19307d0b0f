//! The watermark: who reads a value sees what was done before it was raised, and it never goes back.
//!
//! In scope: one raise against a reader; two raises at once. Not modelled: more than one watermark (`published.rs`).

use loom::sync::atomic::{AtomicU64, Ordering};
use mainstay::model::Lsn;
use mainstay::sync::Arc;
use mainstay::sync::watermark::Watermark;

use crate::support::{spawn, unbounded};

/// A log's content, written without any ordering of its own.
fn raise_against_read(write: fn(&AtomicU64, &Watermark)) {
    unbounded(move || {
        let shared = Arc::new((AtomicU64::new(0), Watermark::new(Lsn(1))));
        let writer = spawn({
            let shared = Arc::clone(&shared);
            move || write(&shared.0, &shared.1)
        });
        if shared.1.get() == Lsn(2) {
            assert_eq!(shared.0.load(Ordering::Relaxed), 7, "raised ahead of what it covers");
        }
        writer.join();
    });
}

/// A raise against a reader. Guards F9.
#[test]
fn a_value_covers_what_was_done_before() {
    raise_against_read(|content, watermark| {
        content.store(7, Ordering::Relaxed);
        watermark.raise(Lsn(2));
    });
}

/// The twin raises first.
#[test]
#[should_panic(expected = "raised ahead of what it covers")]
fn twin_raise_before_write() {
    raise_against_read(|content, watermark| {
        watermark.raise(Lsn(2));
        content.store(7, Ordering::Relaxed);
    });
}

/// A late raise against a newer one: the watermark ends at the larger and never goes back in between. Guards F9.
#[test]
fn it_never_goes_back() {
    unbounded(|| {
        let watermark = Arc::new(Watermark::new(Lsn(1)));
        let raise = |to| {
            let watermark = Arc::clone(&watermark);
            spawn(move || watermark.raise(Lsn(to)))
        };
        let threads = [raise(2), raise(3)];
        let (first, second) = (watermark.get(), watermark.get());
        assert!(first <= second, "it went back");
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(watermark.get(), Lsn(3), "it went back");
    });
}

/// The twin loads, compares and stores instead of one read-modify-write.
#[test]
#[should_panic(expected = "it went back")]
fn twin_load_then_store() {
    unbounded(|| {
        let watermark = Arc::new(AtomicU64::new(1));
        let raise = |to| {
            let watermark = Arc::clone(&watermark);
            spawn(move || {
                if watermark.load(Ordering::Acquire) < to {
                    watermark.store(to, Ordering::Release);
                }
            })
        };
        let threads = [raise(2), raise(3)];
        threads.into_iter().for_each(|thread| thread.join());
        assert_eq!(watermark.load(Ordering::Acquire), 3, "it went back");
    });
}
