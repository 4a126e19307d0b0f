//! The hand-over of batches: a shard parks callers, the writer makes them durable and answers, while a timer expires
//! them and the supervisor revokes them and has the log's end chosen.
//!
//! In scope: the real [`Commit`] core over the real tenure, published root and claims; a sync that succeeds, or fails
//! so that the frames move. What was answered `Durable` must lie below the end that is chosen after the revoke. Not
//! modelled: bytes, more than one failure and other policies (`tests/explore` has them).

use mainstay::model::{EditOutcome, Lsn, SegmentSeq, SyncPolicy};
use mainstay::protocol::commit::{Action, Commit, Handed, Limits, Opening};
use mainstay::sync::claim::{Answer, Port, Ticket, claim};
use mainstay::sync::lane::Lane;
use mainstay::sync::published::{Positioned, Published};
use mainstay::sync::tenure::Tenure;
use mainstay::sync::{Arc, Mutex};

use crate::support::{Mailbox, Message, Root, bounded, drains, position, spawn, wait};

type Callers = Vec<Port<&'static str>>;

const LIMITS: Limits = Limits {
    frame_payload_max: 3,
    batch_bytes_max: 3,
    frame_overhead: 1,
    alignment: 1,
    segment_overhead: 1,
    kept_bytes_max: u64::MAX,
};

/// What the disk and the manifest say.
#[derive(Debug)]
struct Log {
    written: Lsn,
    synced: Lsn,
    /// A move is durable only before the next life has begun.
    next_life: Option<Lsn>,
}

struct Scene {
    tenure: Tenure<Callers>,
    published: Published<Root>,
    lane: Lane<Handed>,
    mailbox: Arc<Mailbox<Message>>,
    log: Mutex<Log>,
}

fn answer(callers: Vec<Callers>, answer: &'static str) {
    callers.into_iter().flatten().for_each(|port| port.answer(answer));
}

impl Scene {
    fn new() -> Arc<Self> {
        let scene = Self {
            tenure: Tenure::new(Lsn(1)),
            published: Published::new(Arc::new(Root(position(1, 1)))),
            lane: Lane::new(),
            mailbox: Arc::new(Mailbox::new()),
            log: Mutex::new(Log { written: Lsn(1), synced: Lsn(1), next_life: None }),
        };
        scene.lane.attach(drains(&scene.mailbox));
        Arc::new(scene)
    }

    /// The shard's side: one command, one batch.
    fn hand_over(&self, lsn: u64) -> Ticket<&'static str> {
        let (ticket, port) = claim();
        assert!(port.accept(position(1, lsn)));
        let end = Lsn(lsn + 1);
        match self.tenure.park(end, 0, vec![port]) {
            Ok(()) => {
                self.lane.push_quietly(Handed { end, bytes: 1 });
                let _ = self.lane.ring();
            }
            Err(callers) => answer(vec![callers], "refused"),
        }
        ticket
    }

    /// Publish, raise, take, answer.
    fn complete(&self, end: Lsn) -> bool {
        let root = Arc::new(Root(position(1, end.0)));
        let callers = self.tenure.complete(end, || drop(self.published.publish(root)));
        let is_mine = callers.is_some();
        answer(callers.unwrap_or_default(), "durable");
        is_mine
    }

    /// A move's edit: declined once the next life has begun.
    fn move_log(&self) -> EditOutcome {
        let mut log = self.log.lock();
        if log.next_life.is_some() {
            return EditOutcome::Declined(mainstay::model::Declined::Stale);
        }
        log.synced = log.written;
        EditOutcome::Committed
    }

    /// The supervisor: revoke, then recover and begin anew.
    fn take_over(&self) {
        answer(self.tenure.revoke(), "revoked");
        let mut log = self.log.lock();
        log.next_life = Some(log.synced);
        drop(log);
        self.mailbox.die();
    }
}

/// A writer whose life has begun, with a spare.
fn begun() -> Commit {
    let mut core = Commit::new(SyncPolicy::Always, LIMITS, Lsn(1), true);
    core.on_spare(SegmentSeq(1), 100);
    core.on_spare(SegmentSeq(2), 100);
    assert_eq!(core.next(), Some(Action::Begin(SegmentSeq(1))));
    core.on_edit(EditOutcome::Committed);
    assert_eq!(core.next(), Some(Action::Open(SegmentSeq(1), Opening::Begin)));
    core.on_done(true);
    assert_eq!(core.next(), None);
    core
}

/// The writer's shell, as in `actor/wal_writer.rs`.
fn write(scene: &Scene, sync_fails: bool) {
    let (mut core, mut queue) = (begun(), Vec::new());
    while scene.mailbox.receive().is_some() {
        scene.lane.clear();
        loop {
            for handed in std::iter::from_fn(|| scene.lane.pop()) {
                core.on_queued(handed);
                queue.push(handed);
            }
            let Some(action) = core.next() else { break };
            if !matches!(action, Action::Stop(_)) && scene.tenure.is_revoked() {
                core.on_revoked();
                continue;
            }
            match action {
                Action::Write { batches, .. } => {
                    let end = queue.drain(..batches).next_back().map(|handed| handed.end);
                    scene.log.lock().written = end.unwrap();
                    core.on_done(true);
                }
                Action::Sync if sync_fails => core.on_done(false),
                Action::Sync => {
                    let mut log = scene.log.lock();
                    log.synced = log.written;
                    drop(log);
                    core.on_done(true);
                    scene.tenure.synced(core.durable());
                }
                Action::Open(..) | Action::Rewrite { .. } => core.on_done(true),
                Action::Move(_) => core.on_edit(scene.move_log()),
                Action::Complete(completion) => {
                    if !scene.complete(completion.end()) {
                        core.on_revoked();
                    }
                }
                Action::Prepare => {}
                Action::Stop(_) => return,
                Action::Begin(_) | Action::Seal | Action::Close | Action::Boundary => unreachable!(),
            }
        }
    }
}

fn a_hand_over_against_a_take_over(batches: u64, preemptions: usize, write: fn(&Scene)) {
    bounded(preemptions, move || {
        let scene = Scene::new();
        let run = |work: fn(&Scene)| {
            let scene = Arc::clone(&scene);
            spawn(move || work(&scene))
        };
        let writer = run(write);
        let timer = run(|scene| answer(scene.tenure.expire(0).ports, "expired"));
        let supervisor = run(Scene::take_over);
        let tickets: Vec<_> = (1..=batches).map(|lsn| scene.hand_over(lsn)).collect();
        let told = tickets.into_iter().map(|mut ticket| wait(&mut ticket));
        let durable = told.take_while(|told| *told == Answer::Given("durable")).count() as u64;
        [writer, timer, supervisor].into_iter().for_each(|thread| thread.join());
        let chosen = scene.log.lock().next_life.unwrap();
        assert!(Lsn(1 + durable) <= chosen, "durable, and cut off by the recovery");
        assert!(scene.published.latest().end().lsn <= chosen, "published, and cut off");
    });
}

/// Two batches against the deadline and a take-over: each caller gets one answer, and it is true (bounded).
/// Guards F1, F2, F36.
#[test]
fn what_was_answered_is_in_the_log() {
    a_hand_over_against_a_take_over(2, 2, |scene| write(scene, false));
}

/// The same when the sync fails and the frames move (bounded). Guards F4, F5.
#[test]
fn what_was_answered_after_a_move_is_in_the_log() {
    a_hand_over_against_a_take_over(1, 3, |scene| write(scene, true));
}

/// The twins' writer: one batch, two steps in a given order.
fn write_by_hand(scene: &Scene, then: fn(&Scene, Lsn)) {
    while scene.mailbox.receive().is_some() {
        scene.lane.clear();
        while let Some(handed) = scene.lane.pop() {
            scene.log.lock().written = handed.end;
            then(scene, handed.end);
        }
    }
}

/// The twin answers before the sync.
#[test]
#[should_panic(expected = "cut off")]
fn twin_answer_before_sync() {
    a_hand_over_against_a_take_over(1, 3, |scene| {
        write_by_hand(scene, |scene, end| {
            scene.complete(end);
            scene.log.lock().synced = end;
        });
    });
}

/// The twin answers when the frames are in the new file, before the edit that makes it the log.
#[test]
#[should_panic(expected = "cut off")]
fn twin_answer_before_the_move() {
    a_hand_over_against_a_take_over(1, 3, |scene| {
        write_by_hand(scene, |scene, end| {
            scene.complete(end);
            let _ = scene.move_log();
        });
    });
}

/// The twin's supervisor lets the recovery choose before it revokes.
#[test]
#[should_panic(expected = "cut off")]
fn twin_recovery_before_revoke() {
    bounded(3, || {
        let scene = Scene::new();
        let writer = spawn({
            let scene = Arc::clone(&scene);
            move || write(&scene, false)
        });
        let mut ticket = scene.hand_over(1);
        let chosen = scene.log.lock().synced;
        answer(scene.tenure.revoke(), "revoked");
        scene.mailbox.die();
        let durable = wait(&mut ticket) == Answer::Given("durable");
        writer.join();
        assert!(!durable || chosen == Lsn(2), "durable, and cut off by the recovery");
    });
}
