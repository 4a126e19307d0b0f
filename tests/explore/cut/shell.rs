//! The coordinator's shell: feeds the core, carries out what it says, and checks each effect against what is true.

use mainstay::model::{Edit, EditOutcome, Point, ShardId, SnapshotSeq, VersionId, VersionRecord};
use mainstay::protocol::cut::{Cuts, Effect, Event, Failed, Kind};
use mainstay::protocol::hold::CutId;

use super::shard::Message;
use super::world::{Asked, Mutant, World, adopts};

fn feed(core: &mut Cuts, event: Event) -> Vec<Effect> {
    let mut effects = Vec::new();
    core.on_event(event, &mut effects);
    effects
}

impl World {
    /// Delivers an event and carries out the effects, or only the first few: then the coordinator dies.
    pub fn deliver(&mut self, event: Event, effects_max: Option<usize>) {
        let Some(mut core) = self.core.take() else { return };
        let believed = self.mistaken(event.clone());
        self.listen(&event);
        let event = believed;
        let effects = feed(&mut core, event.clone());
        self.check_what_changes_nothing(&core, event);
        self.core = Some(core);
        let effects = self.mutated(effects);
        let aborts = effects.iter().any(|effect| matches!(effect, Effect::Done(Err(_))));
        for effect in effects.into_iter().take(effects_max.unwrap_or(usize::MAX)) {
            self.carry_out(effect, aborts);
        }
        if effects_max.is_some() {
            self.crash();
        }
    }

    /// What a repeated message, a deadline that is over and another request do, in every state.
    fn check_what_changes_nothing(&self, core: &Cuts, event: Event) {
        let mut again = core.clone();
        if !matches!(event, Event::Requested { .. }) {
            assert_eq!(feed(&mut again, event.clone()), [], "{event:?} comes twice");
            assert_eq!(again, *core, "{event:?} comes twice");
        }
        let latest = self.armed.last();
        for (cut, stage) in self.armed.iter().filter(|armed| Some(*armed) != latest) {
            assert_eq!(feed(&mut again, Event::Deadline { cut: *cut, stage: *stage }), [], "{stage:?} is over");
        }
        if core.is_busy() {
            let request = Event::Requested { kind: Kind::Mark, version: self.next_version };
            assert_eq!(feed(&mut again, request), [Effect::Busy]);
        }
        assert_eq!(again, *core, "something has changed");
    }

    /// What mutants make of a message.
    fn mistaken(&self, event: Event) -> Event {
        match (self.mutant, event) {
            (Mutant::BelievesEveryHold, Event::Released { cut, shard, .. }) => {
                Event::Released { cut, shard, held: true }
            }
            (Mutant::Counts, Event::Held { cut, shard, end, time }) => {
                let owed = self.asked.as_ref().and_then(|asked| {
                    let repeated = asked.held.contains_key(&shard);
                    self.ids().find(|other| repeated && !asked.held.contains_key(other))
                });
                Event::Held { cut, shard: owed.unwrap_or(shard), end, time }
            }
            (_, event) => event,
        }
    }

    /// Notes what the coordinator gets to know.
    fn listen(&mut self, event: &Event) {
        let is_early = self.mutant == Mutant::ReleasesOneByOne;
        let Some(asked) = &mut self.asked else { return };
        match event {
            Event::Held { cut, shard, end, .. } if Some(*cut) == asked.cut && !asked.held.contains_key(shard) => {
                asked.held.insert(*shard, *end);
                if is_early {
                    self.shard(*shard).send(Message::Release(*cut));
                }
            }
            Event::Committed { cut, outcome } if Some(*cut) == asked.cut => asked.outcome = Some(*outcome),
            _ => {}
        }
    }

    /// What mutants make of the effects.
    fn mutated(&self, mut effects: Vec<Effect>) -> Vec<Effect> {
        let held = |shard: &ShardId| self.asked.as_ref().is_some_and(|asked| asked.held.contains_key(shard));
        match self.mutant {
            Mutant::ForgetsWhoHasNotAnswered => {
                effects.retain(|effect| !matches!(effect, Effect::Release(_, shard) if !held(shard)));
            }
            Mutant::RemovesWhatMayBeAdopted if effects.contains(&Effect::Done(Err(Failed::Indeterminate))) => {
                let removes = self.files.iter().map(|((shard, file), cut)| Effect::Remove(*cut, *shard, *file));
                effects.splice(0..0, removes);
            }
            Mutant::ForgetsLateFiles if matches!(effects.as_slice(), [Effect::Remove(..)]) => effects.clear(),
            _ => {}
        }
        effects
    }

    fn carry_out(&mut self, effect: Effect, aborts: bool) {
        match effect {
            Effect::Arm { cut, stage, .. } => {
                assert!(self.armed.insert((cut, stage)), "{stage:?} is armed once");
            }
            Effect::Prepare(cut, shard) => {
                self.asked().cut = Some(cut);
                self.shard(shard).send(Message::Prepare(cut));
            }
            Effect::Hold(cut, shard) => {
                assert!(self.asked().hold.insert(shard), "a shard holds once");
                self.shard(shard).send(Message::Hold(cut));
            }
            Effect::Release(cut, shard) => self.release(cut, shard, aborts),
            Effect::Snapshot(cut, shard) => {
                assert_eq!(self.asked().release.len(), self.shards.len(), "written while somebody holds");
                let end = self.asked().held[&shard];
                assert_eq!(self.snapshots.insert((cut, shard), end), None, "written once");
            }
            Effect::CancelSnapshot(cut, shard) => {
                assert!(aborts, "{cut:?} of {shard:?} is cancelled, and it goes on");
            }
            Effect::Remove(_, shard, snapshot) => self.remove(shard, snapshot),
            Effect::Commit(cut, edits) => self.commit(cut, edits),
            Effect::Done(result) => self.done(result),
            Effect::Busy => panic!("busy, and nobody else has asked"),
        }
    }

    fn asked(&mut self) -> &mut Asked {
        self.asked.as_mut().expect("somebody has asked")
    }

    fn release(&mut self, cut: CutId, shard: ShardId, aborts: bool) {
        let shards = self.shards.len();
        let asked = self.asked();
        assert!(asked.hold.contains(&shard), "released, and never asked to hold");
        assert!(asked.release.insert(shard), "released twice");
        assert!(aborts || asked.held.len() == shards, "released for a version before all have held");
        if self.mutant != Mutant::ReleasesOneByOne || aborts {
            self.shard(shard).send(Message::Release(cut));
        }
    }

    fn remove(&mut self, shard: ShardId, snapshot: SnapshotSeq) {
        let file = (shard, snapshot);
        let is_wanted = self.commits.iter().any(|(_, edits)| adopts(edits).any(|adopted| adopted == file));
        let is_named = self.adopted.contains(&file) || self.perhaps.contains(&file);
        assert!(!is_wanted && !is_named, "removed, and it may be adopted");
        assert!(self.files.remove(&file).is_some(), "what is removed is not there");
    }

    fn commit(&mut self, cut: CutId, edits: Vec<Edit>) {
        assert!(self.committed.insert(cut), "one commit");
        let mark = edits.last().expect("a version");
        let Edit::Mark { record: VersionRecord { points, .. }, .. } = mark else { panic!("{mark:?}") };
        let held = self.asked().held.clone();
        assert_eq!(points.len(), self.shards.len());
        for (shard, point) in self.ids().zip(points) {
            let of = self.shard(shard);
            assert!(of.is_durable(point.end), "a version that is not durable");
            assert!(of.has_lasted(cut), "a version with a lapsed hold");
            assert_eq!(held[&shard], point.end, "not where it held");
        }
        let contains = |(shard, lsn): &(ShardId, _)| points[shard.0 as usize].end.lsn > *lsn;
        let missing = self.written.iter().position(|command| !contains(command)).unwrap_or(self.written.len());
        assert!(!self.written[missing..].iter().any(contains), "a command without one that was acknowledged before");
        let files: Vec<_> = adopts(&edits).collect();
        assert_eq!(files.len(), if self.kind == Kind::Rewrite { self.shards.len() } else { 0 }, "all or none");
        assert!(files.iter().all(|file| self.files.contains_key(file)), "a file that is not there is adopted");
        assert!(adopts_at(&edits, points), "a snapshot lies elsewhere");
        self.commits.push_back((cut, edits));
    }

    fn done(&mut self, result: Result<VersionId, Failed>) {
        let asked = self.asked.take().expect("done once");
        assert_eq!(asked.hold, asked.release, "asked to hold, and never released");
        assert_eq!(result.is_ok(), asked.outcome == Some(EditOutcome::Committed), "{result:?}");
        let is_open = result == Err(Failed::Indeterminate);
        assert_eq!(is_open, asked.outcome == Some(EditOutcome::Indeterminate), "{result:?}");
        let is_under_way = self.commits.iter().any(|(cut, _)| Some(*cut) == asked.cut);
        assert!(!is_under_way, "done, and it may still be committed");
    }
}

fn adopts_at(edits: &[Edit], points: &[Point]) -> bool {
    edits.iter().all(|edit| match edit {
        Edit::Adopt { shard, record, .. } => record.end == points[shard.0 as usize].end,
        _ => true,
    })
}
