//! A restart: an old thread that finishes late against the revoke, and against the life that follows.
//!
//! In scope: publishing, raising and answering after the revoke has returned; callers that are parked while it runs.
//! Not modelled: files (`commit.rs`), and the order of a supervisor's messages (`tests/explore`).

use loom::sync::atomic::{AtomicU64, Ordering};
use mainstay::model::{Lsn, Position};
use mainstay::sync::claim::{Answer, Port, claim};
use mainstay::sync::published::{Positioned, Published};
use mainstay::sync::tenure::Tenure;
use mainstay::sync::watermark::Watermark;
use mainstay::sync::{Arc, Mutex};

use crate::support::{Root, bounded, position, spawn, unbounded, wait};

type Callers = Vec<Port<&'static str>>;

/// What the late writer can touch.
struct Old {
    tenure: Tenure<Callers>,
    published: Published<Root>,
}

impl Old {
    fn new() -> Self {
        let root = Arc::new(Root(position(1, 1)));
        Self { tenure: Tenure::new(Lsn(1)), published: Published::new(root) }
    }

    fn seen(&self) -> (Position, Lsn, Lsn) {
        let (answered, durable) = (self.tenure.answered(), self.tenure.durable());
        (self.published.latest().end(), answered, durable)
    }
}

fn answer(callers: Vec<Callers>, answer: &'static str) {
    callers.into_iter().flatten().for_each(|port| port.answer(answer));
}

/// The old writer's sync returns while the supervisor revokes it and begins anew.
fn a_late_sync_against_a_revoke(finish: fn(&Old)) {
    bounded(5, move || {
        let old = Arc::new(Old::new());
        let (mut ticket, port) = claim();
        assert!(port.accept(position(1, 1)));
        assert!(old.tenure.park(Lsn(2), 0, vec![port]).is_ok());
        let writer = spawn({
            let old = Arc::clone(&old);
            move || finish(&old)
        });
        let timer = spawn({
            let old = Arc::clone(&old);
            move || answer(old.tenure.expire(0).ports, "expired")
        });
        answer(old.tenure.revoke(), "revoked");
        let at_revoke = old.seen();
        // The log's end is chosen here. Nothing of the old life may change any more.
        let recovered = Arc::new(Root(position(2, 1)));
        old.published.replace(recovered);
        let Answer::Given(told) = wait(&mut ticket) else { panic!("nobody has answered") };
        assert!(told != "written" || at_revoke.1 == Lsn(2), "answered after the revoke");
        writer.join();
        timer.join();
        let (published, answered, durable) = old.seen();
        assert_eq!(published, position(2, 1), "published after the revoke");
        assert_eq!((answered, durable), (at_revoke.1, at_revoke.2), "raised after the revoke");
    });
}

/// A late sync against the deadline and the revoke: one of the three answers, and nothing happens after the revoke
/// (bounded). Guards F2, F24, F36.
#[test]
fn nothing_happens_after_a_revoke() {
    a_late_sync_against_a_revoke(|old| {
        old.tenure.synced(Lsn(2));
        let publish = || drop(old.published.publish(Arc::new(Root(position(1, 2)))));
        if let Some(callers) = old.tenure.complete(Lsn(2), publish) {
            answer(callers, "written");
        }
    });
}

/// The twin asks whether it is revoked, and then goes ahead.
#[test]
#[should_panic(expected = "published after the revoke")]
fn twin_look_then_publish() {
    a_late_sync_against_a_revoke(|old| {
        if !old.tenure.is_revoked() {
            drop(old.published.replace(Arc::new(Root(position(1, 2)))));
            if let Some(callers) = old.tenure.complete(Lsn(2), || {}) {
                answer(callers, "written");
            }
        }
    });
}

/// A shard parks callers while it is revoked.
fn a_park_against_a_revoke<T: 'static>(
    new: fn() -> T,
    park: fn(&T, Port<&'static str>),
    revoke: fn(&T) -> Vec<Callers>,
) {
    unbounded(move || {
        let tenure = Arc::new(new());
        let (mut ticket, port) = claim();
        assert!(port.accept(position(1, 1)));
        let shard = spawn({
            let tenure = Arc::clone(&tenure);
            move || park(&tenure, port)
        });
        answer(revoke(&tenure), "revoked");
        assert!(matches!(wait(&mut ticket), Answer::Given(_)));
        shard.join();
    });
}

/// A park against a revoke: whoever has the port in the end answers it. Guards F2, F33.
#[test]
fn nobody_is_parked_for_ever() {
    a_park_against_a_revoke(
        || Tenure::new(Lsn(1)),
        |tenure, port| {
            if let Err(callers) = tenure.park(Lsn(2), 0, vec![port]) {
                answer(vec![callers], "refused");
            }
        },
        Tenure::revoke,
    );
}

/// The twin's tenure takes callers that nobody will ever look for.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_park_without_a_look() {
    a_park_against_a_revoke(
        || Mutex::new(Vec::new()),
        |parked, port| parked.lock().push(vec![port]),
        |parked| std::mem::take(&mut *parked.lock()),
    );
}

/// The recovery reads the file while the old writer may still complete what it has synced.
fn a_completion_against_a_recovery(complete: fn(&Tenure<()>, &Watermark, Lsn)) {
    unbounded(move || {
        let tenure = Arc::new(Tenure::new(Lsn(1)));
        let told = Arc::new(Watermark::new(Lsn(1)));
        let file = Arc::new(AtomicU64::new(1));
        let writer = spawn({
            let (tenure, told, file) = (Arc::clone(&tenure), Arc::clone(&told), Arc::clone(&file));
            move || {
                file.store(2, Ordering::Release);
                complete(&tenure, &told, Lsn(2));
            }
        });
        drop(tenure.revoke());
        let chosen = Lsn(file.load(Ordering::Acquire));
        writer.join();
        assert!(told.get() <= chosen, "told that something is in the log, and it is not");
    });
}

/// What is completed was on the disk before the log's end was chosen. Guards F1, F36.
#[test]
fn the_recovery_finds_what_was_answered() {
    a_completion_against_a_recovery(|tenure, told, end| {
        if tenure.complete(end, || {}).is_some() {
            told.raise(end);
        }
    });
}

/// The twin does not ask whether it was revoked.
#[test]
#[should_panic(expected = "and it is not")]
fn twin_no_look_at_the_revoke() {
    a_completion_against_a_recovery(|_, told, end| told.raise(end));
}
