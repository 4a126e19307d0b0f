//! The end of a rewrite: snapshot threads, the keeper, a reader and whoever cancels.
//!
//! In scope: the real coordinator behind its hold; a cancel at any moment; files that are written although nobody wants
//! them any more; readers of the manifest while it changes. Not modelled: the cut itself (`cut.rs`), failing commits,
//! deaths and messages that come twice (`tests/explore`).

use std::collections::BTreeSet;

use loom::sync::atomic::{AtomicBool, Ordering};
use mainstay::model::{Edit, EditOutcome, ShardId, SnapshotSeq};
use mainstay::protocol::cut::{Effect, Event};
use mainstay::sync::{Arc, Mutex};

use crate::support::cuts::{CUT, SHARDS, about_to_write, feed, record};
use crate::support::{Mailbox, bounded, spawn};

type File = (ShardId, SnapshotSeq);

/// All that the threads share.
struct World {
    coordinator: Mailbox<Event>,
    keeper: Mailbox<Vec<Edit>>,
    cancelled: [AtomicBool; 2],
    /// What the directory has and what the manifest names.
    files: Mutex<BTreeSet<File>>,
    manifest: Mutex<BTreeSet<File>>,
}

fn adopted(edits: &[Edit]) -> BTreeSet<File> {
    let named = edits.iter().filter_map(|edit| match edit {
        Edit::Adopt { shard, snapshot, .. } => Some((*shard, *snapshot)),
        _ => None,
    });
    named.collect()
}

fn written(shard: ShardId) -> Event {
    Event::Written { cut: CUT, shard, snapshot: SnapshotSeq(1), record: record() }
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            coordinator: Mailbox::new(),
            keeper: Mailbox::new(),
            cancelled: [AtomicBool::new(false), AtomicBool::new(false)],
            files: Mutex::new(BTreeSet::new()),
            manifest: Mutex::new(BTreeSet::new()),
        })
    }

    fn is_cancelled(&self, shard: ShardId) -> &AtomicBool {
        self.cancelled.get(shard.0 as usize).unwrap()
    }

    fn create(&self, shard: ShardId) {
        self.files.lock().insert((shard, SnapshotSeq(1)));
    }

    fn say(&self, event: Event) {
        let _ = self.coordinator.send(event);
    }

    /// Whatever the manifest names is there, for all shards or for none.
    fn check(&self) {
        let named = self.manifest.lock().clone();
        assert!(named.is_empty() || named.len() == SHARDS.len(), "some shards, not all");
        let files = self.files.lock().clone();
        assert!(named.is_subset(&files), "adopted, and it is not there");
    }

    /// The keeper's one change.
    fn adopt_all(&self, edits: &[Edit]) {
        self.manifest.lock().extend(adopted(edits));
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::CancelSnapshot(_, shard) => self.is_cancelled(shard).store(true, Ordering::Release),
            Effect::Remove(_, shard, snapshot) => {
                let is_there = self.files.lock().remove(&(shard, snapshot));
                assert!(is_there, "removed, and it is not there");
            }
            Effect::Commit(_, edits) => drop(self.keeper.send(edits)),
            _ => {}
        }
    }
}

/// A snapshot thread.
type Write = fn(&World, ShardId);

/// Two snapshot threads against a cancel. The keeper is the main thread here.
fn snapshots_against_a_cancel(write: Write) {
    bounded(2, move || {
        let world = World::new();
        let threads = SHARDS.map(|shard| {
            let world = Arc::clone(&world);
            spawn(move || write(&world, shard))
        });
        let canceller = spawn({
            let world = Arc::clone(&world);
            move || world.say(Event::Cancel)
        });
        let mut core = about_to_write();
        // Two ends of snapshots and a cancel.
        for _ in 0..3 {
            let event = world.coordinator.receive().unwrap();
            for effect in feed(&mut core, event) {
                if let Effect::Commit(cut, edits) = &effect {
                    world.adopt_all(edits);
                    world.check();
                    feed(&mut core, Event::Committed { cut: *cut, outcome: EditOutcome::Committed });
                }
                world.carry_out(effect);
            }
        }
        threads.into_iter().for_each(|thread| thread.join());
        canceller.join();
        world.check();
        let (files, named) = (world.files.lock().clone(), world.manifest.lock().clone());
        assert_eq!(files, named, "a file is left behind");
    });
}

/// A file is adopted or removed, also if it comes late (bounded). Guards F36, F41, F42.
#[test]
fn no_file_is_left_behind() {
    snapshots_against_a_cancel(|world, shard| {
        if world.is_cancelled(shard).load(Ordering::Acquire) {
            return world.say(Event::SnapshotFailed { cut: CUT, shard });
        }
        world.create(shard);
        world.say(written(shard));
    });
}

/// The twin answers, then writes.
#[test]
#[should_panic(expected = "it is not there")]
fn twin_answer_before_the_file() {
    snapshots_against_a_cancel(|world, shard| {
        world.say(written(shard));
        world.create(shard);
    });
}

/// The keeper commits while somebody cancels and reads.
fn a_commit_against_a_cancel(commit: fn(&World, &[Edit]), cancel: fn(&World)) {
    bounded(3, move || {
        let world = World::new();
        SHARDS.iter().for_each(|shard| world.create(*shard));
        let mut core = about_to_write();
        let effects = SHARDS.map(|shard| feed(&mut core, written(shard)));
        effects.into_iter().flatten().for_each(|effect| world.carry_out(effect));
        let keeper = spawn({
            let world = Arc::clone(&world);
            move || {
                commit(&world, &world.keeper.receive().unwrap());
                world.say(Event::Committed { cut: CUT, outcome: EditOutcome::Committed });
            }
        });
        let reader = spawn({
            let world = Arc::clone(&world);
            move || {
                world.say(Event::Cancel);
                world.check();
            }
        });
        let mut done = None;
        for _ in 0..2 {
            let event = world.coordinator.receive().unwrap();
            (event == Event::Cancel).then(|| cancel(&world));
            for effect in feed(&mut core, event) {
                match effect {
                    Effect::Done(result) => done = Some(result),
                    effect => world.carry_out(effect),
                }
            }
        }
        keeper.join();
        reader.join();
        world.check();
        assert!(done.is_some_and(|result| result.is_ok()), "committed, and told otherwise");
    });
}

/// A commit that is under way is waited for: nothing is removed before its end is known, and it is of all shards
/// (bounded). Guards F41.
#[test]
fn all_shards_or_none() {
    a_commit_against_a_cancel(World::adopt_all, |_| {});
}

/// The twin's keeper adopts one snapshot after the other.
#[test]
#[should_panic(expected = "some shards, not all")]
fn twin_one_edit_after_the_other() {
    a_commit_against_a_cancel(
        |world, edits| edits.iter().for_each(|edit| world.adopt_all(std::slice::from_ref(edit))),
        |_| {},
    );
}

/// The twin removes the files when nobody wants them any more, whatever the keeper does.
#[test]
#[should_panic(expected = "adopted, and it is not there")]
fn twin_remove_before_the_commit_has_ended() {
    a_commit_against_a_cancel(World::adopt_all, |world| world.files.lock().clear());
}
