//! The shard's part in spilling: passes on that there is too much, gives a root to copy from, and replaces what was
//! copied by its place, where it is still the very same.

use ractor::ActorRef;

use super::{ShardMessage, ShardState};
use crate::actor::cold_files::ColdFiles;
use crate::actor::slot::Entity;
use crate::actor::spiller::SpillMessage;
use crate::actor::spiller::worker::Copied;
use crate::machine::StateMachine;
use crate::model::{ColdSeq, Location};
use crate::protocol::headroom::Size;
use crate::protocol::spill::{Handed, Job};
use crate::state::ReadCold;
use crate::state::map::{Entry, Key};
use crate::storage::cold::ColdFile;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// So many entries are replaced in one turn: others get theirs in between.
const TURN_ENTRIES: usize = 1024;

/// A hand-over that is on its way.
pub(super) struct Handing<M: StateMachine> {
    job: Job,
    file: ColdSeq,
    open: Arc<ColdFile>,
    bytes: u64,
    sources: Vec<ColdSeq>,
    left: std::vec::IntoIter<(Arc<Entry<Entity<M>>>, Location)>,
}

impl<M: StateMachine> ShardState<M> {
    /// Tells the spiller when it is too much, and when it is not any more.
    pub(super) fn tell_pressure(&mut self) {
        self.make_way();
        if let Some(over) = self.headroom.pressure(self.size()) {
            self.tell_spiller(SpillMessage::Pressure(over));
        }
    }

    /// What the state takes now.
    pub(super) fn size(&self) -> Size {
        Size { bytes: self.map.bytes() as u64, keys: self.map.keys_bytes() as u64 }
    }

    /// What a rollback reads beside it is to have its place, too.
    fn make_way(&mut self) {
        self.headroom.make_way(self.slot.beside.load(Ordering::Acquire));
    }

    /// Gives the spiller what a job is to copy from.
    pub(super) fn share(&self, job: Job) {
        self.tell_spiller(SpillMessage::Root(job, self.map.clone()));
    }

    /// A file has come. Its entries are replaced turn by turn.
    pub(super) fn begin_hand_over(&mut self, myself: &ActorRef<ShardMessage>) {
        let Some((job, Copied { written, file, entries, sources, .. })) = self.life.handing_over.lock().take() else {
            return;
        };
        let (seq, bytes, left) = (written.file, written.bytes, entries.into_iter());
        self.handing = Some(Handing { job, file: seq, open: file, bytes, sources, left });
        self.go_on_handing(myself);
    }

    pub(super) fn go_on_handing(&mut self, myself: &ActorRef<ShardMessage>) {
        let Some(mut handing) = self.handing.take() else { return };
        self.open(handing.file, &handing.open);
        for (was, at) in handing.left.by_ref().take(TURN_ENTRIES) {
            let by = Arc::new(Entry::cold(was.hash(), Key::from_slice(was.key()), at));
            if self.map.replace(&was, Arc::clone(&by)) {
                self.slot.overlaps.note_replaced(&was, &by);
                self.uses.add(at);
                if let Some(before) = was.location() {
                    self.uses.remove(before);
                }
            }
        }
        if handing.left.len() > 0 {
            self.handing = Some(handing);
            let _ = myself.cast(ShardMessage::GoOnHanding);
            return;
        }
        self.handed_over(&handing);
    }

    fn handed_over(&mut self, handing: &Handing<M>) {
        let all = handing.sources.iter().chain([&handing.file]);
        let live: Vec<_> = all.map(|file| (*file, self.uses.of(*file))).collect();
        self.make_way();
        let over = self.headroom.handed_over(self.size());
        // The root that is asked for below is the first without them.
        self.drop_unused();
        self.tell_spiller(SpillMessage::HandedOver(handing.job, Handed { over, live }));
        let counters = &self.slot.counters;
        let is_spill = handing.sources.is_empty();
        if is_spill && self.headroom.spilled(handing.bytes) {
            self.map.tick();
        }
        if is_spill { &counters.spills } else { &counters.compactions }.add(1);
        // The published root still has all of it.
        self.changed = true;
        self.slot.published.ask();
        self.count();
    }

    /// What the last command has displaced is not referred to any more.
    pub(super) fn freed(&mut self, cleared: bool) {
        if cleared {
            self.touched.extend(self.uses.files().map(|(file, _)| file));
            self.uses = crate::state::ColdUse::default();
            return;
        }
        for location in self.scratch.freed() {
            self.uses.remove(*location);
            self.touched.insert(location.file);
        }
    }

    /// How much of which files is live, where that has changed.
    pub(super) fn tell_uses(&mut self) {
        for file in std::mem::take(&mut self.touched) {
            self.tell_spiller(SpillMessage::Uses(file, self.uses.of(file)));
        }
        self.tell_spiller(SpillMessage::Told);
        self.drop_unused();
    }

    /// Whoever is to refer to a file has it among the open ones: it may have been dropped since the last turn.
    fn open(&mut self, seq: ColdSeq, file: &Arc<ColdFile>) {
        if !self.cold_files.files().contains_key(&seq) {
            let mut files = self.cold_files.files().clone();
            files.insert(seq, Arc::clone(file));
            self.set_files(self.cold_files.with(files));
        }
    }

    /// Files that nothing refers to are closed with the last root that does, and the published one is not to be that
    /// for long.
    fn drop_unused(&mut self) {
        let is_used = |file: &ColdSeq| self.uses.of(*file) > 0;
        let files = self.cold_files.files();
        if files.keys().all(is_used) {
            return;
        }
        let files = files.iter().filter(|(file, _)| is_used(file));
        let files = files.map(|(file, open)| (*file, Arc::clone(open))).collect();
        self.set_files(self.cold_files.with(files));
        self.changed = true;
        self.slot.published.ask();
    }

    fn set_files(&mut self, files: ColdFiles<M>) {
        self.cold_files = Arc::new(files);
        self.cold = Some(Arc::clone(&self.cold_files) as Arc<dyn ReadCold<Entity<M>>>);
    }

    /// The one of this life: where another has begun, whatever comes late from here is of no use to its spiller.
    fn tell_spiller(&self, message: SpillMessage<M>) {
        let _ = self.spiller.cast(message);
    }
}
