//! The manifest's part, in a few lines: what it names, what it may name, what it drops; and the files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mainstay::model::{ColdSeq, Declined, EditOutcome};
use mainstay::protocol::spill::Job;

use super::Mutant;
use super::shard::{Content, Map, files_of, readable};

/// A snapshot's file: the state, where each value is, and how many commands are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) state: Content,
    pub(super) map: Map,
    pub(super) end: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Chill(Job, ColdSeq),
    Release(Vec<ColdSeq>),
    /// By a life that is to begin.
    Claim(BTreeSet<ColdSeq>),
    Adopt(Snapshot),
    Retire,
    Prune,
}

#[derive(Clone, Debug)]
pub(super) struct Manifest {
    /// Cold files, and whether the working state has released them.
    pub(super) cold: BTreeMap<ColdSeq, bool>,
    /// The number behind all that were ever adopted: it outlives them.
    pub(super) next: ColdSeq,
    /// Retained snapshots, the newest last.
    pub(super) snapshots: Vec<Snapshot>,
}

impl Manifest {
    pub(super) fn newest(&self) -> &Snapshot {
        self.snapshots.last().expect("the newest is always retained")
    }

    /// The files that retained snapshots name.
    pub(super) fn needed(&self) -> BTreeSet<ColdSeq> {
        self.snapshots.iter().flat_map(|snapshot| files_of(&snapshot.map)).collect()
    }

    /// Applies an edit, or declines and changes nothing. Gives what was dropped.
    fn apply(&mut self, edit: &Edit, mutant: Mutant) -> Result<Vec<ColdSeq>, Declined> {
        match edit {
            Edit::Chill(_, file) => {
                assert!(self.cold.insert(*file, false).is_none(), "adopted twice");
                self.next = self.next.max(file.next());
            }
            Edit::Release(files) => {
                for file in files {
                    let before = self.cold.insert(*file, true);
                    assert_eq!(before, Some(false), "released twice, or never adopted");
                }
            }
            Edit::Claim(files) => {
                if mutant == Mutant::ClaimsNothing {
                    return Ok(Vec::new());
                }
                if files.iter().any(|file| !self.cold.contains_key(file)) {
                    return Err(Declined::Unreachable);
                }
                files.iter().for_each(|file| _ = self.cold.insert(*file, false));
            }
            Edit::Adopt(snapshot) => {
                if files_of(&snapshot.map).iter().any(|file| !self.cold.contains_key(file)) {
                    return Err(Declined::Unreachable);
                }
                self.snapshots.push(snapshot.clone());
            }
            Edit::Retire => _ = self.snapshots.remove(0),
            Edit::Prune => {
                let needed = if mutant == Mutant::PrunesAnything { BTreeSet::new() } else { self.needed() };
                let is_dropped = |file: &ColdSeq, released: bool| released && !needed.contains(file);
                let dropped = self.cold.iter().filter(|(file, released)| is_dropped(file, **released));
                let dropped: Vec<_> = dropped.map(|(file, _)| *file).collect();
                self.cold.retain(|file, _| !dropped.contains(file));
                return Ok(dropped);
            }
        }
        Ok(Vec::new())
    }
}

/// The keeper: edits one after the other, until one is uncertain.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) mutant: Mutant,
    pub(super) manifest: Manifest,
    pub(super) queue: VecDeque<Edit>,
    /// What the manifest says if the uncertain edit counts.
    pub(super) maybe: Option<Manifest>,
}

impl Keeper {
    /// Carries out the oldest edit, as far as the disk lets it. Gives what was dropped.
    pub(super) fn carry_out(&mut self, fate: EditOutcome) -> (Edit, EditOutcome, Vec<ColdSeq>) {
        let edit = self.queue.pop_front().expect("an edit waits");
        if self.maybe.is_some() || fate == EditOutcome::Failed {
            return (edit, EditOutcome::Failed, Vec::new());
        }
        let mut next = self.manifest.clone();
        match (next.apply(&edit, self.mutant), fate) {
            (Err(declined), _) => (edit, EditOutcome::Declined(declined), Vec::new()),
            (Ok(_), EditOutcome::Indeterminate) => {
                self.maybe = Some(next);
                (edit, EditOutcome::Indeterminate, Vec::new())
            }
            (Ok(dropped), _) => {
                self.manifest = next;
                (edit, EditOutcome::Committed, dropped)
            }
        }
    }

    /// What the next opening may find.
    pub(super) fn possible(&self) -> impl Iterator<Item = &Manifest> {
        [&self.manifest].into_iter().chain(&self.maybe)
    }

    /// What would be dropped by now.
    pub(super) fn droppable(&self) -> Vec<ColdSeq> {
        self.manifest.clone().apply(&Edit::Prune, self.mutant).unwrap_or_default()
    }

    /// Everything that an opening may need is there.
    pub(super) fn check(&self, files: &BTreeMap<ColdSeq, Content>) {
        for manifest in self.possible() {
            assert!(manifest.cold.keys().all(|file| files.contains_key(file)), "the manifest names what is not there");
            for snapshot in &manifest.snapshots {
                assert_eq!(readable(&snapshot.map, files), snapshot.state, "a snapshot has lost something");
            }
        }
    }
}
