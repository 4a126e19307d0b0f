//! A cut: two shards and their coordinator against a client, and against whoever cancels.
//!
//! In scope: the real cores of both sides; a client that writes to the second shard what follows from its acknowledged
//! write to the first; a hold that ends by itself; a cancel at any moment. What a shard applies is durable at once.
//! Not modelled: the lane while it is held (`hold.rs`), deaths, and messages that come twice (`tests/explore`).

use mainstay::model::{Edit, EditOutcome, ShardId, Time};
use mainstay::protocol::cut::{Cuts, Effect, Event, Kind};
use mainstay::protocol::hold::{self, Holder};
use mainstay::sync::Arc;

use crate::support::cuts::{CUT, SHARDS, about_to_hold, feed, point};
use crate::support::{Mailbox, Thread, bounded, position, spawn};

const FIRST: ShardId = SHARDS[0];
const SECOND: ShardId = SHARDS[1];

/// What a shard's mailbox holds.
#[derive(Clone, Copy)]
enum Mail {
    About(hold::Event),
    Write,
    Stop,
}

/// All that the threads share.
struct World {
    coordinator: Mailbox<Event>,
    shards: [Mailbox<Mail>; 2],
}

impl World {
    fn new() -> Arc<Self> {
        let shards = [Mailbox::new(), Mailbox::new()];
        Arc::new(Self { coordinator: Mailbox::new(), shards })
    }

    fn tell(&self, shard: ShardId, mail: Mail) {
        let _ = self.shards.get(shard.0 as usize).unwrap().send(mail);
    }

    /// A shard, until it is stopped. Does it still hold then?
    fn serve(&self, shard: ShardId, mut core: Holder) -> bool {
        let (mut end, mut waiting) = (1, 0);
        while let Some(mail) = self.shards.get(shard.0 as usize).unwrap().receive() {
            let mut effects = Vec::new();
            match mail {
                Mail::Stop => break,
                Mail::Write => waiting += 1,
                Mail::About(event) => core.on_event(event, &mut effects),
            }
            for effect in effects {
                let answer = match effect {
                    hold::Effect::Held(cut) => Event::Held { cut, shard, end: position(1, end), time: Time(0) },
                    hold::Effect::Released { cut, held } => Event::Released { cut, shard, held },
                    hold::Effect::Arm { .. } | hold::Effect::Resume => continue,
                };
                let _ = self.coordinator.send(answer);
            }
            if !core.is_holding() && waiting > 0 {
                end += std::mem::take(&mut waiting);
                // The client hears of it and writes what follows.
                if shard == FIRST {
                    self.tell(SECOND, Mail::Write);
                }
            }
        }
        core.is_holding()
    }

    /// Carries out effects. True if it is done.
    fn carry_out(&self, core: &mut Cuts, effects: Vec<Effect>) -> bool {
        let mut done = false;
        for effect in effects {
            match effect {
                Effect::Hold(cut, shard) => {
                    self.tell(shard, Mail::About(hold::Event::Hold { cut, now_ms: 0, is_clear: true }))
                }
                Effect::Release(cut, shard) => self.tell(shard, Mail::About(hold::Event::Release { cut })),
                Effect::Commit(cut, edits) => {
                    check(&edits);
                    let committed = feed(core, Event::Committed { cut, outcome: EditOutcome::Committed });
                    done |= self.carry_out(core, committed);
                }
                Effect::Done(_) => done = true,
                _ => {}
            }
        }
        done
    }

    /// The coordinator, until it is done.
    fn coordinate(&self, mistake: fn(&mut Event), forgets: bool) {
        let (mut core, effects) = about_to_hold(Kind::Mark);
        let first = Event::Held { cut: CUT, shard: FIRST, end: position(1, 1), time: Time(0) };
        feed(&mut core, Event::Point { cut: CUT, shard: FIRST, point: point(1) });
        feed(&mut core, first);
        let (mut held, mut done) = (vec![FIRST], false);
        self.carry_out(&mut core, effects.into_iter().filter(|effect| *effect == Effect::Hold(CUT, SECOND)).collect());
        while !done {
            let mut event = self.coordinator.receive().unwrap();
            mistake(&mut event);
            let mut effects = Vec::new();
            if let Event::Held { cut, shard, end, .. } = event {
                held.push(shard);
                core.on_event(Event::Point { cut, shard, point: point(end.lsn.0) }, &mut effects);
            }
            core.on_event(event, &mut effects);
            effects.retain(|effect| !matches!(effect, Effect::Release(_, shard) if forgets && !held.contains(shard)));
            done = self.carry_out(&mut core, effects);
        }
    }

    fn stop(&self) {
        SHARDS.iter().for_each(|shard| self.tell(*shard, Mail::Stop));
    }
}

/// The first shard begins in the middle: it holds, and the coordinator knows.
fn already_holding() -> Holder {
    let mut core = Holder::new(1);
    core.on_event(hold::Event::Hold { cut: CUT, now_ms: 0, is_clear: true }, &mut Vec::new());
    core
}

fn serve(world: &Arc<World>, shard: ShardId, core: Holder) -> Thread<bool> {
    let world = Arc::clone(world);
    spawn(move || world.serve(shard, core))
}

/// A version has the second write only if it has the first.
fn check(edits: &[Edit]) {
    let [Edit::Mark { record, .. }] = edits else { panic!("a mark and nothing else") };
    let [first, second] = record.points.as_slice() else { panic!("a point a shard") };
    assert!(second.end <= first.end, "a command without one that was acknowledged before");
}

/// The first shard's hold ends by itself at any moment, and the client writes.
fn a_cut_against_a_client(mistake: fn(&mut Event)) {
    bounded(2, move || {
        let world = World::new();
        let first = spawn({
            let world = Arc::clone(&world);
            move || {
                // Its timer and the client, before or after its release.
                world.tell(FIRST, Mail::About(hold::Event::Time { now_ms: 1 }));
                world.tell(FIRST, Mail::Write);
                world.serve(FIRST, already_holding())
            }
        });
        let second = serve(&world, SECOND, Holder::new(1));
        world.coordinate(mistake, false);
        world.stop();
        assert_eq!([first.join(), second.join()], [false, false], "a lane is held for ever");
    });
}

/// No version straddles an acknowledged write (bounded). Guards F38, F42.
#[test]
fn a_version_straddles_no_write() {
    a_cut_against_a_client(|_| {});
}

/// The twin takes every release for one of a shard that has held.
#[test]
#[should_panic(expected = "a command without one that was acknowledged before")]
fn twin_holds_are_believed() {
    a_cut_against_a_client(|event| {
        if let Event::Released { held, .. } = event {
            *held = true;
        }
    });
}

fn a_cut_against_a_cancel(forgets: bool) {
    bounded(2, move || {
        let world = World::new();
        let second = serve(&world, SECOND, Holder::new(1));
        let canceller = spawn({
            let world = Arc::clone(&world);
            move || {
                let _ = world.coordinator.send(Event::Cancel);
            }
        });
        world.coordinate(|_| {}, forgets);
        world.stop();
        canceller.join();
        assert!(!world.serve(FIRST, already_holding()), "a lane is held for ever");
        assert!(!second.join(), "a lane is held for ever");
    });
}

/// Whoever was asked to hold is free in the end, heard of or not (bounded). Guards F33.
#[test]
fn everybody_is_released() {
    a_cut_against_a_cancel(false);
}

/// The twin releases those who are known to hold.
#[test]
#[should_panic(expected = "a lane is held for ever")]
fn twin_who_has_not_answered_is_forgotten() {
    a_cut_against_a_cancel(true);
}
